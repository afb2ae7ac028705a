"""Compose files: YAML, variables, environment files, the schema, and laying files over one another."""

import os
from pathlib import Path

import pytest

from cais.compose.document import Document
from cais.compose.dotenv import parse
from cais.compose.errors import ComposeError, FileError
from cais.compose.interpolate import substitute
from cais.compose.merge import merge
from cais.compose.model import Project
from cais.compose.project import Reading, Sources, Workspace
from cais.compose.reading import read
from cais.compose.schema import validate


def _one(text: str) -> Document:
    (document,) = read("compose.yaml", text)
    return document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("true", True),
        ("0440", 288),
        ("0o17", 15),
        ("0x1f", 31),
        ("08", 8.0),
        ("1_000", 1000),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("22:22", "22:22"),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ('"true"', "true"),
        ("2020-01-01", "2020-01-01 00:00:00 +0000 UTC"),
        ("1.2.3", "1.2.3"),
        ("+x", "+x"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = _one(f"a: {text}\n").data["a"]
    assert (type(found), found) == (type(value), value)


def test_lines_are_known_of_everything() -> None:
    document = _one("a:\n  b:\n    - 1\n    - c: 2\n")
    assert document.line(("a", "b", 1, "c")) == 4
    assert document.line(("a", "b", 1, "nothing", "here")) == 4
    assert document.line(("x",)) == 1


def test_anchors_merge_keys_and_the_tags_of_compose() -> None:
    document = _one(
        "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\none: {<<: *x, b: 9}\ntwo: {<<: [*x, *y]}\nthree: !override [1]\n"
        "four: !reset [1]\n"
    )
    assert document.data["one"] == {"a": 1, "b": 9}
    assert document.data["two"] == {"a": 1, "b": 2, "c": 4}
    assert document.overrides == [("three",)]
    assert document.resets == [("four",)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1", "f:2: while parsing a flow sequence, did not find expected ',' or ']'"),
        ("a: 1\na: 2\n", 'f:2: mapping key "a" already defined at line 1'),
        ("- a\n", "f:1: top-level object must be a mapping"),
        ("", "f: empty compose file"),
        ("a: &a [*a]\n", "f:1: cycle detected: node at path a[0] references itself"),
        ("a: {<<: 5}\n", "f:1: map merge requires map or sequence of maps as the value"),
        ("? [a]\n: b\n", "f:1: a key of the file is not text"),
    ],
)
def test_what_is_no_compose_file_is_an_error_with_its_line(text: str, said: str) -> None:
    with pytest.raises(FileError) as caught:
        read("f", text)
    assert str(caught.value).startswith(said)


def test_aliases_that_multiply_without_end_are_refused() -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 8)]
    with pytest.raises(FileError, match="excessive aliasing"):
        read("f", "\n".join(lines))


VARIABLES = {"SET": "value", "EMPTY": ""}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("$SET-${SET}", "value-value"),
        ("$$SET $${SET}", "$SET ${SET}"),
        ("${UNSET-a}${EMPTY-a}${EMPTY:-b}${SET:-b}", "abvalue"),
        ("${SET+a}${SET:+b}${EMPTY+c}${EMPTY:+d}${UNSET+e}", "abc"),
        ("${UNSET:-${OTHER:-${SET}}}", "value"),
        ("${UNSET-$SET}", "value"),
        ("${SET?no}${EMPTY?no}", "value"),
        ("x$SETTER", "x"),
        ("$SET.y", "value.y"),
    ],
)
def test_variables_are_replaced_by_all_operators(template: str, text: str) -> None:
    assert substitute(template, VARIABLES, lambda _name: None) == text


def test_a_variable_that_is_missing_is_told() -> None:
    told: list[str] = []
    assert substitute("$A ${B} ${C-}", {}, told.append) == "  "
    assert told == ["A", "B"]


@pytest.mark.parametrize("template", ["$", "a$", "${", "${A", "${}", "${1}", "${A!b}", "$1", "$-"])
def test_a_dollar_sign_that_begins_nothing_is_an_error(template: str) -> None:
    with pytest.raises(ComposeError):
        substitute(template, VARIABLES, lambda _name: None)


@pytest.mark.parametrize("template", ["${UNSET?why}", "${EMPTY:?why}", "${UNSET:?${SET}}"])
def test_a_variable_that_has_to_be_set_is_asked_for(template: str) -> None:
    with pytest.raises(ComposeError, match="is missing a value"):
        substitute(template, VARIABLES, lambda _name: None)


