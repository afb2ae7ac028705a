"""`--format` of lists: rows that a program makes, tables, and the titles above them. Expectations are Docker's."""

import pytest

from cais.cli.gotemplate import Listing, Method, Template, TemplateError, check
from cais.cli.gotemplate.rows import row_type
from cais.cli.gotemplate.table import aligned, columns
from cais.cli.gotemplate.values import Value

TYPE = "formatter.ContainerContext"
TITLES = {
    "ID": "CONTAINER ID",
    "Names": "NAMES",
    "Image": "IMAGE",
    "Labels": "LABELS",
    "State": "STATE",
    "Size": "SIZE",
    "Platform": "PLATFORM",
}


def row(identifier: str, name: str, image: str = "busybox", labels: str = "") -> dict[str, object]:
    known = dict(pair.split("=") for pair in labels.split(",") if pair)
    return {
        "ID": identifier,
        "Names": name,
        "Image": image,
        "Labels": labels,
        "Label": Method(lambda key: known.get(key, "")),
        "State": "running",
        "Size": lambda: "5B",
        "Platform": None,
    }


ROWS = [row("000", "a"), row("111", "a-much-longer-name", "中文:1", "x.y-z=1,k=v"), row("222", "c", "<b>&")]


def rendered(template: str, rows: list[dict[str, object]] | None = None) -> str:
    return Listing(template, TYPE).render(ROWS if rows is None else rows, TITLES)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.ID}}", "000\n111\n222\n"),
        ("  {{.ID}} ", "000\n111\n222\n"),
        (r"{{.ID}}\t{{.Names}}\n", "000\ta\n\n111\ta-much-longer-name\n\n222\tc\n\n"),
        ('{{.Label "k"}}|{{.Label "x.y-z"}}|{{"k" | .Label}}', "||\nv|1|v\n||\n"),
        ("{{upper .Names}} {{len .ID}} {{slice .ID 0 1}}", "A 3 0\nA-MUCH-LONGER-NAME 3 1\nC 3 2\n"),
        ("{{json .Image}} {{json .Platform}}", '"busybox" null\n"中文:1" null\n"<b>&" null\n'),
        ("{{.Platform}}", "<nil>\n" * 3),
        ('{{if eq .State "running"}}{{with .Names}}{{.}}{{$.Size}}{{end}}{{end}}', "a5B\na-much-longer-name5B\nc5B\n"),
        ('{{printf "%T %T" . .ID}}', "*formatter.ContainerContext string\n" * 3),
        ('{{println "a\\tb"}}', "a\tb\n\n" * 3),
        ("json ", "json\n" * 3),
        ("{{.Names | printf `%-8s|`}}", "a       |\na-much-longer-name|\nc       |\n"),
    ],
)  # fmt: skip
def test_a_template_is_applied_to_each_row(template: str, text: str) -> None:
    assert rendered(template) == text


def test_json_has_all_fields_by_name_and_escapes_what_is_special_in_html() -> None:
    lines = rendered("json").splitlines()
    assert lines[2] == (
        '{"ID":"222","Image":"\\u003cb\\u003e\\u0026","Labels":"","Names":"c",'
        '"Platform":null,"Size":"5B","State":"running"}'
    )
    assert rendered("{{json .}}") == rendered("json")


@pytest.mark.parametrize(
    ("template", "lines"),
    [
        (
            r"table {{.ID}}\t{{.Names}}\t{{.Image}}",
            [
                "CONTAINER ID   NAMES                IMAGE",
                "000            a                    busybox",
                "111            a-much-longer-name   中文:1",
                "222            c                    <b>&",
            ],
        ),
        (
            r"table{{.Image}}\t{{.ID}}",
            ["IMAGE     CONTAINER ID", "busybox   000", "中文:1    111", "<b>&      222"],
        ),
        (
            r'table {{.Label "x.y-z"}}\t{{upper .Names}}|{{truncate .Names 1}}',
            ["y z       NAMES|NAMES", "          A|a", "1         A-MUCH-LONGER-NAME|a", "          C|c"],
        ),
        (
            r"table {{pad .Names 2 2}}\t{{json .ID}}",
            [
                '  NAMES                  CONTAINER ID',
                '  a                      "000"',
                '  a-much-longer-name     "111"',
                '  c                      "222"',
            ],
        ),
        (
            r'table {{if eq .State "running"}}R{{end}}\t{{.ID}}',
            ["          CONTAINER ID", "R         000", "R         111", "R         222"],
        ),
        (r'table {{range split .Names "-"}}{{.}}{{end}} {{.ID}}', ["", "a 000", "amuchlongername 111", "c 222"]),
        ("table ", ["", "", "", ""]),
        ("tablex", ["x", "x", "x", "x"]),
    ],
)  # fmt: skip
def test_a_table_has_titles_and_columns(template: str, lines: list[str]) -> None:
    assert rendered(template) == "".join(f"{line}\n" for line in lines)


