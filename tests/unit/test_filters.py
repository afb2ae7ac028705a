import pytest

from cais.engine.filters import Filters
from cais.errors import InvalidArgument


def test_what_was_not_asked_for_matches_everything() -> None:
    filters = Filters()
    assert not filters
    assert filters.exact("status", "running")
    assert filters.matches("name", "anything")
    assert filters.prefix("id", "abc")
    assert filters.labels("label", {})
    assert filters.boolean("dangling", True) is True


def test_one_value_of_a_key_suffices() -> None:
    filters = Filters({"status": ["running", "exited"]})
    assert filters.exact("status", "exited")
    assert not filters.exact("status", "created")


def test_a_name_is_a_regular_expression_found_anywhere() -> None:
    filters = Filters({"name": ["^/?web", "("]})
    assert filters.matches("name", "web-1", "/web-1")
    assert not filters.matches("name", "db", "/db")
    assert Filters({"name": ["("]}).matches("name", "(")


def test_every_label_must_be_there() -> None:
    labels = {"a": "1", "b": ""}
    assert Filters({"label": ["a", "a=1", "b="]}).labels("label", labels)
    assert not Filters({"label": ["a", "c"]}).labels("label", labels)
    assert not Filters({"label": ["a=2"]}).labels("label", labels)


def test_an_unknown_key_is_refused_by_name() -> None:
    with pytest.raises(InvalidArgument, match="invalid filter 'colour'"):
        Filters({"colour": ["red"]}).validate({"name"})


@pytest.mark.parametrize(("values", "meant"), [(["true"], True), (["1", "T"], True), (["false"], False)])
def test_booleans(values: list[str], meant: bool) -> None:
    assert Filters({"dangling": values}).boolean("dangling", not meant) is meant


@pytest.mark.parametrize("values", [["maybe"], ["true", "false"]])
def test_what_is_no_boolean_is_refused(values: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        Filters({"dangling": values}).boolean("dangling", False)


def test_what_is_no_integer_is_refused() -> None:
    assert Filters({"exited": ["0", "137"]}).integers("exited") == (0, 137)
    with pytest.raises(InvalidArgument, match=r'strconv\.Atoi: parsing "x": invalid syntax'):
        Filters({"exited": ["x"]}).integers("exited")
