from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from cais.api import http
from cais.engine.models import CreateRequest
from cais.errors import Conflict, InvalidArgument, NotFound, NotModified
from cais.runtime.cgroups import CgroupError


def _query(text: str) -> Any:
    return make_mocked_request("GET", f"/x?{text}")


def test_an_error_has_the_status_of_its_nearest_class() -> None:
    class Special(Conflict):
        pass

    assert http.status_of(Special("x")) == 409
    assert http.status_of(CgroupError("x")) == 500
    assert http.status_of(NotModified("x")) == 304


def test_not_modified_has_no_body() -> None:
    assert http.error_answer(304, "already").body is None
    assert http.error_answer(404, "gone").body == b'{"message":"gone"}\n'


@pytest.mark.parametrize("text", ["", "a=", "a=0", "a=no", "a=False", "a=none", "b=1"])
def test_what_is_false_in_a_query(text: str) -> None:
    assert http.bool_query(_query(text), "a") is False


@pytest.mark.parametrize("text", ["a=1", "a=true", "a=yes", "a=2", "a=anything"])
def test_what_is_true_in_a_query(text: str) -> None:
    assert http.bool_query(_query(text), "a") is True


def test_integers_of_a_query() -> None:
    assert http.int_query(_query("t=-1"), "t") == -1
    assert http.int_query(_query(""), "t", 7) == 7
    assert http.optional_int_query(_query("t="), "t") is None
    with pytest.raises(InvalidArgument, match='parsing "a": invalid syntax'):
        http.int_query(_query("t=a"), "t", 7)
    with pytest.raises(InvalidArgument, match="out of range"):
        http.parse_int("9223372036854775808")
    with pytest.raises(InvalidArgument, match="invalid syntax"):
        http.parse_int("")
    with pytest.raises(InvalidArgument, match="out of range"):
        http.parse_int("1" * 5000)


@pytest.mark.parametrize("text", ['{"a":["x","y"]}', '{"a":{"x":true,"y":true,"z":false}}'])
def test_both_forms_of_filters(text: str) -> None:
    assert http.parse_filters(text).get("a") == ("x", "y")


@pytest.mark.parametrize("text", ["zzz", "[]", '{"a":1}', '{"a":[1]}', "[" * 100_000])
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid filter"):
        http.parse_filters(text)


def test_versions() -> None:
    assert http.parse_version("1.24") == (1, 24)
    assert http.parse_version("1.51") == (1, 51)
    with pytest.raises(InvalidArgument, match=r"client version 1.52 is too new. Maximum supported API version is 1.51"):
        http.parse_version("1.52")
    with pytest.raises(InvalidArgument, match=r"client version 1.5 is too old. Minimum supported API version is 1.24"):
        http.parse_version("1.5")
    with pytest.raises(InvalidArgument):
        http.parse_version("1.²")


def test_a_null_means_not_given() -> None:
    request = http.decode(
        b'{"Image":"x","Env":null,"Tty":null,"HostConfig":{"Memory":null,"Binds":null}}', CreateRequest
    )
    assert request.Env is None
    assert request.Tty is False
    assert request.host_config.Memory == 0


def test_unknown_fields_are_ignored() -> None:
    assert http.decode(b'{"Image":"x","Colour":"red"}', CreateRequest).Image == "x"


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"Image":1}', b"\xff", b"[" * 100_000])
def test_a_body_that_does_not_fit_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidArgument, match="invalid JSON"):
        http.decode(body, CreateRequest)


def test_nothing_may_follow_the_document() -> None:
    with pytest.raises(InvalidArgument, match=r"^invalid JSON: unexpected content after JSON$"):
        http.decode(b"{} more", CreateRequest)


def test_messages_are_the_errors_own() -> None:
    assert http.status_of(NotFound("No such container: x")) == 404
