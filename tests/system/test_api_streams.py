"""Connections that become streams: attach and exec over the bare protocol, as any client may speak it."""

import hashlib
import json
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.harness import host
from tests.harness.engine import Daemon, wait_until


class Stream:
    """A connection to the API on which an answer's head is read, and then bytes."""

    def __init__(self, daemon: Daemon) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(daemon.socket)
        self.buffer = b""

    def ask(self, path: str, body: object = None, *, upgrade: bool = True, early: bytes = b"") -> None:
        """Send a POST, and `early` behind it in the same segment."""
        lines = [f"POST {path} HTTP/1.1", "Host: x"]
        if upgrade:
            lines += ["Connection: Upgrade", "Upgrade: tcp"]
        data = b"" if body is None else json.dumps(body).encode()
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode() + data + early)

    def head(self) -> tuple[str, dict[str, str]]:
        """The status line and the headers of the answer."""
        while b"\r\n\r\n" not in self.buffer:
            data = self.socket.recv(65536)
            assert data, self.buffer
            self.buffer += data
        text, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        status, *lines = text.decode().split("\r\n")
        return status, {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    def rest(self) -> bytes:
        """Everything up to the end of the stream."""
        while data := self.socket.recv(65536):
            self.buffer += data
        return self.buffer

    def until(self, expected: bytes) -> None:
        """Read until the stream has brought `expected`."""
        while expected not in self.buffer:
            data = self.socket.recv(65536)
            assert data, self.buffer
            self.buffer += data

    def frames(self) -> list[tuple[int, bytes]]:
        """Everything up to the end of a multiplexed stream, joined by stream number, in order."""
        data, found, start = self.rest(), [], 0
        while start < len(data):
            number, length = struct.unpack_from(">BxxxI", data, start)
            found.append((number, data[start + 8 : start + 8 + length]))
            start += 8 + length
        assert start == len(data)
        return found


@pytest.fixture
def stream(caisd: Daemon) -> Iterator[Stream]:
    made = Stream(caisd)
    yield made
    made.socket.close()


def _create(daemon: Daemon, *command: str, **config: object) -> str:
    answer = daemon.ask("POST", "/containers/create", {"Image": "busybox", "Cmd": list(command), **config})
    assert answer.status == 201, answer.body
    return answer.json["Id"].text


def _start(daemon: Daemon, container: str) -> None:
    assert daemon.ask("POST", f"/containers/{container}/start").status == 204


def _exec(daemon: Daemon, container: str, *command: str, **config: object) -> str:
    body = {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True, **config}
    answer = daemon.ask("POST", f"/containers/{container}/exec", body)
    assert answer.status == 201, answer.body
    return answer.json["Id"].text


def _log_bytes(daemon: Daemon, container: str) -> int:
    return (daemon.data_root / "containers" / container / f"{container}-json.log").stat().st_size


ATTACH = "attach?stream=1&stdin=1&stdout=1&stderr=1"


@pytest.mark.parametrize(
    ("prefix", "upgrade", "status", "kind"),
    [
        ("/v1.51", True, "HTTP/1.1 101 UPGRADED", "application/vnd.docker.multiplexed-stream"),
        ("/v1.41", True, "HTTP/1.1 101 UPGRADED", "application/vnd.docker.raw-stream"),
        ("", False, "HTTP/1.1 200 OK", "application/vnd.docker.multiplexed-stream"),
    ],
)
def test_the_head_of_a_stream(
    caisd: Daemon, stream: Stream, prefix: str, upgrade: bool, status: str, kind: str
) -> None:
    container = _create(caisd, "sh", "-c", "echo out; echo err >&2")
    stream.ask(f"{prefix}/containers/{container}/{ATTACH}", upgrade=upgrade)
    answered, headers = stream.head()
    assert answered == status
    assert headers["content-type"] == kind
    assert ("upgrade" in headers) is upgrade
    _start(caisd, container)
    assert sorted(stream.frames()) == [(1, b"out\n"), (2, b"err\n")]


def test_a_terminal_is_not_framed(caisd: Daemon, stream: Stream) -> None:
    container = _create(caisd, "echo", "hello", Tty=True)
    stream.ask(f"/v1.51/containers/{container}/{ATTACH}")
    assert stream.head()[1]["content-type"] == "application/vnd.docker.raw-stream"
    _start(caisd, container)
    assert stream.rest() == b"hello\r\n"


def test_only_the_streams_that_were_asked_for(caisd: Daemon, stream: Stream) -> None:
    container = _create(caisd, "sh", "-c", "echo out; echo err >&2")
    stream.ask(f"/containers/{container}/attach?stream=1&stderr=1")
    stream.head()
    _start(caisd, container)
    assert stream.frames() == [(2, b"err\n")]


@pytest.mark.parametrize("early", [b"early bird\n", b"x" * 300_000 + b"\n"], ids=["short", "long"])
def test_input_behind_the_request_is_not_lost(caisd: Daemon, stream: Stream, early: bytes) -> None:
    container = _create(caisd, "md5sum", OpenStdin=True, StdinOnce=True)
    stream.ask(f"/containers/{container}/{ATTACH}", early=early[:60_000])
    stream.head()
    _start(caisd, container)
    stream.socket.sendall(early[60_000:])
    stream.socket.shutdown(socket.SHUT_WR)
    assert stream.frames() == [(1, f"{hashlib.md5(early, usedforsecurity=False).hexdigest()}  -\n".encode())]


def test_a_client_that_has_said_everything_is_still_answered(caisd: Daemon, stream: Stream) -> None:
    container = _create(caisd, "cat", OpenStdin=True, StdinOnce=True)
    stream.ask(f"/containers/{container}/{ATTACH}", early=b"all\n")
    stream.socket.shutdown(socket.SHUT_WR)
    stream.head()
    _start(caisd, container)
    assert stream.frames() == [(1, b"all\n")]


def test_what_was_written_before_can_be_had_first(caisd: Daemon, stream: Stream) -> None:
    container = _create(caisd, "sh", "-c", "echo one; read x; echo two", OpenStdin=True)
    _start(caisd, container)
    wait_until(lambda: b"one" in caisd.ask("GET", f"/containers/{container}/logs?stdout=1").body)
    stream.ask(f"/containers/{container}/{ATTACH}&logs=1")
    stream.head()
    stream.socket.sendall(b"go\n")
    assert b"".join(data for _, data in stream.frames()) == b"one\ntwo\n"


def test_what_was_written_before_and_what_comes_join_exactly(caisd: Daemon) -> None:
    script = "i=0; while [ $i -lt 60000 ]; do echo line $i; i=$((i+1)); done; read x"
    log = {"Type": "json-file", "Config": {"max-size": "300k", "max-file": "100"}}
    container = _create(caisd, "sh", "-c", script, OpenStdin=True, HostConfig={"LogConfig": log})
    _start(caisd, container)
    clients = []
    for _ in range(12):
        clients.append(Stream(caisd))
        clients[-1].ask(f"/containers/{container}/{ATTACH}&logs=1")
        clients[-1].head()
        time.sleep(0.02)
    clients[-1].socket.sendall(b"\n")
    with ThreadPoolExecutor(len(clients)) as pool:
        got = list(pool.map(lambda client: b"".join(data for _, data in client.frames()), clients))
    expected = b"".join(b"line %d\n" % number for number in range(60000))
    assert [data == expected for data in got] == [True] * len(clients)
    for client in clients:
        client.socket.close()


def test_a_container_that_ends_while_its_log_is_read_ends_the_stream(caisd: Daemon, stream: Stream) -> None:
    script = "yes 123456789 | head -n 200000; echo -n ready; read x; echo; echo bye"
    container = _create(caisd, "sh", "-c", script, OpenStdin=True)
    _start(caisd, container)
    ended = f"/containers/{container}/wait"
    wait_until(lambda: _log_bytes(caisd, container) > 200_000 * 60)
    stream.ask(f"/containers/{container}/{ATTACH}&logs=1")
    stream.head()
    stream.socket.sendall(b"\n")  # nothing is read until the container has ended
    assert caisd.ask("POST", ended).status == 200
    assert b"".join(data for _, data in stream.frames()) == b"123456789\n" * 200_000 + b"ready\nbye\n"


def test_only_what_was_written_before(caisd: Daemon, stream: Stream) -> None:
    container = _create(caisd, "sh", "-c", "echo one; sleep 100")
    _start(caisd, container)
    wait_until(lambda: b"one" in caisd.ask("GET", f"/containers/{container}/logs?stdout=1").body)
    stream.ask(f"/containers/{container}/attach?logs=1&stdout=1")
    stream.head()
    assert stream.frames() == [(1, b"one\n")]


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("raw", [True, False])
def test_whether_an_exec_s_output_is_framed_is_for_its_start_to_say(
    caisd: Daemon, stream: Stream, terminal: bool, raw: bool
) -> None:
    container = _create(caisd, "sleep", "100")
    _start(caisd, container)
    identity = _exec(caisd, container, "echo", "hello", Tty=terminal)
    stream.ask(f"/v1.51/exec/{identity}/start", {"Tty": raw})
    kind = "raw" if raw else "multiplexed"
    assert stream.head()[1]["content-type"] == f"application/vnd.docker.{kind}-stream"
    expected = b"hello\r\n" if terminal else b"hello\n"
    assert (stream.rest() if raw else stream.frames()) == (expected if raw else [(1, expected)])


def test_several_clients_see_the_same(caisd: Daemon) -> None:
    container = _create(caisd, "sh", "-c", "for i in 1 2 3; do echo $i; done")
    clients = [Stream(caisd) for _ in range(5)]
    for client in clients:
        client.ask(f"/containers/{container}/attach?stream=1&stdout=1")
        client.head()
    _start(caisd, container)
    assert [b"".join(data for _, data in client.frames()) for client in clients] == [b"1\n2\n3\n"] * 5
    for client in clients:
        client.socket.close()


def test_a_client_that_left_before_the_start_does_no_harm(caisd: Daemon) -> None:
    container = _create(caisd, "echo", "hello")
    for _ in range(3):
        client = Stream(caisd)
        client.ask(f"/containers/{container}/attach?stream=1&stdout=1")
        client.head()
        client.socket.close()
    _start(caisd, container)
    assert caisd.docker_output("wait", container) == "0"


def test_waiting_clients_are_let_go_when_the_container_is_removed(caisd: Daemon, stream: Stream) -> None:
    container = _create(caisd, "true")
    stream.ask(f"/containers/{container}/{ATTACH}")
    stream.head()
    assert caisd.ask("DELETE", f"/containers/{container}").status == 204
    assert stream.rest() == b""


@pytest.mark.parametrize("path", ["/containers/absent/attach?stream=1", "/exec/absent/start"])
def test_an_error_before_the_stream_is_an_ordinary_answer(caisd: Daemon, stream: Stream, path: str) -> None:
    stream.ask(path, {}, early=b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
    status, _ = stream.head()
    assert status.startswith("HTTP/1.1 404")
    stream.until(b"HTTP/1.1 200 OK")  # and the connection goes on


def test_bad_detach_keys(caisd: Daemon, stream: Stream) -> None:
    container = _create(caisd, "true")
    stream.ask(f"/containers/{container}/attach?stream=1&detachKeys=zzz")
    assert stream.head()[0].startswith("HTTP/1.1 400")


def test_typing_the_detach_keys_ends_the_stream_and_not_the_container(caisd: Daemon, stream: Stream) -> None:
    container = _create(caisd, "cat", Tty=True, OpenStdin=True)
    stream.ask(f"/containers/{container}/{ATTACH}&detachKeys=ctrl-a,x")
    stream.head()
    _start(caisd, container)
    stream.socket.sendall(b"ab\n")
    stream.until(b"ab\r\nab\r\n")
    stream.socket.sendall(b"\x01x")
    stream.rest()
    assert caisd.inspect(container)["State"]["Running"].flag
    events = caisd.ask("GET", f"/events?since=0&until={time.time():.3f}&filters=" + '{"event":["detach"]}').body
    assert container.encode() in events


def test_an_exec_and_its_exit_status(caisd: Daemon, stream: Stream) -> None:
    container = _create(caisd, "sleep", "100")
    _start(caisd, container)
    for code in range(20):
        client = Stream(caisd)
        identity = _exec(caisd, container, "sh", "-c", f"echo {code}; exit {code}")
        client.ask(f"/exec/{identity}/start", {"Detach": False})
        client.head()
        assert client.frames() == [(1, f"{code}\n".encode())]
        client.socket.close()
        shown = caisd.ask("GET", f"/exec/{identity}/json").json  # at once: it must be known already
        assert not shown["Running"].flag
        assert shown["ExitCode"].number == code
    assert caisd.inspect(container)["ExecIDs"].value is None


def test_an_exec_reads_what_is_sent(caisd: Daemon, stream: Stream) -> None:
    container = _create(caisd, "sleep", "100")
    _start(caisd, container)
    identity = _exec(caisd, container, "wc", "-c", AttachStdin=True)
    stream.ask(f"/exec/{identity}/start", {}, early=b"12345")
    stream.head()
    stream.socket.sendall(b"67890")
    stream.socket.shutdown(socket.SHUT_WR)
    assert stream.frames() == [(1, b"10\n")]


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (["no-such"], 127, b'exec: "no-such": executable file not found in $PATH\r\n'),
        (["/etc/passwd"], 126, b'exec: "/etc/passwd": permission denied\r\n'),
    ],
)
def test_an_exec_that_cannot_start_says_so_in_its_stream(
    caisd: Daemon, stream: Stream, command: list[str], code: int, says: bytes
) -> None:
    container = _create(caisd, "sleep", "100")
    _start(caisd, container)
    identity = _exec(caisd, container, *command)
    stream.ask(f"/exec/{identity}/start", {})
    stream.head()
    told = stream.frames()
    assert told == [(1, b"OCI runtime exec failed: exec failed: unable to start container process: " + says)]
    assert caisd.ask("GET", f"/exec/{identity}/json").json["ExitCode"].number == code


