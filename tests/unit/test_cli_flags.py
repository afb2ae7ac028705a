"""Flags, read as Docker's command reads them."""

import pytest

from cais.cli.flags import Flag, FlagError, HelpWanted, Parsed, filter_flag, number, parse, switch, text_list
from cais.cli.values import parse_bytes

FLAGS = (
    switch("detach", "", "d"),
    switch("interactive", "", "i"),
    switch("tty", "", "t"),
    switch("sig-proxy", "", default=True),
    text_list("env", "", "e"),
    Flag("memory", "", "m", "bytes", parse_bytes, 0),
    Flag("name", ""),
    Flag("network", "", many=True),
    Flag("net", "", many=True, store="network"),
    number("last", "", "n", -1),
    number("timeout", "", default=0),
    Flag("time", "", "", "int", int, 0, store="timeout", replaced_by="timeout"),
    filter_flag(),
)


def read(*arguments: str, interspersed: bool = True) -> Parsed:
    return parse(FLAGS, arguments, interspersed=interspersed)


def message(*arguments: str) -> str:
    with pytest.raises(FlagError) as caught:
        read(*arguments)
    return caught.value.message


def test_short_flags_combine() -> None:
    parsed = read("-itd", "x")
    assert parsed.on("interactive")
    assert parsed.on("tty")
    assert parsed.on("detach")
    assert parsed.arguments == ["x"]


@pytest.mark.parametrize("words", [["-eA=1"], ["-e=A=1"], ["-e", "A=1"], ["--env=A=1"], ["--env", "A=1"], ["-iteA=1"]])
def test_every_way_to_give_a_value(words: list[str]) -> None:
    assert read(*words).texts("env") == ["A=1"]


def test_a_flag_that_is_given_again_adds_to_its_list() -> None:
    assert read("-e", "A=1", "--env", "B=2").texts("env") == ["A=1", "B=2"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [([], True), (["--sig-proxy"], True), (["--sig-proxy=false"], False), (["--sig-proxy=0"], False)],
)
def test_a_switch_has_a_value_only_behind_an_equals_sign(words: list[str], expected: bool) -> None:
    parsed = read(*words, "false")
    assert parsed.on("sig-proxy") is expected
    assert parsed.arguments == ["false"]


def test_a_flag_takes_whatever_comes_next() -> None:
    parsed = read("--name", "--detach", "-n", "-5")
    assert parsed.text("name") == "--detach"
    assert parsed.number("last") == -5
    assert not parsed.on("detach")


def test_flags_behind_arguments_are_flags() -> None:
    assert read("a", "-d", "b").on("detach")
    assert read("a", "-d", "b").arguments == ["a", "b"]


def test_flags_behind_the_first_argument_can_belong_to_it() -> None:
    parsed = read("-i", "image", "-d", "--", "x", interspersed=False)
    assert parsed.on("interactive")
    assert not parsed.on("detach")
    assert parsed.arguments == ["image", "-d", "--", "x"]


def test_two_dashes_end_the_flags_and_one_is_an_argument() -> None:
    assert read("-", "--", "-d").arguments == ["-", "-d"]


def test_two_names_of_one_flag_fill_one_value() -> None:
    assert read("--net", "a", "--network", "b").texts("network") == ["a", "b"]


def test_an_old_name_works_and_warns() -> None:
    parsed = read("--time", "3")
    assert parsed.number("timeout") == 3
    assert parsed.given == {"timeout"}
    assert parsed.warnings == ["Flag --time has been deprecated, use --timeout instead"]


def test_filters_are_grouped_by_name() -> None:
    assert read("-f", "Label=a=b", "--filter", "label=c", "-f", "name = x ").filters() == {
        "label": ["a=b", "c"],
        "name": ["x"],
    }


def test_what_was_given_is_known_apart_from_what_is_set() -> None:
    assert read("--last", "-1").given == {"last"}
    assert read().given == set()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--nope"], "unknown flag: --nope"),
        (["--nope=1"], "unknown flag: --nope"),
        (["-itX"], "unknown shorthand flag: 'X' in -X"),
        (["-Xit"], "unknown shorthand flag: 'X' in -Xit"),
        (["-d="], "unknown shorthand flag: '=' in -="),
        (["--name"], "flag needs an argument: --name"),
        (["-it", "-e"], "flag needs an argument: 'e' in -e"),
        (["-ite"], "flag needs an argument: 'e' in -e"),
        (["---x"], "bad flag syntax: ---x"),
        (["--=x"], "bad flag syntax: --=x"),
        (
            ["--detach=maybe"],
            'invalid argument "maybe" for "-d, --detach" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
        (["-m", "abc"], 'invalid argument "abc" for "-m, --memory" flag: invalid size: \'abc\''),
        (
            ["--timeout", 'a"b'],
            'invalid argument "a\\"b" for "--timeout" flag: strconv.ParseInt: parsing "a\\"b": invalid syntax',
        ),
        (
            ["--filter", "foo"],
            'invalid argument "foo" for "-f, --filter" flag: bad format of filter (expected name=value)',
        ),
    ],
)
def test_errors_read_as_docker_s(words: list[str], expected: str) -> None:
    assert message(*words) == expected


@pytest.mark.parametrize("words", [["--help"], ["-d", "--help", "x"]])
def test_help_is_asked_for(words: list[str]) -> None:
    with pytest.raises(HelpWanted) as caught:
        read(*words)
    assert caught.value.warning == ""


def test_the_short_flag_for_help_is_out_of_fashion() -> None:
    with pytest.raises(HelpWanted) as caught:
        read("-dh")
    assert "deprecated" in caught.value.warning


def test_a_value_of_another_type_is_a_mistake_of_ours() -> None:
    with pytest.raises(TypeError):
        read().number("name")
    with pytest.raises(TypeError):
        read().text("last")
    with pytest.raises(TypeError):
        read().items("name")
