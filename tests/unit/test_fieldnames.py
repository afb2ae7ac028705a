"""Fields of requests in whatever case they are written, as Go reads them."""

from cais.api.fieldnames import as_declared
from cais.api.http import decode
from cais.engine.models import CreateRequest, ExecConfig


def test_names_in_another_case_are_those_that_are_declared() -> None:
    config = decode(b'{"cmd": ["a"], "detachKeys": "ctrl-x", "TTY": true, "ConsoleSize": null}', ExecConfig)
    assert (config.Cmd, config.DetachKeys, config.Tty) == (["a"], "ctrl-x", True)


def test_structs_within_and_lists_of_them_too() -> None:
    body = b"""{
        "image": "busybox", "labels": {"Some": "x", "some": "y"},
        "hostconfig": {"ulimits": [{"name": "nofile", "SOFT": 1, "hard": 2}], "logconfig": {"type": "none"}}
    }"""
    request = decode(body, CreateRequest)
    assert request.Image == "busybox"
    assert request.Labels == {"Some": "x", "some": "y"}
    assert request.host_config.log_config.Type == "none"
    assert request.host_config.Ulimits is not None
    (limit,) = request.host_config.Ulimits
    assert (limit.Name, limit.Soft, limit.Hard) == ("nofile", 1, 2)


def test_the_declared_spelling_comes_first_whatever_the_order() -> None:
    for body in ({"Tty": True, "tty": False}, {"tty": False, "Tty": True}):
        assert as_declared(body, ExecConfig) == {"Tty": True}


def test_unknown_fields_and_nulls_do_no_harm() -> None:
    assert as_declared({"foo": {"a": [None, {"b": None}]}, "cmd": None}, ExecConfig) == {"foo": {"a": [None, {}]}}
    assert as_declared([1], ExecConfig) == [1]