def test_an_exec_for_an_unknown_user(caisd: Daemon, stream: Stream) -> None:
    container = _create(caisd, "sleep", "100")
    _start(caisd, container)
    identity = _exec(caisd, container, "id", User="nobody-here")
    stream.ask(f"/exec/{identity}/start", {})
    stream.head()
    assert stream.frames() == [(1, b"unable to find user nobody-here: no matching entries in passwd file\r\n")]
    assert caisd.ask("GET", f"/exec/{identity}/json").json["ExitCode"].number == 126


def test_a_detached_exec_that_cannot_start_is_an_error(caisd: Daemon) -> None:
    container = _create(caisd, "sleep", "100")
    _start(caisd, container)
    identity = _exec(caisd, container, "no-such")
    answer = caisd.ask("POST", f"/exec/{identity}/start", {"Detach": True})
    assert answer.status == 400
    assert answer.message.endswith('exec: "no-such": executable file not found in $PATH')


def test_an_exec_runs_once(caisd: Daemon) -> None:
    container = _create(caisd, "sleep", "100")
    _start(caisd, container)
    identity = _exec(caisd, container, "sleep", "1000")
    assert caisd.ask("POST", f"/exec/{identity}/start", {"Detach": True}).status == 200
    again = caisd.ask("POST", f"/exec/{identity}/start", {"Detach": True})
    assert (again.status, again.message) == (409, f"exec command {identity} is already running")
    assert caisd.inspect(container)["ExecIDs"].value == [identity]
    assert caisd.ask("POST", f"/containers/{container}/kill").status == 204
    assert caisd.ask("GET", f"/exec/{identity}/json").json["ExitCode"].number == 137
    assert caisd.inspect(container)["ExecIDs"].value is None


