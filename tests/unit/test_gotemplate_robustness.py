"""Whatever somebody types, a template ends soon, in text or in a TemplateError."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cais.cli.gotemplate import Listing, Template, TemplateError
from cais.cli.gotemplate.functions import FUNCTIONS
from cais.cli.gotemplate.lexer import tokens
from cais.cli.gotemplate.literals import INT_MAX, parse_integer, quote, unquote
from cais.cli.gotemplate.typed import inspected
from cais.cli.gotemplate.values import NO_VALUE
from tests.unit import gotemplate_samples as samples

ANSWER = json.dumps(samples.CONTAINER).encode()
WORDS = [
    *FUNCTIONS,
    *("{{", "}}", "{{- ", " -}}", "{{/*", "*/}}", "if ", "else", "else if ", "end", "{{end}}", "{{else}}", "with "),
    *("range ", "define ", "template ", "block ", "break", "continue", "nil", "true", " ", "\n", "(", ")", "|", ":="),
    *("=", ",", ".", "$", "$x", "$x := ", "$i, $e := ", ".Name", ".State", ".State.Pid", ".Config.Env", ".Mounts"),
    *(".Config.Labels", ".HostConfig.Ulimits", ".NetworkSettings.Ports", ".Node", ".Nope", '"a"', '"%d"', "'c'"),
    *("`r`", "1", "-1", "1.5", "0x1F", "1i", "1+2i", "_", "é", "€", '"', "'", "`", "\\", "{", "}", "-", "+", "!"),
    *("text", "\ud800", "\x00"),
]
templates = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(WORDS), max_size=30).map("".join))
actions = st.lists(st.sampled_from(WORDS), max_size=12).map(lambda words: "{{" + " ".join(words) + "}}")


def outcome(template: str) -> str:
    try:
        return inspected(Template(template), "container", ANSWER)
    except TemplateError as error:
        assert error.message.startswith("template: ")
        return error.message


@settings(max_examples=400, deadline=2000)
@given(st.one_of(templates, actions))
def test_any_text_is_a_template_or_an_error(template: str) -> None:
    assert isinstance(outcome(template), str)


@settings(max_examples=200, deadline=2000)
@given(st.one_of(templates, actions))
def test_also_for_lists(template: str) -> None:
    try:
        Listing(template, "x").render([{"Name": "n"}], {"Name": "NAME"})
    except TemplateError as error:
        assert error.message.startswith("template parsing error: template: ")


@given(templates)
def test_tokens_are_the_text_in_its_order(template: str) -> None:
    found = tokens(template)
    assert found[-1].kind in {"eof", "error"}
    assert all(token.kind not in {"eof", "error"} for token in found[:-1])
    places = [token.at for token in found[:-1]]
    assert places == sorted(places)
    assert all(template.startswith(token.text, token.at) for token in found[:-1])


@given(st.text())
def test_a_text_without_actions_is_shown_as_it_is(text: str) -> None:
    if "{{" not in text:
        assert Template(text).apply(NO_VALUE) == text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_quoting_can_be_undone(text: str) -> None:
    assert unquote(quote(text)) == text
    assert unquote(quote(text, ascii_only=True)) == text
    assert quote(text, ascii_only=True).isascii()


@given(st.integers(-INT_MAX, INT_MAX))
def test_integers_are_read_in_all_their_forms(number: int) -> None:
    sign, size = ("-", -number) if number < 0 else ("", number)
    forms = (
        f"{number}",
        f"{sign}{size:#x}",
        f"{sign}{size:#X}",
        f"{sign}{size:#b}",
        f"{sign}{size:#o}",
        f"{sign}{size:_}",
    )
    assert [parse_integer(form) for form in forms] == [number] * len(forms)
    assert parse_integer(f"{sign}0{size:o}") == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_shown_so_that_they_can_be_read_again(number: float) -> None:
    source = f"{number:e}" if "e" not in repr(number) and "." not in repr(number) else repr(number)
    shown = outcome(f"{{{{{source}}}}}")
    assert float(shown) == float(source)


@given(
    st.text(st.characters(exclude_categories=["Cs"])) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
)
def test_json_is_json(value: object) -> None:
    answer = json.dumps({"Id": "x", "Extra": value}).encode()
    assert json.loads(inspected(Template("{{json .Extra}}"), "container", answer)) == value


@settings(max_examples=300, deadline=2000)
@given(
    st.lists(st.sampled_from([*"%%%%vdsqxXtTcUfegoObpw#+- 0123.*[]", "é", "a"]), max_size=14).map("".join),
    st.lists(st.sampled_from(["1", "-1", "1.5", '"a"', "nil", "true", "1i", ".", ".State", ".Config.Env"]), max_size=3),
)
def test_printf_takes_any_format(text: str, arguments: list[str]) -> None:
    assert not outcome(f"{{{{printf `{text}` {' '.join(arguments)}}}}}").startswith("template: ")


DEEP = {
    "parentheses": "{{" + "(" * 5000 + "1" + ")" * 5000 + "}}",
    "calls": "{{" + "(len " * 5000 + ")" * 5000 + "}}",
    "blocks": "{{if 1}}" * 5000 + "{{end}}" * 5000,
    "alternatives": "{{if 0}}" + "{{else if 0}}" * 5000 + "{{end}}",
}


@pytest.mark.parametrize("name", DEEP)
def test_what_is_nested_too_deeply_is_an_error(name: str) -> None:
    assert outcome(DEEP[name]) == "template: :1: more than 100 parentheses and blocks inside one another"


@pytest.mark.parametrize(
    "template",
    [
        "{{" + "(" * 99 + "1" + ")" * 99 + "}}",
        "{{" + "(print " * 99 + "1" + ")" * 99 + "}}",
        "{{if true}}" * 99 + "1" + "{{end}}" * 99,
        "{{with 1}}" * 49 + "{{" + "(print " * 50 + "1" + ")" * 50 + "}}" + "{{end}}" * 49,
    ],
    ids=["parentheses", "calls", "blocks", "both"],
)
def test_what_is_nested_as_deeply_as_may_be_works(template: str) -> None:
    assert outcome(template) == "1"


def test_templates_that_call_themselves_for_ever_are_an_error() -> None:
    message = outcome('{{define "x"}}{{template "x" .}}{{end}}{{template "x" .}}')
    assert message.endswith('at <{{template "x" .}}>: exceeded maximum template depth (100000)')


def test_a_long_template_takes_no_longer_than_its_length_deserves() -> None:
    start = time.monotonic()
    assert len(outcome("{{.Name}}\n {{- .State.Pid -}} \n" * 5000)) == 40000
    assert outcome("{{" * 20000).startswith("template: ")
    assert outcome("{{`" + "\n" * 100000).startswith("template: ")
    assert time.monotonic() - start < 10
