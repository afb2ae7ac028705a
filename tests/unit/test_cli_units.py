"""Sizes, durations, names and tables as Docker shows them."""

import time

import pytest

from cais.cli import units
from cais.cli.formats import Columns, Labelled, json_line, table
from cais.cli.gotemplate import TemplateError
from cais.gotext import go_quote


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (1_984_305, "1.98MB"), (4_200_000, "4.2MB"), (123_456_789_000, "123GB")],
)
def test_sizes_have_three_significant_digits(size: int, expected: str) -> None:
    assert units.human_size(size) == expected


def test_sizes_can_be_more_exact_or_binary() -> None:
    assert units.human_size(1_984_305, 4) == "1.984MB"
    assert units.human_binary_size(25_276_514_304) == "23.54GiB"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.5, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (125, "2 minutes"),
        (3600, "About an hour"),
        (5400, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (14 * 86400, "2 weeks"),
        (60 * 86400, "2 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_durations_are_rough(seconds: float, expected: str) -> None:
    assert units.human_duration(seconds) == expected


def test_an_age_is_a_duration_ago() -> None:
    assert units.age(time.time() - 125) == "2 minutes ago"


def test_a_time_is_shown_in_the_zone_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Lisbon")
    time.tzset()
    try:
        assert units.local_time(1_750_000_000) == "2025-06-15 16:06:40 +0100 WEST"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("short", "short"),
        ("x" * 20, "x" * 20),
        ("x" * 21, "x" * 19 + "…"),
        ("日本語日本語日本語日本語", "日本語日本語日本語…"),
        ("é" * 20, "é" * 20),
    ],
)
def test_long_texts_end_in_an_ellipsis(text: str, expected: str) -> None:
    assert units.ellipsis(text, 20) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [('a "b"', '"a \\"b\\""'), ("a\n\t\\", '"a\\n\\t\\\\"'), ("\x1b\x7f", '"\\x1b\\x7f"'), ("é…", '"é…"')],
)
def test_quotes_are_go_s(text: str, expected: str) -> None:
    assert go_quote(text) == expected


def test_short_ids_have_no_algorithm() -> None:
    assert units.short_id("sha256:" + "ab" * 32) == "ab" * 6
    assert units.short_id("cd" * 32) == "cd" * 6


def test_columns_are_three_apart_and_ten_wide_at_least() -> None:
    assert table([["ID", "IMAGE", "NAMES"], ["abcdefghijkl", "x", "n"]]) == (
        "ID             IMAGE     NAMES\nabcdefghijkl   x         n"
    )


def test_a_line_of_json_is_sorted() -> None:
    assert json_line({"b": "<none>", "a": None}) == '{"a":null,"b":"\\u003cnone\\u003e"}'


def _render(template: str, *, raw: str = "") -> str:
    columns = Columns("formatter.fooContext", {"ID": "IDENTITY", "Name": "NAME"}, ("ID", "Name"), raw)
    rows = [
        {"ID": "1", "Name": lambda: "one", "Label": Labelled({"a": "b"})},
        {"ID": "2", "Name": "両", "Label": Labelled({})},
    ]
    return columns.render(template, rows)


def test_lists_are_shown_as_wanted() -> None:
    table_text = "IDENTITY   NAME\n1          one\n2          両\n"
    assert _render("") == _render("table") == table_text
    assert _render("table {{.Name}}\\t{{.ID}}") == "NAME      IDENTITY\none       1\n両        2\n"
    assert _render("json") == '{"ID":"1","Name":"one"}\n{"ID":"2","Name":"両"}\n'
    assert _render('{{.ID}}{{.Label "a"}}') == "1b\n2\n"
    assert _render("raw", raw="id: {{.ID}}") == "id: 1\nid: 2\n"


def test_a_bad_template_is_told_of_in_docker_s_words() -> None:
    with pytest.raises(TemplateError, match=r"^template parsing error: template: :1: unclosed action$"):
        _render("{{.ID")
    with pytest.raises(TemplateError, match=r"can't evaluate field Foo in type \*formatter.fooContext$"):
        _render("{{.Foo}}")
