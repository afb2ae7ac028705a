"""Who may reach the engine, and what odd input does to it."""

import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

from tests.harness import host
from tests.harness.engine import Daemon, wait_until
from tests.harness.inside import INTERPRETER

# Sockets and folders of the engine


def test_no_control_socket_is_in_the_abstract_namespace(caisd: Daemon) -> None:
    """CVE-2020-15257: a container that shares the host's network could connect to it."""
    caisd.docker_output("run", "-d", "--network", "host", "--name", "neighbour", "busybox", "sleep", "100")
    pids = [caisd.pid, caisd.spawner_pid, caisd.monitor_pid("neighbour")]
    inodes = {
        match[1] for pid in pids for path in host.open_files(pid) if (match := re.fullmatch(r"socket:\[(\d+)\]", path))
    }
    for line in Path("/proc/net/unix").read_text("utf-8").splitlines()[1:]:
        fields = line.split()
        if fields[6] in inodes and len(fields) > 7:
            assert fields[7].startswith("/"), line


def test_the_sockets_of_the_engine_are_for_their_owner_alone(caisd: Daemon) -> None:
    caisd.docker_output("run", "-d", "busybox", "sleep", "100")
    # os.walk passes over what is deleted meanwhile
    found = (Path(folder, name) for folder, _, names in os.walk(caisd.exec_root) for name in names)
    sockets = [path for path in found if path.is_socket()]
    assert Path(caisd.socket) in sockets
    assert len(sockets) > 1
    for path in sockets:
        allowed = 0o660 if path == Path(caisd.socket) else 0o600
        assert path.stat().st_mode & 0o777 & ~allowed == 0, path
    for folder in (caisd.exec_root, caisd.exec_root / "containers"):
        assert folder.stat().st_mode & 0o077 & ~0o011 == 0, folder


@pytest.mark.parametrize("folder", ["data", "data/containers", "data/layers", "data/blobs", "run/containers"])
def test_an_ordinary_user_cannot_walk_the_state(caisd: Daemon, folder: str) -> None:
    caisd.root.chmod(0o755)
    try:
        done = subprocess.run(
            ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "ls", str(caisd.root / folder)],
            check=False, capture_output=True, text=True, timeout=20,
        )  # fmt: skip
    finally:
        caisd.root.chmod(0o700)
    assert done.returncode != 0
    assert "Permission denied" in done.stderr


def test_an_ordinary_user_cannot_use_the_api(caisd: Daemon) -> None:
    caisd.root.chmod(0o755)
    try:
        connect = f"import socket; socket.socket(socket.AF_UNIX).connect({caisd.socket!r})"
        done = subprocess.run(
            ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", INTERPRETER, "-c", connect],
            check=False, capture_output=True, text=True, timeout=20,
        )  # fmt: skip
    finally:
        caisd.root.chmod(0o700)
    assert "PermissionError" in done.stderr


# Injection


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31m", "a/b", "../x", "-a", ".", "a b", "a\x00b", "é", "a%0ab"])
def test_a_name_with_odd_characters_is_refused(caisd: Daemon, name: str) -> None:
    encoded = "".join(f"%{byte:02x}" for byte in name.encode())
    answer = caisd.ask("POST", f"/containers/create?name={encoded}", {"Image": "busybox", "Cmd": ["true"]})
    assert answer.status == 400
    assert caisd.containers() == []


@pytest.mark.parametrize("field", ["Hostname", "Domainname"])
@pytest.mark.parametrize("text", ["a\n10.0.0.1 evil", "a b", "a\x00", "x" * 300])
def test_a_host_name_that_would_write_lines_of_its_own_is_refused(caisd: Daemon, field: str, text: str) -> None:
    answer = caisd.ask("POST", "/containers/create?name=victim", {"Image": "busybox", "Cmd": ["true"], field: text})
    if answer.status == 201:
        answer = caisd.ask("POST", "/containers/victim/start")
    assert 400 <= answer.status <= 500
    assert caisd.ask("GET", "/_ping").status == 200


def test_labels_and_environment_keep_odd_characters_and_stay_apart(caisd: Daemon) -> None:
    odd = 'a\n"b"\x1b[31m\\ {"x": 1}'
    body = {
        "Image": "busybox",
        "Cmd": ["sh", "-c", 'printf "%s" "$ODD"'],
        "Env": [f"ODD={odd}"],
        "Labels": {"odd": odd, odd: "key"},
    }
    assert caisd.ask("POST", "/containers/create?name=odd", body).status == 201
    shown = caisd.inspect("odd")["Config"]
    assert shown["Labels"].value == {"odd": odd, odd: "key"}
    assert f"ODD={odd}" in [text.text for text in shown["Env"].items]
    assert caisd.docker("start", "-a", "odd").stdout == odd


def test_environment_that_no_process_can_have_is_refused(caisd: Daemon) -> None:
    for entry in ("A=b\x00C=d", "=x", ""):
        body = {"Image": "busybox", "Cmd": ["env"], "Env": [entry]}
        answer = caisd.ask("POST", "/containers/create?name=victim", body)
        if answer.status == 201:
            answer = caisd.ask("POST", "/containers/victim/start")
            caisd.remove_containers()
        assert 400 <= answer.status <= 500, entry
    assert caisd.ask("GET", "/_ping").status == 200


def test_output_cannot_forge_lines_of_the_log(caisd: Daemon) -> None:
    forged = '{"log":"forged\\n","stream":"stderr","time":"2020-01-01T00:00:00Z"}'
    caisd.docker_output(
        "run", "--name", "forger", "busybox", "printf", "%b", forged.replace("\\", "\\\\") + "\\r\\0\\033end\\n"
    )
    output, errors = caisd.docker_start("logs", "forger").communicate(timeout=20)
    assert errors == b""
    assert output == forged.encode() + b"\r\0\x1bend\n"


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00" * 1000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /containers/create HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    ],
    ids=["zeros", "version", "length", "line"],
)
def test_a_request_that_is_no_http_harms_nobody(caisd: Daemon, garbage: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(caisd.socket)
        try:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(4096)
        except OSError:
            answer = b""
    assert answer == b"" or answer.split()[1][:1] in {b"4", b"5"}
    wait_until(caisd.answers)


def test_a_deeply_nested_body_is_refused(caisd: Daemon) -> None:
    answer = caisd.ask("POST", "/containers/create", b'{"Labels":' + b"[" * 200_000 + b"]" * 200_000 + b"}")
    assert answer.status == 400
    assert caisd.ask("GET", "/_ping").status == 200
