"""A host of its own in a network namespace, on a link to this machine: the world outside, for tests of networks."""

import os
import secrets
import subprocess
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

# Answers each connection with the address that it comes from.
_ECHO = textwrap.dedent("""
    import socket, sys
    server = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=16)
    print("ready", flush=True)
    while True:
        connection, (address, _) = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n" + address.encode())
""")

# Sends a datagram, and prints what comes back.
UDP_CLIENT = textwrap.dedent("""
    import socket, sys
    with socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(3)
        client.sendto(b"hello", (sys.argv[1], int(sys.argv[2])))
        print(client.recvfrom(100)[0].decode(), end="")
""")


class Lan:
    """A neighbour of this machine. address: its own; host: this machine's on the link between them."""

    def __init__(self) -> None:
        mark = secrets.token_hex(3)
        self.name = f"cais-lan-{mark}"
        self.link = f"lan{mark}"
        number = secrets.randbelow(200) + 20
        self.host, self.address = f"10.213.{number}.1", f"10.213.{number}.2"
        self._servers: list[subprocess.Popen[str]] = []

    def open(self) -> None:
        """Make it."""
        _ip("netns", "add", self.name)
        _ip("link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        _ip("addr", "add", f"{self.host}/24", "dev", self.link)
        _ip("link", "set", self.link, "up")
        for words in (
            f"addr add {self.address}/24 dev eth0", "link set eth0 up", "link set lo up",
            f"route add default via {self.host}",
        ):  # fmt: skip
            _ip("-n", self.name, *words.split())

    def close(self) -> None:
        """Take it away."""
        for server in self._servers:
            server.kill()
            server.wait(10)
            if server.stdout:
                server.stdout.close()
        subprocess.run(["ip", "link", "delete", self.link], check=False, capture_output=True)
        _ip("netns", "delete", self.name)

    def run(self, *command: str, timeout_seconds: float = 10) -> subprocess.CompletedProcess[str]:
        """Run a program there."""
        return subprocess.run(
            ["ip", "netns", "exec", self.name, *command],
            check=False, capture_output=True, text=True, timeout=timeout_seconds,
        )  # fmt: skip

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """Start a program there; its output comes through a pipe."""
        return subprocess.Popen(["ip", "netns", "exec", self.name, *command], stdout=subprocess.PIPE, text=True)

    def fetch(self, url: str, seconds: float = 2) -> str:
        """What a web server answers there; "" when it does not in time."""
        return self.run("timeout", str(seconds), "busybox", "wget", "-q", "-O", "-", url).stdout.strip()

    def can_have(self, kind: str) -> bool:
        """Whether the kernel knows links of this kind."""
        made = self.run("ip", "link", "add", "probe", "link", "eth0", "type", kind).returncode == 0
        self.run("ip", "link", "delete", "probe")
        return made

    def serve(self, port: int) -> None:
        """Start a web server there that answers with the address of whoever asks."""
        server = self.start("python3", "-c", _ECHO, self.address, str(port))
        self._servers.append(server)
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"


@contextmanager
def neighbour() -> Iterator[Lan]:
    """A neighbour for as long as the block lasts."""
    lan = Lan()
    try:
        lan.open()
        yield lan
    finally:
        lan.close()


def fetch(url: str, seconds: float = 2) -> str:
    """What a web server answers this machine; "" when it does not in time."""
    done = subprocess.run(
        ["timeout", str(seconds), "busybox", "wget", "-q", "-O", "-", url], check=False, capture_output=True, text=True
    )
    return done.stdout.strip()


def has_ipv6() -> bool:
    """Whether this machine has IPv6."""
    return os.path.exists("/proc/net/if_inet6") and "00000000000000000000000000000001" in _inet6()


def _inet6() -> str:
    with open("/proc/net/if_inet6", encoding="ascii") as file:
        return file.read()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
