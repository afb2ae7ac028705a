"""The language of templates: what they make, and what is said of those that are wrong.

The expectations in gotemplate_expected are what Docker's own client (28.2) says.
"""

import json
from pathlib import Path

import pytest

from cais.cli.gotemplate import Template, TemplateError
from cais.cli.gotemplate.typed import inspected
from tests.unit import gotemplate_samples as samples

EXPECTED = Path(__file__).parent / "gotemplate_expected"
CONTAINER = json.dumps(samples.CONTAINER).encode()


def expectations(name: str) -> list[list[str]]:
    found: list[list[str]] = json.loads((EXPECTED / f"{name}.json").read_text("utf-8"))
    return found


@pytest.mark.parametrize(("template", "text"), expectations("language"))
def test_templates_make_what_docker_makes_of_them(template: str, text: str) -> None:
    assert inspected(Template(template), "container", CONTAINER) == text


@pytest.mark.parametrize(("template", "text"), expectations("printf"))
def test_printf_formats_as_go_does(template: str, text: str) -> None:
    assert inspected(Template(template), "container", CONTAINER) == text


@pytest.mark.parametrize(("template", "message"), expectations("errors"))
def test_templates_that_fail_say_what_docker_says(template: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        inspected(Template(template), "container", CONTAINER)
    assert caught.value.message == message


@pytest.mark.parametrize(("template", "message"), expectations("parse_errors"))
def test_templates_that_cannot_be_read_say_what_docker_says(template: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(template)
    assert caught.value.message == message


def test_an_error_names_the_template_and_keeps_what_was_written() -> None:
    template = Template("one {{.Nope}} two", "version")
    with pytest.raises(TemplateError, match=r'^template: version:1:6: executing "version" at <\.Nope>: ') as caught:
        inspected(template, "container", CONTAINER)
    assert caught.value.written == "one "


def test_an_empty_template_makes_nothing() -> None:
    assert inspected(Template(""), "container", CONTAINER) == ""


def test_a_template_inside_replaces_a_blank_one() -> None:
    assert (
        inspected(Template('{{define "x"}} {{end}}{{define "x"}}a{{end}}{{template "x"}}'), "container", b"{}") == "a"
    )
    assert inspected(Template('{{define ""}}b{{end}}'), "container", b"{}") == "b"
