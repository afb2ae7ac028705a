"""Commands about containers, against an engine with canned answers."""

import os
from pathlib import Path

import pytest

from cais.cli.main import run
from cais.client.codec import loads
from tests.unit.conftest import CannedEngine
from tests.unit.scripted_engine import answer

NO_CONTENT = answer("204 No Content")
Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("command", "request_"),
    [
        (["stop", "-t", "3", "-s", "INT"], "POST /containers/a/stop?t=3&signal=INT"),
        (["restart"], "POST /containers/a/restart"),
        (["restart", "-t", "0", "-s", "KILL"], "POST /containers/a/restart?t=0&signal=KILL"),
        (["kill", "-s", "HUP"], "POST /containers/a/kill?signal=HUP"),
        (["pause"], "POST /containers/a/pause"),
        (["container", "unpause"], "POST /containers/a/unpause"),
        (["rm", "-f", "-v"], "DELETE /containers/a?force=1&v=1"),
    ],
)
def test_the_same_is_done_to_each(canned: CannedEngine, capfd: Capture, command: list[str], request_: str) -> None:
    method, _, target = request_.partition(" ")
    canned.answers[f"{method} {target.partition('?')[0]}"] = NO_CONTENT
    assert run([*command, "a", "b", "a"]) == int("-f" not in command)
    captured = capfd.readouterr()
    assert captured.out == "a\na\n"
    assert captured.err.startswith("Error response from daemon: No such thing: /containers/b")
    assert canned.requests.count(request_) == 2


def test_several_containers_are_stopped_at_once(canned: CannedEngine) -> None:
    names = [f"c{number}" for number in range(60)]
    canned.answers.update({f"POST /containers/{name}/stop": NO_CONTENT for name in names})
    assert run(["stop", *names]) == 0
    assert canned.scripted is not None
    assert canned.scripted.connections == len(names)


def test_a_name_that_is_empty_is_no_container(canned: CannedEngine, capfd: Capture) -> None:
    for command in ("stop", "kill", "pause", "wait", "logs", "top", "start", "port"):
        run([command, ""])
        assert capfd.readouterr().err.startswith("invalid container name or ID: value is empty\n"), command
    assert run(["rm", ""]) == 1
    assert run(["diff", ""]) == 1
    assert capfd.readouterr().err == "container name cannot be empty\nContainer name cannot be empty\n"
    assert canned.requests == []


def test_an_old_flag_is_told_of(canned: CannedEngine, capfd: Capture) -> None:
    canned.answers["POST /containers/a/restart"] = NO_CONTENT
    assert run(["restart", "--time", "2", "a"]) == 0
    assert capfd.readouterr().out == "Flag --time has been deprecated, use --timeout instead\na\n"
    assert canned.requests == ["POST /containers/a/restart?t=2"]


def test_a_container_is_renamed(canned: CannedEngine, capfd: Capture) -> None:
    canned.answers["POST /containers/a/rename"] = NO_CONTENT
    assert run(["rename", "a", "b"]) == 0
    assert canned.requests == ["POST /containers/a/rename?name=b"]
    assert run(["rename", "nope", "b"]) == 1
    assert run(["rename", "a", " "]) == 1
    assert capfd.readouterr().err == (
        "Error response from daemon: No such thing: /containers/nope/rename\n"
        "Error: failed to rename container named nope\nError: Neither old nor new names may be empty\n"
    )


def test_limits_are_changed(canned: CannedEngine, capfd: Capture) -> None:
    canned.answers["POST /containers/a/update"] = {"Warnings": ["careful"]}
    flags = ["-m", "64m", "--cpus", "0.5", "--restart", "on-failure:3", "--pids-limit", "0", "-c", "5"]
    assert run(["update", *flags, "a", "nope"]) == 1
    captured = capfd.readouterr()
    assert captured.out == "a\ncareful\n"
    assert captured.err == "Error response from daemon: No such thing: /containers/nope/update\n"
    assert loads(canned.bodies[0]) == {
        "CpuShares": 5,
        "Memory": 64 << 20,
        "NanoCpus": 500_000_000,
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
    }


def test_something_has_to_be_changed(canned: CannedEngine, capfd: Capture) -> None:
    assert run(["update", "a"]) == 1
    assert run(["update", "--restart", "x:y", "a"]) == 1
    assert capfd.readouterr().err == (
        "you must provide one or more flags when using this command\n"
        "invalid restart policy format: maximum retry count must be an integer\n"
    )
    assert canned.requests == []


def test_changed_files_are_listed(canned: CannedEngine, capfd: Capture) -> None:
    changes = [{"Path": "/etc", "Kind": 0}, {"Path": "/x", "Kind": 1}, {"Path": "/bin/y", "Kind": 2}]
    canned.answers["GET /containers/a/changes"] = changes
    assert run(["diff", "a"]) == 0
    assert capfd.readouterr().out == "C /etc\nA /x\nD /bin/y\n"
    canned.answers["GET /containers/a/changes"] = answer("200 OK", b"null")
    assert run(["diff", "a"]) == 0


