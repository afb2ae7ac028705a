"""The rules of `build --check`, by BuildKit's names."""

import pytest

from cais.build.check_rules import DESCRIPTIONS, Finding
from cais.build.checks import KnownImage, check
from cais.build.dockerfile import parse
from cais.build.ignore import Ignore
from cais.errors import InvalidArgument

IMAGE = KnownImage(environment={"PATH": "/bin"}, platform="linux/amd64")


def found(text: str, **build_args: str) -> list[tuple[str, int, str]]:
    findings = check(parse(text), build_args, lambda _: IMAGE).findings
    return [(finding.rule, finding.first_line, finding.message) for finding in findings]


@pytest.mark.parametrize(
    ("text", "rule", "line", "message"),
    [
        ("FROM a AS Build", "StageNameCasing", 1, "Stage name 'Build' should be lowercase"),
        ("FROM a as b", "FromAsCasing", 1, "'as' and 'FROM' keywords' casing do not match"),
        ("FROM a\nRUN b \\\n\n c", "NoEmptyContinuation", 4, "Empty continuation line"),
        (
            "FROM a\nrun b\nRUN c",
            "ConsistentInstructionCasing",
            2,
            "Command 'run' should match the case of the command majority (uppercase)",
        ),
        (
            "from a\nrun b\nRUN c",
            "ConsistentInstructionCasing",
            3,
            "Command 'RUN' should match the case of the command majority (lowercase)",
        ),
        ("FROM a AS x\nFROM b AS x", "DuplicateStageName", 2, 'Duplicate stage name "x", stage names should be unique'),
        (
            "FROM a AS context",
            "ReservedStageName",
            1,
            'Stage name should not use the same name as reserved stage "context"',
        ),
        (
            "FROM a\nCMD b",
            "JSONArgsRecommended",
            2,
            "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
        ),
        (
            "FROM a\nMAINTAINER b",
            "MaintainerDeprecated",
            2,
            "Maintainer instruction is deprecated in favor of using label",
        ),
        (
            "ARG TAGS=1\nFROM a:${TAG:-1}",
            "UndefinedArgInFrom",
            2,
            "FROM argument 'TAG' is not declared (did you mean TAGS?)",
        ),
        (
            "FROM a\nWORKDIR b",
            "WorkdirRelativePath",
            2,
            'Relative workdir "b" can have unexpected results if the base image changes',
        ),
        (
            "FROM a\nARG foo\nCOPY $fooo /",
            "UndefinedVar",
            3,
            "Usage of undefined variable '$fooo' (did you mean $foo?)",
        ),
        (
            'FROM a\nCMD ["b"]\nCMD ["c"]',
            "MultipleInstructionsDisallowed",
            2,
            "Multiple CMD instructions should not be used in the same stage because only the last one will be used",
        ),
        (
            "FROM a\nENV b c",
            "LegacyKeyValueFormat",
            2,
            '"ENV key=value" should be used instead of legacy "ENV key value" format',
        ),
        (
            "FROM --platform=$TARGETPLATFORM a",
            "RedundantTargetPlatform",
            1,
            "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
        ),
        (
            "FROM a\nENV API_TOKEN=x",
            "SecretsUsedInArgOrEnv",
            2,
            'Do not use ARG or ENV instructions for sensitive data (ENV "API_TOKEN")',
        ),
        (
            "ARG TAG\nFROM a:$TAG",
            "InvalidDefaultArgInFrom",
            2,
            "Default value for ARG a:$TAG results in empty or invalid base image name",
        ),
        (
            "FROM --platform=linux/arm64 a",
            "FromPlatformFlagConstDisallowed",
            1,
            'FROM --platform flag should not use constant value "linux/arm64"',
        ),
        (
            "FROM a\nEXPOSE 80/TCP",
            "ExposeProtoCasing",
            2,
            "Defined protocol 'TCP' in EXPOSE instruction should be lowercase",
        ),
        (
            "FROM a\nEXPOSE 127.0.0.1:80:80",
            "ExposeInvalidFormat",
            2,
            "EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'",
        ),
    ],
)
def test_a_rule_finds_what_it_is_for(text: str, rule: str, line: int, message: str) -> None:
    assert (rule, line, message) in found(f"{text}\n", TAG="1")


@pytest.mark.parametrize(
    "text",
    [
        'ARG V=1\nFROM a:$V AS build\nARG V\nENV A=$V B=c\nENV D=$B\nWORKDIR /x\nWORKDIR y\nRUN $undefined\nCMD ["a"]',
        'FROM a\nSHELL ["bash", "-c"]\nCMD b',
        "FROM --platform=$BUILDPLATFORM a\nARG TARGETARCH\nCOPY $TARGETARCH$PATH$http_proxy /",
        "FROM --platform=linux/arm64 scratch AS base-arm64",
        "FROM a\nARG PUBLIC_KEY TOKEN_FILE MONKEY",
        "FROM a AS b\nENV X=1\nFROM b\nCOPY $X /",
        "from a as b\nrun c",
        "arg V=1\nFROM a:$V\nRUN b",
        'FROM a AS b\nSHELL ["/c"]\nFROM b\nCMD d\nENTRYPOINT e',
        "FROM a AS b\nWORKDIR /c\nFROM b\nWORKDIR d",
        "FROM a\nARG d=/e\nWORKDIR $d",
        "FROM a AS b\nARG c=d\nFROM b\nCOPY $c /",
        "FROM --platform=arm64 scratch AS arm64",
        "ARG V\nFROM a${V}",
    ],
)
def test_what_is_well_written_is_left_alone(text: str) -> None:
    assert found(text) == []


