"""Containers that serve and ask over the network, for the tests of networks."""

import subprocess
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

from tests.harness.engine import Daemon, wait_until

SERVER = "mkdir /www; hostname > /www/index.html; exec httpd -f -p 80 -h /www"

_UDP_ECHO = textwrap.dedent("""
    import socket, sys
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("", int(sys.argv[1])))
        print("ready", flush=True)
        while True:
            data, client = server.recvfrom(1000)
            server.sendto(b"got " + data, client)
""")


@contextmanager
def udp_echo(daemon: Daemon, name: str, port: int) -> Iterator[None]:
    """Has a program of this machine's answer datagrams in the network namespace of a container."""
    command = ["nsenter", "-t", str(daemon.container_pid(name)), "-n", "python3", "-c", _UDP_ECHO, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            yield
        finally:
            server.kill()


def serve(daemon: Daemon, name: str, *flags: str) -> str:
    """Starts a container that serves its own name at port 80; its address on its (first) network."""
    daemon.docker_output("run", "-d", "--name", name, "--hostname", name, *flags, "busybox", "sh", "-c", SERVER)
    wait_until(lambda: inside(daemon, name, "wget -q -O - 127.0.0.1") == name)
    return address(daemon, name)


def address(daemon: Daemon, name: str, network: str = "", field: str = "IPAddress") -> str:
    """The IPv4 address of a container on a network, the first one where none is named."""
    if network:
        template = f'{{{{(index .NetworkSettings.Networks "{network}").{field}}}}}'
    else:
        template = f"{{{{range .NetworkSettings.Networks}}}}{{{{.{field}}}}} {{{{end}}}}"
    return (daemon.docker_output("inspect", "-f", template, name).split() or [""])[0]


def inside(daemon: Daemon, name: str, command: str, seconds: float = 2) -> str:
    """What a shell command prints in a running container, without the last line end; what fails prints less."""
    return daemon.docker("exec", name, "timeout", str(seconds), "sh", "-c", command).stdout.strip()


def reaches(daemon: Daemon, name: str, url: str, seconds: float = 1) -> str:
    """What a web server answers a container; "" when it does not in time."""
    return inside(daemon, name, f"wget -q -O - {url}", seconds)


def idle(daemon: Daemon, name: str, *flags: str) -> str:
    """Starts a container that does nothing; its address on its (first) network."""
    daemon.docker_output("run", "-d", "--name", name, "--init", *flags, "busybox", "sleep", "1000")
    return address(daemon, name)


def refused(daemon: Daemon, *arguments: str) -> str:
    """What the client says of a command that fails."""
    done = daemon.docker(*arguments)
    assert done.returncode != 0, done.stdout
    return done.stderr.strip()