def test_an_exec_needs_a_command_and_a_container_that_runs(caisd: Daemon) -> None:
    container = _create(caisd, "sleep", "100")
    answer = caisd.ask("POST", f"/containers/{container}/exec", {"Cmd": ["true"]})
    assert (answer.status, answer.message) == (409, f"container {container} is not running")
    _start(caisd, container)
    answer = caisd.ask("POST", f"/containers/{container}/exec", {"Cmd": []})
    assert (answer.status, answer.message) == (400, "No exec command specified")


def test_an_exec_s_terminal_has_the_size_it_was_given(caisd: Daemon, stream: Stream) -> None:
    container = _create(caisd, "sleep", "100")
    _start(caisd, container)
    identity = _exec(caisd, container, "sh", "-c", "stty size; read x; stty size", Tty=True, AttachStdin=True)
    stream.ask(f"/exec/{identity}/start", {"Tty": True, "ConsoleSize": [30, 90]})
    assert stream.head()[1]["content-type"] == "application/vnd.docker.raw-stream"
    stream.until(b"30 90\r\n")
    assert caisd.ask("POST", f"/exec/{identity}/resize?h=31&w=91").status == 200
    stream.socket.sendall(b"\n")
    assert b"31 91\r\n" in stream.rest()
    assert caisd.ask("POST", f"/exec/{identity}/resize?h=31&w=91").status == 409


def test_no_descriptor_is_left_in_the_daemon(caisd: Daemon) -> None:
    container = _create(caisd, "sleep", "100")
    _start(caisd, container)
    before = len(host.open_files(caisd.pid))
    for _ in range(20):
        client = Stream(caisd)
        identity = _exec(caisd, container, "true")
        client.ask(f"/exec/{identity}/start", {})
        client.head()
        client.rest()
        client.socket.close()
    wait_until(lambda: len(host.open_files(caisd.pid)) <= before + 1, 5, lambda: str(host.open_files(caisd.pid)))
