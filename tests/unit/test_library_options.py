"""What the API is sent for the library's options."""

from pathlib import Path

import pytest

from cais.errors import InvalidArgument
from cais.library.options import ContainerOptions, creation, environment, size_bytes, words


def host(options: ContainerOptions) -> object:
    return creation("image", None, options)["HostConfig"]


def test_what_is_not_given_is_left_to_the_image_and_the_engine() -> None:
    assert creation("image", None, {}) == {
        "Image": "image", "Cmd": None, "Entrypoint": None, "AttachStdout": True, "AttachStderr": True, "HostConfig": {},
    }  # fmt: skip


def test_the_command_and_the_process() -> None:
    body = creation(
        "image",
        ["echo", "a b"],
        {"entrypoint": ("sh", "-c"), "env": {"A": "b=c"}, "user": "7:8", "workdir": "/w", "tty": True, "stdin": True},
    )
    assert (body["Cmd"], body["Entrypoint"], body["Env"]) == (["echo", "a b"], ["sh", "-c"], ["A=b=c"])
    assert (body["User"], body["WorkingDir"], body["Tty"]) == ("7:8", "/w", True)
    assert (body["OpenStdin"], body["StdinOnce"], body["AttachStdin"]) == (True, True, True)


def test_sizes_shares_and_limits() -> None:
    options: ContainerOptions = {
        "memory": "64m",
        "shm_size": 4096,
        "cpus": 0.25,
        "ulimits": {"core": 0, "nofile": (1, 2)},
    }
    assert host(options) == {
        "Memory": 64 << 20,
        "ShmSize": 4096,
        "NanoCpus": 250_000_000,
        "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}, {"Name": "nofile", "Soft": 1, "Hard": 2}],
    }


def test_mounts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    options: ContainerOptions = {
        "volumes": {Path("/a"): "/b:ro", "./c": "/d", Path("e"): "/f", "name": "/g"},
        "tmpfs": {"/t": ""},
    }
    assert host(options) == {
        "Binds": ["/a:/b:ro", f"{tmp_path}/c:/d", f"{tmp_path}/e:/f", "name:/g"],
        "Tmpfs": {"/t": ""},
    }
    with pytest.raises(InvalidArgument, match="has a colon"):
        host({"volumes": {"/a:b": "/c"}})


@pytest.mark.parametrize(
    ("text", "policy"),
    [("always", ("always", 0)), ("on-failure:3", ("on-failure", 3)), ("on-failure", ("on-failure", 0))],
)
def test_restart_policies(text: str, policy: tuple[str, int]) -> None:
    assert host({"restart": text}) == {"RestartPolicy": {"Name": policy[0], "MaximumRetryCount": policy[1]}}


def test_a_restart_policy_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="invalid restart policy 'on-failure:many'"):
        host({"restart": "on-failure:many"})


def test_fields_of_the_api_come_last() -> None:
    body = creation("image", None, {"user": "7", "config": {"User": "8"}, "host_config": {"Memory": 1}, "memory": 2})
    assert (body["User"], body["HostConfig"]) == ("8", {"Memory": 1})


def test_what_is_not_understood_is_refused() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'nane'"):
        creation("image", None, {"nane": "x"})  # type: ignore[typeddict-unknown-key]
    with pytest.raises(TypeError, match=r"a command is a list of words: \['echo hi'\]"):
        words("echo hi")
    with pytest.raises(TypeError, match="'A' is no str"):
        environment({"A": 1})  # type: ignore[dict-item]
    with pytest.raises(InvalidArgument, match="invalid size"):
        size_bytes("much")
