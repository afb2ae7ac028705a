"""States of a stage: what instructions about the configuration do, and what a step's key depends on."""

from dataclasses import replace

import pytest

from cais.build.dockerfile import parse
from cais.build.expansion import expand_instruction
from cais.build.state import State, apply, key_of, of_scratch, workdir
from cais.errors import InvalidArgument


def applied(*lines: str, state: State | None = None) -> State:
    state = state or of_scratch("amd64", "")
    for line in parse("FROM scratch\n" + "\n".join(lines)).stages[0].instructions:
        state = apply(state, expand_instruction(line, state.variables))
    return state


def test_variables_are_the_environment_before_arguments() -> None:
    state = replace(of_scratch("amd64", ""), arguments={"A": "argument", "B": "other"})
    state = applied("ENV A=env", "ENV C=$A$B", state=state)
    assert state.variables["A"] == "env"
    assert state.config.env is not None
    assert state.config.env[1:] == ["A=env", "C=envother"]


@pytest.mark.parametrize(
    ("before", "path", "after"),
    [("", "a", "/a"), ("/a", "b/../c/.", "/a/c"), ("/a", "/b", "/b"), ("/a", "../../..", "/"), ("", "//x", "/x")],
)
def test_working_folders(before: str, path: str, after: str) -> None:
    assert workdir(before, path) == after


def test_values_that_make_no_sense() -> None:
    for line in ("STOPSIGNAL NONSENSE", "EXPOSE 70000", "EXPOSE 80/x", 'VOLUME [" "]'):
        with pytest.raises(InvalidArgument):
            applied(line)


def test_a_key_depends_on_each_part_and_on_where_it_stands() -> None:
    keys = {key_of("run", "a", "b"), key_of("run", "ab"), key_of("run", "b", "a"), key_of("copy", "a", "b")}
    assert len(keys) == 4
    assert key_of("run", "a", ["b"]) == key_of("run", "a", ["b"])


def test_an_image_is_named_by_all_that_it_is() -> None:
    state = applied("LABEL a=b").noted("LABEL a=b", 1_000_000_000)
    again = applied("LABEL a=b").noted("LABEL a=b", 1_000_000_000)
    assert state.image_id == again.image_id
    assert state.image_id != applied("LABEL a=b").noted("LABEL a=b", 2_000_000_000).image_id
    assert state.id == again.id == replace(state, created_ns=5).id