def test_environment_files() -> None:
    text = (
        'A=1\n# comment\n  B = two words # comment\nC=\'as $A it\\n is\'\nD="${A} \\"q\\"\\n\\$A"\nE=$A$OUT\n'
        'export F=f\nG: yaml\nOUT=kept\nH="two\nlines"\nI\nJ=a#b\nK=\n'
    )
    assert parse("f", text, {"OUT": "out", "I": "inherited"}) == {
        "A": "1",
        "B": "two words",
        "C": "as $A it\\n is",
        "D": '1 "q"\n$A',
        "E": "1out",
        "F": "f",
        "G": "yaml",
        "OUT": "kept",
        "H": "two\nlines",
        "I": "inherited",
        "J": "a#b",
        "K": "",
    }


@pytest.mark.parametrize(("text", "line"), [("A=1\nB='open", 2), ("A B=1\n", 1), ("\n\n!=1", 3)])
def test_environment_files_that_are_wrong(text: str, line: int) -> None:
    with pytest.raises(FileError) as caught:
        parse("f", text, {})
    assert caught.value.line == line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("services:\n a:\n  prots: []\n", "f:3: services.a.prots: additional property 'prots' is not allowed"),
        ("services:\n a:\n  prots: []\n", "is not allowed (did you mean 'ports'?)"),
        ("services:\n a:\n  ports:\n  - {target: [1]}\n", "f:4: services.a.ports[0].target: must be an integer"),
        ("services: {a: {depends_on: {b: {condition: service_helthy}}}}", "(did you mean 'service_healthy'?)"),
        ("services: {a: {cap_add: [X, X]}}", "items at 0 and 1 are equal"),
        ("services: {a: {depends_on: {b: {}}}}", "property 'condition' is missing"),
        ("services: {a: {oom_score_adj: 2000}}", "must be at most 1000, not 2000"),
        ("services: {a: 5}", "f:1: services.a: must be a mapping, not the number 5"),
        ("services: {'a b': {}}", "additional property 'a b' is not allowed"),
    ],
)  # fmt: skip
def test_what_the_schema_does_not_allow_is_said_with_file_line_and_key(text: str, said: str) -> None:
    (document,) = read("f", text)
    with pytest.raises(FileError) as caught:
        validate(document, document.data)
    assert said in str(caught.value)


def test_merging_joins_lists_by_what_their_items_stand_for() -> None:
    base = {"services": {"a": {"volumes": [{"target": "/x", "source": "1"}], "command": ["a"], "dns": ["1", "2"]}}}
    over = {"services": {"a": {"volumes": [{"target": "/x", "source": "2"}], "command": ["b"], "dns": ["2", "3"]}}}
    assert merge(base, over)["services"]["a"] == {
        "volumes": [{"target": "/x", "source": "2"}],
        "command": ["b"],
        "dns": ["1", "2", "3"],
    }
    assert base["services"]["a"]["command"] == ["a"]


def _project(folder: Path, *, profiles: tuple[str, ...] = ()) -> Project:
    sources = Sources([str(folder / "compose.yaml")], profiles=profiles)
    return Workspace(sources, {}, lambda _text: None).read(how=Reading())


def test_a_project_is_selected_with_what_its_services_depend_on(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        "services:\n a: {image: x, depends_on: [b]}\n b: {image: x, depends_on: [c]}\n c: {image: x}\n d: {image: x}\n"
    )
    project = _project(tmp_path)
    assert project.ordered() == ["c", "b", "a", "d"]
    assert list(project.selected(["a"]).services) == ["a", "b", "c"]
    alone = project.selected(["a"], dependencies=False)
    assert list(alone.services) == ["a"]
    assert alone.services["a"]["depends_on"] == {}
    with pytest.raises(ComposeError, match="no such service: nope"):
        project.selected(["nope"])


def test_the_nearest_file_above_is_found_and_gives_the_project_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "My.Project_1"
    inner = folder / "a/b"
    os.makedirs(inner)
    (folder / "docker-compose.yml").write_text("services: {a: {image: x}}\n")
    (folder / "docker-compose.override.yml").write_text("services: {a: {image: y}}\n")
    monkeypatch.chdir(inner)
    project = Workspace(Sources(), {}, lambda _text: None).read()
    assert (project.name, project.services["a"]["image"]) == ("myproject_1", "y")
    assert project.directory == str(folder)


def test_an_error_of_a_service_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services:\n  a:\n    image: x\n    networks: [none]\n")
    with pytest.raises(ComposeError) as caught:
        _project(tmp_path)
    assert str(caught.value) == (
        f'{tmp_path}/compose.yaml:4: service "a" refers to undefined network none: invalid compose project'
    )