def test_files_are_exported(canned: CannedEngine, tmp_path: Path, capfd: Capture) -> None:
    canned.answers["GET /containers/a/export"] = answer("200 OK", b"archive")
    target = tmp_path / "a.tar"
    assert run(["export", "-o", str(target), "a"]) == 0
    assert target.read_bytes() == b"archive"
    assert run(["export", "a"]) == 0
    assert capfd.readouterr().out == "archive"
    assert run(["export", "-o", str(target), "nope"]) == 1
    assert target.read_bytes() == b"archive"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("a.tar")] == ["a.tar"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/nonexistent/x", "invalid output path: stat /nonexistent: no such file or directory"),
        ("/tmp", "cannot write to a directory"),
        ("/dev/null", "cannot write to a character device file"),
    ],
)
def test_an_archive_goes_to_a_regular_file(canned: CannedEngine, capfd: Capture, path: str, message: str) -> None:
    assert run(["export", "-o", path, "a"]) == 1
    assert capfd.readouterr().err == f"failed to export container: {message}\n"
    assert canned.requests == []


def test_an_archive_is_not_written_to_a_terminal(
    canned: CannedEngine, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "isatty", lambda _descriptor: True)
    assert run(["export", "a"]) == 1
    assert capfd.readouterr().err == "cowardly refusing to save to a terminal. Use the -o flag or redirect\n"
    assert canned.requests == []


PORTS = {
    "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],  # noqa: S104
    "443/udp": [{"HostIp": "127.0.0.1", "HostPort": "9"}],
    "99/tcp": None,
}


def test_ports_are_listed_by_number(canned: CannedEngine, capfd: Capture) -> None:
    canned.answers["GET /containers/a/json"] = {"NetworkSettings": {"Ports": PORTS}}
    assert run(["port", "a"]) == 0
    assert capfd.readouterr().out == "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n443/udp -> 127.0.0.1:9\n"
    assert run(["port", "a", "443/udp"]) == 0
    assert run(["port", "a", "80"]) == 0
    assert capfd.readouterr().out == "127.0.0.1:9\n0.0.0.0:8080\n[::]:8080\n"
    for port in ("443", "99", "70000", "x"):
        assert run(["port", "a", port]) == 1
    assert capfd.readouterr().err == (
        "Error: No public port '443' published for a\nError: No public port '99' published for a\n"
        'Error: invalid port (70000): strconv.ParseUint: parsing "70000": value out of range\n'
        'Error: invalid port (x): strconv.ParseUint: parsing "x": invalid syntax\n'
    )


def test_stopped_containers_are_removed(canned: CannedEngine, capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    canned.answers["POST /containers/prune"] = {"ContainersDeleted": ["c1", "c2"], "SpaceReclaimed": 1_984_305}
    assert run(["container", "prune", "-f", "--filter", "label=a"]) == 0
    assert capfd.readouterr().out == "Deleted Containers:\nc1\nc2\n\nTotal reclaimed space: 1.984MB\n"
    assert "filters=%7B%22label%22%3A%5B%22a%22%5D%7D" in canned.requests[0]
    for typed, asked in (("n\n", 1), ("", 1), ("y\n", 2)):
        _type(typed, monkeypatch)
        assert run(["container", "prune"]) == 0
        assert capfd.readouterr().out.startswith(
            "WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] "
        )
        assert len(canned.requests) == asked


def _type(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = list(text.encode())
    monkeypatch.setattr(os, "read", lambda _descriptor, _size: bytes([typed.pop(0)]) if typed else b"")


def test_everything_unused_is_removed(canned: CannedEngine, capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    canned.answers["POST /containers/prune"] = {"ContainersDeleted": ["c"], "SpaceReclaimed": 1000}
    canned.refuse("POST /networks/prune", "501 Not Implemented", "networks are not supported")
    canned.answers["POST /images/prune"] = {
        "ImagesDeleted": [{"Untagged": "x:1"}, {"Deleted": "sha256:2"}],
        "SpaceReclaimed": 500,
    }
    canned.answers["POST /build/prune"] = {"CachesDeleted": None, "SpaceReclaimed": 0}
    _type("y\n", monkeypatch)
    assert run(["system", "prune", "--filter", "label=a"]) == 0
    assert capfd.readouterr().out == (
        "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n"
        "  - all dangling images\n  - unused build cache\n\n"
        "  Items to be pruned will be filtered with:\n  - label=a\n\n"
        "Are you sure you want to continue? [y/N] Deleted Containers:\nc\n\n"
        "Deleted Images:\nuntagged: x:1\ndeleted: sha256:2\n\nTotal reclaimed space: 1.5kB\n"
    )
    assert "%22dangling%22%3A%5B%22true%22%5D" in canned.requests[2]
    assert run(["system", "prune", "-f", "--volumes", "--filter", "until=1h"]) == 1
    assert capfd.readouterr().err == 'ERROR: The "until" filter is not supported with "--volumes"\n'


def test_a_removal_that_fails_is_an_error(canned: CannedEngine, capfd: Capture) -> None:
    canned.refuse("POST /containers/prune", "409 Conflict", "a prune operation is already running")
    assert run(["system", "prune", "-f"]) == 1
    assert capfd.readouterr().err == "Error response from daemon: a prune operation is already running\n"


def test_the_mac_address_goes_where_an_old_engine_reads_it(canned: CannedEngine) -> None:
    canned.answers["GET /_ping"] = answer("200 OK", b"OK")
    canned.answers["POST /containers/create"] = {"Id": "c", "Warnings": []}
    assert run(["create", "--mac-address", "92:d0:c6:0a:29:33", "x"]) == 0
    assert "MacAddress" not in loads(canned.bodies[-1])
    endpoints = loads(canned.bodies[-1])["NetworkingConfig"]["EndpointsConfig"]
    assert endpoints == {"default": {"MacAddress": "92:d0:c6:0a:29:33"}}
