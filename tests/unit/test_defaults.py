from typing import Any

import msgspec
import pytest

from cais.distribution.oci import ContainerConfig as ImageDefaults
from cais.engine.defaults import command, merge
from cais.engine.models import CreateRequest
from cais.errors import InvalidArgument

IMAGE = ImageDefaults(
    user="web",
    env=["PATH=/image", "LANG=C"],
    entrypoint=["/entry"],
    cmd=["default", "args"],
    working_dir="/srv",
    labels={"a": "image", "b": "image"},
    exposed_ports={"80/tcp": {}},
    volumes={"/data": {}},
    stop_signal="SIGINT",
    stop_timeout=3,
)


def _request(**config: Any) -> CreateRequest:
    return msgspec.convert({"Image": "x", **config}, CreateRequest)


@pytest.mark.parametrize(
    ("config", "runs"),
    [
        ({}, ["/entry", "default", "args"]),
        ({"Cmd": ["mine"]}, ["/entry", "mine"]),
        ({"Cmd": "mine"}, ["/entry", "mine"]),
        ({"Entrypoint": ["/mine"]}, ["/mine"]),
        ({"Entrypoint": "/mine", "Cmd": ["x"]}, ["/mine", "x"]),
        ({"Entrypoint": []}, ["default", "args"]),
        ({"Entrypoint": [""], "Cmd": ["x"]}, ["x"]),
        ({"Entrypoint": "", "Cmd": ["x"]}, ["x"]),
    ],
    ids=str,
)
def test_what_is_run(config: dict[str, Any], runs: list[str]) -> None:
    path, args = command(merge(_request(**config), IMAGE))
    assert [path, *args] == runs


@pytest.mark.parametrize("config", [{}, {"Cmd": []}, {"Entrypoint": [""]}], ids=str)
def test_something_must_be_run(config: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="no command specified"):
        merge(_request(**config), ImageDefaults())


def test_the_user_s_variables_come_first_and_win() -> None:
    assert merge(_request(Env=["LANG=pt", "X=1"]), IMAGE).Env == ["LANG=pt", "X=1", "PATH=/image"]


def test_the_rest_is_the_image_s_where_nothing_was_said() -> None:
    config = merge(_request(Labels={"a": "mine"}, ExposedPorts={"81/udp": {}}), IMAGE)
    assert (config.User, config.WorkingDir, config.StopSignal, config.StopTimeout) == ("web", "/srv", "SIGINT", 3)
    assert config.Labels == {"a": "mine", "b": "image"}
    assert config.ExposedPorts == {"81/udp": {}, "80/tcp": {}}
    assert config.Volumes == {"/data": {}}


def test_the_user_wins() -> None:
    config = merge(_request(User="0", WorkingDir="/w", StopSignal="KILL", StopTimeout=0), IMAGE)
    assert (config.User, config.WorkingDir, config.StopSignal, config.StopTimeout) == ("0", "/w", "KILL", 0)
