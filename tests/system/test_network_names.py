"""Names on networks of the user's: who answers, what is passed on and what is not, and the files in /etc."""

import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cais.network.dns import wire
from tests.harness.engine import Daemon, wait_until

UPSTREAM = "127.77.53.53"
NETWORKS = ("nm-one", "nm-two", "nm-inner")


class NameServer:
    """Listens on the host and knows example.test alone; `asked` are the names that it was asked for, and from where."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((UPSTREAM, 53))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            message, client = self._socket.recvfrom(4096)
            if not message:
                return
            query = wire.parse_query(message)
            self.asked.append((query.name, client[0]))
            records = [wire.address_record("192.0.2.7", 60)] if query.kind == wire.A else []
            is_known = query.name == "example.test"
            code = wire.NOERROR if is_known else wire.NXDOMAIN
            self._socket.sendto(wire.response(query, code, records if is_known else []), client)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", (UPSTREAM, 53))
        self._thread.join(5)
        self._socket.close()


@pytest.fixture
def upstream() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.close()


@contextmanager
def _networks(caisd: Daemon) -> Iterator[None]:
    caisd.docker_output("network", "create", "--subnet", "10.231.1.0/24", "nm-one")
    caisd.docker_output("network", "create", "--subnet", "10.231.2.0/24", "nm-two")
    caisd.docker_output("network", "create", "--subnet", "10.231.3.0/24", "--internal", "nm-inner")
    try:
        yield
    finally:
        caisd.remove_containers()
        caisd.docker_output("network", "rm", *NETWORKS)


@pytest.fixture
def named(caisd: Daemon) -> Iterator[Daemon]:
    """The engine with two networks and an internal one."""
    with _networks(caisd):
        yield caisd


def _start(caisd: Daemon, name: str, *options: str) -> str:
    return caisd.docker_output("run", "-d", "--name", name, "--dns", UPSTREAM, *options, "busybox", "sleep", "1000")


def _look_up(caisd: Daemon, container: str, name: str) -> list[str]:
    """The IPv4 addresses that a container is told; what is said instead, where there are none."""
    done = caisd.docker("exec", container, "nslookup", "-type=a", name)
    lines = done.stdout.splitlines()[2:]
    found = [line.removeprefix("Address: ") for line in lines if line.startswith("Address: ")]
    return found or [line.rpartition(" ")[2] for line in lines if "can't find" in line]


def _from_inside(caisd: Daemon, container: str, code: str) -> str:
    """The output of a Python program in the network of a container."""
    pid = caisd.container_pid(container)
    command = ["nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


def _hosts(caisd: Daemon, container: str) -> list[str]:
    return caisd.docker_output("exec", container, "cat", "/etc/hosts").splitlines()[6:]


@pytest.mark.usefixtures("upstream")
def test_names_aliases_and_short_ids_are_answered_on_the_same_network_only(named: Daemon) -> None:
    _start(named, "nm-a", "--network", "nm-one")
    options = ("--network-alias", "Second", "--ip", "10.231.1.77", "--hostname", "own")
    identity = _start(named, "nm-b", "--network", "nm-one", *options)
    _start(named, "nm-c", "--network", "nm-two")
    for name in ("nm-b", "second", "SECOND", identity[:12], "own", "nm-b.nm-one"):
        assert _look_up(named, "nm-a", name) == ["10.231.1.77"], name
    assert _look_up(named, "nm-c", "nm-b") == ["NXDOMAIN"]
    _start(named, "nm-d", "--network", "nm-one", "--link", "nm-b:other")
    assert _look_up(named, "nm-d", "other") == ["10.231.1.77"]
    assert _look_up(named, "nm-a", "other") == ["NXDOMAIN"]
    assert "nm-b.nm-one" in named.docker_output("exec", "nm-a", "nslookup", "10.231.1.77")
    assert named.docker("exec", "nm-a", "ping", "-c", "1", "-W", "2", "second").returncode == 0


def test_several_containers_of_one_name_take_turns(named: Daemon) -> None:
    _start(named, "nm-a", "--network", "nm-one", "--network-alias", "web", "--ip", "10.231.1.11")
    _start(named, "nm-b", "--network", "nm-one", "--network-alias", "web", "--ip", "10.231.1.12")
    answers = [_look_up(named, "nm-a", "web") for _ in range(4)]
    assert {frozenset(answer) for answer in answers} == {frozenset(["10.231.1.11", "10.231.1.12"])}
    assert [answer[0] for answer in answers[:2]] != [answer[0] for answer in answers[1:3]]
    named.docker_output("stop", "-t", "0", "nm-a")
    assert _look_up(named, "nm-b", "web") == ["10.231.1.12"]


def test_other_names_are_asked_for_from_the_host_s_side(named: Daemon, upstream: NameServer) -> None:
    _start(named, "nm-a", "--network", "nm-one")
    assert _look_up(named, "nm-a", "example.test") == ["192.0.2.7"]
    begun = time.monotonic()
    assert _look_up(named, "nm-a", "no-such-host") == ["NXDOMAIN"]
    assert time.monotonic() - begun < 1
    assert upstream.asked == [("example.test", "127.0.0.1"), ("no-such-host", "127.0.0.1")]
    named.docker_output("exec", "nm-a", "nslookup", "-type=txt", "nm-a")
    assert len(upstream.asked) == 2


def test_from_an_internal_network_nothing_is_passed_on(named: Daemon, upstream: NameServer) -> None:
    _start(named, "nm-a", "--network", "nm-inner")
    assert _look_up(named, "nm-a", "nm-a") == ["10.231.3.2"]
    assert _look_up(named, "nm-a", "example.test") == ["SERVFAIL"]
    assert upstream.asked == []
    named.docker_output("network", "connect", "nm-one", "nm-a")
    assert _look_up(named, "nm-a", "example.test") == ["192.0.2.7"]
    named.docker_output("network", "disconnect", "nm-one", "nm-a")
    assert _look_up(named, "nm-a", "example.test") == ["SERVFAIL"]


@pytest.mark.usefixtures("upstream")
def test_names_and_files_follow_networks_that_come_and_go(named: Daemon) -> None:
    _start(named, "nm-a", "--network", "nm-one", "--hostname", "own")
    _start(named, "nm-b", "--network", "nm-two")
    assert _hosts(named, "nm-a") == ["10.231.1.1\thost.docker.internal", "10.231.1.2\town"]
    named.docker_output("network", "connect", "--alias", "later", "nm-two", "nm-a")
    assert _look_up(named, "nm-b", "later") == ["10.231.2.3"]
    assert _look_up(named, "nm-a", "nm-b") == ["10.231.2.2"]
    named.docker_output("rename", "nm-b", "nm-d")
    assert _look_up(named, "nm-a", "nm-d") == ["10.231.2.2"]
    assert _look_up(named, "nm-a", "nm-b") == ["NXDOMAIN"]
    named.docker_output("network", "disconnect", "nm-one", "nm-a")
    assert sorted(_hosts(named, "nm-a")) == ["10.231.2.1\thost.docker.internal", "10.231.2.3\town"]
    named.docker_output("network", "disconnect", "nm-two", "nm-a")
    assert _look_up(named, "nm-d", "later") == ["NXDOMAIN"]


def test_the_default_bridge_has_no_names_but_those_in_its_files(named: Daemon) -> None:
    identity = _start(named, "nm-a")
    assert "nameserver 127.0.0.11" not in named.docker_output("exec", "nm-a", "cat", "/etc/resolv.conf")
    address = named.inspect("nm-a")["NetworkSettings"]["Networks"]["bridge"]["IPAddress"].text
    linked = named.docker_output(
        "run", "--rm", "--link", "nm-a:db", "--add-host", "gate:host-gateway", "busybox", "cat", "/etc/hosts"
    )
    assert f"\n{address}\tdb {identity[:12]} nm-a\n" in linked
    gateway = named.inspect("nm-a")["NetworkSettings"]["Networks"]["bridge"]["Gateway"].text
    assert f"\n{gateway}\tgate\n{gateway}\thost.docker.internal\n" in linked
    named.docker_output("network", "connect", "nm-one", "nm-a")
    assert "nameserver 127.0.0.11" in named.docker_output("exec", "nm-a", "cat", "/etc/resolv.conf")
    assert _look_up(named, "nm-a", "nm-a") == ["10.231.1.2"]


def test_a_link_on_the_default_bridge_tells_of_the_other_in_the_environment(named: Daemon) -> None:
    _start(named, "nm-a", "-e", "KEY=a b", "--expose", "80-81", "--expose", "53/udp")
    address = named.inspect("nm-a")["NetworkSettings"]["Networks"]["bridge"]["IPAddress"].text
    _start(named, "nm-b", "--link", "nm-a:my-db", "-e", "MY_DB_PORT=own")
    first, later = (
        set(named.docker_output("exec", "nm-b", *words).splitlines())
        for words in (("sh", "-c", "tr '\\0' '\\n' </proc/1/environ"), ("env",))
    )
    told = {
        "MY_DB_PORT=own",
        "MY_DB_NAME=/nm-b/my-db",
        "MY_DB_ENV_KEY=a b",
        f"MY_DB_PORT_80_TCP=tcp://{address}:80",
        f"MY_DB_PORT_80_TCP_END=tcp://{address}:81",
        f"MY_DB_PORT_53_UDP_ADDR={address}",
    }
    assert told <= first
    assert told <= later
    assert "MY_DB_NAME" not in str(named.inspect("nm-b")["Config"]["Env"])
    named.docker_output("rm", "-f", "nm-a")
    assert "MY_DB_NAME" not in named.docker_output("exec", "nm-b", "env")


def test_the_host_is_reached_by_a_name_without_a_flag(named: Daemon) -> None:
    with socket.create_server(("", 0)) as server:
        server.settimeout(10)
        port = str(server.getsockname()[1])
        for options in ((), ("--network", "nm-one")):
            words = ("busybox", "nc", "-w", "5", "host.docker.internal", port)
            client = named.docker_start("run", "--rm", *options, *words)
            connection, _ = server.accept()
            connection.sendall(b"from the host")
            connection.close()
            assert client.communicate(timeout=20)[0] == b"from the host"
    _start(named, "nm-a", "--network", "nm-one")
    assert _look_up(named, "nm-a", "host.docker.internal") == ["10.231.1.1"]


QUESTIONS = """
import socket, struct, time
HEADER = struct.Struct("!6H")
def question(name, more=b""):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return HEADER.pack(7, 0x100, 1, 0, 0, 1 if more else 0) + labels + b"\\0\\0\\1\\0\\1" + more
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.settimeout(5)
udp.connect(("127.0.0.11", 53))
def ask(message):
    udp.send(message)
    return udp.recv(65535)
