"""Variables in instructions, and the arguments of a build."""

import pytest

from cais.build import instructions as kinds
from cais.build.dockerfile import parse
from cais.build.errors import DockerfileError, WordError
from cais.build.expansion import (
    PROXY_ARGS,
    declared,
    expand_from,
    expand_instruction,
    global_scope,
    platform_args,
)
from cais.build.instructions import Instruction

PLATFORMS = platform_args("linux/amd64", "linux/arm/v7")


def expanded(line: str, **variables: str) -> Instruction:
    (instruction,) = parse(f"FROM scratch\n{line}").stages[0].instructions
    return expand_instruction(instruction, variables)


def test_platforms_are_arguments() -> None:
    assert PLATFORMS["BUILDARCH"] == "amd64"
    assert (PLATFORMS["TARGETPLATFORM"], PLATFORMS["TARGETOS"], PLATFORMS["TARGETVARIANT"]) == (
        "linux/arm/v7",
        "linux",
        "v7",
    )
    assert "http_proxy" in PROXY_ARGS


def test_arguments_before_the_first_stage_see_each_other_and_what_was_given() -> None:
    read = parse('ARG A=1\nARG B="$A 2"\nARG C\nARG D=$TARGETARCH\nFROM x:$B-$C$D\n')
    scope = global_scope(read, {"C": "given"}, PLATFORMS)
    assert (scope["A"], scope["B"], scope["C"], scope["D"]) == ("1", "1 2", "given", "arm")
    assert global_scope(read, {"A": "9"}, {})["B"] == "9 2"
    assert "C" not in global_scope(read, {}, {})
    assert expand_from(read, read.stages[0], scope) == ("x:1 2-givenarm", "")


def test_a_base_without_a_name_is_an_error_with_its_line() -> None:
    read = parse("ARG A\nFROM $A\n")
    with pytest.raises(DockerfileError, match=r"base name \(\$A\) should not be blank") as caught:
        expand_from(read, read.stages[0], {})
    assert caught.value.first_line == 2


def test_a_platform_of_nothing_is_an_error_that_knows_what_was_meant() -> None:
    read = parse("FROM --platform=$BULIDPLATFORM a\n")
    message = r"empty platform value from expression \$BULIDPLATFORM \(did you mean BUILDPLATFORM\?\)"
    with pytest.raises(DockerfileError, match=message):
        expand_from(read, read.stages[0], PLATFORMS)


def test_an_argument_of_a_stage_is_what_was_given_its_default_or_the_global_one() -> None:
    (arg,) = parse("FROM x\nARG a b=$v c=1 d").stages[0].instructions
    assert isinstance(arg, kinds.Arg)
    assert declared(arg, {"v": "V"}, {"c": "given"}, {"a": "global", "b": "other"}) == {
        "a": "global",
        "b": "V",
        "c": "given",
    }


def test_instructions_are_expanded_where_buildkit_does() -> None:
    assert expanded("ENV a=$x b='$x'", x="1") == _with_lines(
        kinds.Env(values=(("a", "1"), ("b", "$x"))), "ENV a=$x b='$x'"
    )
    copy = expanded("COPY --chown=$x --chmod=$y --exclude=$x $x $y/", x="1", y="2")
    assert isinstance(copy, kinds.Copy)
    assert (copy.sources, copy.destination, copy.chown, copy.chmod, copy.excludes) == (("1",), "2/", "1", "2", ("1",))
    expose = expanded("EXPOSE $ports 1", ports="80 81")
    assert isinstance(expose, kinds.Expose)
    assert expose.ports == ("80", "81", "1")
    run = expanded("RUN --mount=type=cache,target=$x echo $x", x="/c")
    assert isinstance(run, kinds.Run)
    assert run.command == ("echo $x",)
    assert run.mounts[0].target == "/c"
    for line in ("WORKDIR $x", "USER $x", "STOPSIGNAL $x", "VOLUME $x"):
        assert "'v'" in str(expanded(line, x="v"))
    assert "$x" in str(expanded("CMD $x", x="v"))


def _with_lines(env: kinds.Env, original: str) -> kinds.Env:
    return kinds.Env(values=env.values, original=original, first_line=2, last_line=2, keyword="ENV")


def test_a_heredoc_is_expanded_unless_its_name_is_quoted() -> None:
    plain = expanded("COPY <<A /\nit's $x \\$x\nA", x="1")
    raw = expanded("COPY <<'A' /\n$x\nA", x="1")
    assert isinstance(plain, kinds.Copy)
    assert isinstance(raw, kinds.Copy)
    assert plain.files[0].text == "it's 1 $x\n"
    assert raw.files[0].text == "$x\n"


def test_a_variable_that_must_be_there_is_asked_for() -> None:
    with pytest.raises(WordError, match="x: is not allowed to be unset"):
        expanded("WORKDIR ${x?}")