def test_variables_of_a_base_image_that_nobody_knows_are_not_spoken_of() -> None:
    assert check(parse("FROM a\nCOPY $x /")).findings == ()
    assert [finding.rule for finding in check(parse("FROM scratch\nCOPY $x /")).findings] == ["UndefinedVar"]


def test_a_copy_of_what_is_ignored_is_found_where_that_is_asked_for() -> None:
    body = "FROM a\nCOPY ./x y $z /\nADD x /\nCOPY --from=b x /\n"
    assert check(parse(body), ignore=Ignore(["x"])).findings == ()
    read = parse(f"# check=skip=all;experimental=CopyIgnoredFile\n{body}")
    assert check(read, ignore=Ignore(["x"])).findings == (
        Finding("CopyIgnoredFile", 'Attempting to Copy file "./x" that is excluded by .dockerignore', 3, 3),
        Finding("CopyIgnoredFile", 'Attempting to Add file "x" that is excluded by .dockerignore', 4, 4),
    )


def test_a_directive_leaves_rules_out_or_makes_them_errors() -> None:
    body = "FROM a\nMAINTAINER b\nCMD c\n"
    assert [rule for rule, *_ in found(f"# check=skip=MaintainerDeprecated\n{body}")] == ["JSONArgsRecommended"]
    assert found(f"# check=skip=all\n{body}") == []
    assert check(parse(f"# check=skip=all;error=true\n{body}")).error == ""
    failed = check(parse(f"# check=error=true\n{body}CMD d\n"))
    rules = "MaintainerDeprecated, JSONArgsRecommended, MultipleInstructionsDisallowed"
    assert failed.error == f"lint violation found for rules: {rules}"
    assert check(parse(body)).error == ""


def test_a_build_argument_takes_the_place_of_the_directive() -> None:
    body = "FROM a\nMAINTAINER b\n"
    assert found(f"# check=error=true\n{body}", BUILDKIT_DOCKERFILE_CHECK="skip=all") == []
    assert found(f"# check=skip=all\n{body}", BUILDKIT_DOCKERFILE_CHECK="skip=JSONArgsRecommended") != []


@pytest.mark.parametrize("options", ["skip", "skip=all;ignore=all", "error=perhaps"])
def test_a_wish_for_rules_that_is_none_is_refused(options: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid check option"):
        check(parse(f"# check={options}\nFROM a\n"))


def test_descriptions_of_arguments_and_stages_are_asked_for() -> None:
    body = "# nothing\nFROM a AS B\n# c is that\nARG c=1\n# no\nARG d\n# e is\nARG d e\n# no\nARG f g\n# no\n#\nARG h\n"
    assert "InvalidDefinitionDescription" not in [rule for rule, *_ in found(f"# x\n{body}")]
    rules = found(f"# check=skip=all;experimental=InvalidDefinitionDescription\n{body}# no\nCOPY a /\n# no\nFROM a\n")
    assert [(line, message) for _, line, message in rules] == [
        (line, f"Comment for {name} should follow the format: `# {example} <description>`")
        for line, name, example in ((3, "FROM", "b"), (7, "ARG", "d"), (11, "ARG", "<arg_key>"))
    ]


def test_only_the_first_relative_folder_is_told_of() -> None:
    text = "FROM a\nARG b=c\nWORKDIR $b\nWORKDIR d\nFROM a\nWORKDIR e\n"
    assert [(rule, line) for rule, line, _ in found(text)] == [("WorkdirRelativePath", 3), ("WorkdirRelativePath", 6)]


def test_an_image_that_has_a_shell_of_its_own_is_left_alone() -> None:
    shell = KnownImage(has_shell=True)
    assert check(parse("FROM a\nCMD b\n"), know_image=lambda _: shell).findings == ()


@pytest.mark.parametrize(
    ("text", "platform", "expected"),
    [
        ("FROM a", "linux/amd64", ""),
        ("FROM a", "linux/arm64/v8", "linux/arm64"),
        ("FROM --platform=$BUILDPLATFORM a", "linux/arm64", ""),
        ("FROM --platform=aarch64 a AS arm64", "linux/amd64", "linux/arm64"),
    ],
)
def test_an_image_of_another_platform_is_found(text: str, platform: str, expected: str) -> None:
    findings = check(parse(text), know_image=lambda _: IMAGE, platforms=("linux/amd64", platform)).findings
    message = f'Base image a was pulled with platform "linux/amd64", expected "{expected}" for current build'
    wanted = [("InvalidBaseImagePlatform", message)] if expected else []
    assert [(f.rule, f.message) for f in findings if f.rule != "FromPlatformFlagConstDisallowed"] == wanted


def test_findings_have_descriptions_addresses_and_excerpts() -> None:
    result = check(parse("FROM a\nCMD b\n"))
    (finding,) = result.findings
    assert finding.description == DESCRIPTIONS["JSONArgsRecommended"]
    assert finding.url == "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/"
    assert result.excerpt(finding) == (
        "Dockerfile:2\n--------------------\n   1 |     FROM a\n   2 | >>> CMD b\n--------------------\n"
    )