"""


def test_answers_by_tcp_and_with_edns(named: Daemon) -> None:
    _start(named, "nm-a", "--network", "nm-one", *(f"--network-alias=n{number}" for number in range(3)))
    code = """
tcp = socket.create_connection(("127.0.0.11", 53), 5)
asked = [question(f"n{number}") for number in range(3)] * 20
tcp.sendall(b"".join(len(one).to_bytes(2, "big") + one for one in asked))
stream = tcp.makefile("rb")
answers = [stream.read(int.from_bytes(stream.read(2), "big")) for _ in asked]
print(len(answers), {answer[-4:].hex() for answer in answers})
print(HEADER.unpack_from(ask(question("nm-a", b"\\0" + struct.pack("!HHIH", 41, 1232, 0, 0)))))
"""
    first, second = _from_inside(named, "nm-a", QUESTIONS + code).splitlines()
    assert first == "60 {'0ae70102'}"
    assert second == "(7, 33152, 1, 1, 0, 1)"


def test_what_is_hostile_harms_nobody(named: Daemon) -> None:
    _start(named, "nm-a", "--network", "nm-one")
    _start(named, "nm-b", "--network", "nm-two")
    code = """
import os
for size in (0, 1, 11, 12, 30, 512, 9000, 60000):
    for _ in range(20):
        udp.send(os.urandom(size))