def test_a_list_without_rows() -> None:
    assert rendered("{{.ID}}", []) == ""
    assert rendered(r"table {{.ID}}\t{{.Names}}", []) == "CONTAINER ID   NAMES\n"
    assert rendered(r"table {{.Nope}}\t{{.ID}} {{.ID.Nope}}", []) == "<no value>   CONTAINER ID \n"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{.ID", "template: :1: unclosed action"),
        ('{{println "a\\nb"}}', "template: :1: unterminated quoted string"),
        ("{{.Foo}}", f'template: :1:2: executing "" at <.Foo>: can\'t evaluate field Foo in type *{TYPE}'),
        ("table {{.Foo}}", f'template: :1:2: executing "" at <.Foo>: can\'t evaluate field Foo in type *{TYPE}'),
        ("{{.ID.Foo}}", "template: :1:5: executing \"\" at <.ID.Foo>: can't evaluate field Foo in type string"),
        ("{{.Label}}", 'template: :1:2: executing "" at <.Label>: wrong number of args for Label: want 1 got 0'),
        ("{{.Label 1}}", 'template: :1:9: executing "" at <1>: expected string; found 1'),
        ("{{.ID 1}}", 'template: :1:2: executing "" at <.ID>: wrong number of args for ID: want 0 got 1'),
        ("{{len .}}", f'template: :1:2: executing "" at <len .>: error calling len: len of type {TYPE}'),
        (
            "{{join .Names `,`}}",
            'template: :1:7: executing "" at <.Names>: wrong type for value; expected []string; got string',
        ),
    ],
)  # fmt: skip
def test_errors_name_the_type_of_the_row(template: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        rendered(template)
    assert caught.value.message == f"template parsing error: {message}"


def test_a_template_can_be_checked_in_advance_and_tells_the_fields_that_it_needs() -> None:
    asked: list[str] = []

    def size() -> str:
        asked.append("Size")
        return ""

    empty = row("", "") | {"Size": size}
    check("{{.ID}}", empty, TYPE)
    assert not asked
    check("table {{.ID}} {{.Size}}", empty, TYPE)
    assert asked == ["Size"]
    with pytest.raises(TemplateError, match=r'^failed to parse template: template: :1: function "ID" not defined$'):
        check("{{ID}}", empty, TYPE)
    with pytest.raises(TemplateError, match=r"^failed to execute template: template: :1:8: executing .* at <\.Foo>: "):
        check("table {{.Foo}}", empty, TYPE)


def test_fields_may_be_more_than_texts() -> None:
    rows: list[dict[str, object]] = [{"N": 3, "F": 1.5, "B": True, "L": ["a", "b"], "M": {"k": 1}, "X": lambda: 7}]
    template = '{{.N}} {{.F}} {{.B}} {{.L}} {{.M}} {{.X}} {{join .L ","}} {{range .L}}<{{.}}>{{end}}{{lt .N 4}} {{.}}'
    assert rendered(template, rows) == "3 1.5 true [a b] map[k:1] 7 a,b <a><b>true {true 1.5 [a b] map[k:1] 3 7}\n"
    assert rendered("json", rows) == '{"B":true,"F":1.5,"L":["a","b"],"M":{"k":1},"N":3,"X":7}\n'


@pytest.mark.parametrize(
    ("text", "laid_out"),
    [
        ("a\tb", "a         b"),
        ("a\tb\nlonger-than-ten\tc\n", "a                 b\nlonger-than-ten   c\n"),
        ("a\tb\nno tab\nlonger-than-ten\tc", "a         b\nno tab\nlonger-than-ten   c"),
        ("a\t\tb\n\tx\t", "a                   b\n          x         "),
        ("a\tb\tc\nd\te", "a         b         c\nd         e"),
        ("a\vb\flonger-than-ten\tc", "a         b\nlonger-than-ten   c"),
        ("plain\n", "plain\n"),
        ("é\tb\n中文\tc\ne\u0301\td", "é         b\n中文      c\ne\u0301         d"),
    ],
)
def test_columns_are_as_wide_as_their_widest_cell(text: str, laid_out: str) -> None:
    assert aligned(text) == laid_out


def test_the_width_of_text() -> None:
    assert [columns(text) for text in ("", "abc", "中文", "é", "e\u0301", "a\x1b", "🙂")] == [0, 3, 4, 1, 1, 1, 2]


def test_a_row_is_a_template_s_data_like_any_other() -> None:
    assert Template("{{.ID}}{{if .}}!{{end}}").apply(Value(row_type(TYPE), ROWS[0])) == "000!"