for _ in range(3000):
    udp.send(question("x" * 60 + "." + os.urandom(8).hex()))
held = [socket.create_connection(("127.0.0.11", 53), 5) for _ in range(200)]
for connection in held:
    try:
        connection.send(b"\\xff\\xff" + os.urandom(100))
    except OSError:
        pass
print("done")
"""
    assert _from_inside(named, "nm-a", QUESTIONS + code) == "done\n"
    assert _look_up(named, "nm-b", "nm-b") == ["10.231.2.2"]
    wait_until(lambda: _look_up(named, "nm-a", "nm-a") == ["10.231.1.2"], 20)


def test_a_look_up_takes_less_than_a_millisecond(named: Daemon) -> None:
    _start(named, "nm-a", "--network", "nm-one")
    code = """
for _ in range(500):
    begun = time.perf_counter()
    ask(question("nm-a"))
    print(time.perf_counter() - begun)
"""
    seconds = [float(line) for line in _from_inside(named, "nm-a", QUESTIONS + code).splitlines()]
    assert statistics.median(seconds) < 0.001


def test_names_are_answered_again_after_a_crash(private_caisd: Daemon, upstream: NameServer) -> None:
    with _networks(private_caisd):
        _start(private_caisd, "nm-a", "--network", "nm-one")
        private_caisd.kill()
        private_caisd.start()
        wait_until(lambda: _look_up(private_caisd, "nm-a", "nm-a") == ["10.231.1.2"], 10)
        assert _look_up(private_caisd, "nm-a", "example.test") == ["192.0.2.7"]
        assert upstream.asked[-1][0] == "example.test"
