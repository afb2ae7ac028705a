"""Ports of the host that are published: found free, held, and served where the kernel cannot translate.

Each is held by a bound socket for as long as it is published, so that whoever else wants it is told at once. The
firewall translates what arrives by IPv4, and the socket only stands in others' way. By IPv6 it translates what is for
a container that has IPv6 and does not come from the host's own loopback; the rest arrives at the socket, and is passed
on by `cais.network.proxy`.
"""

import contextlib
import errno
import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cais.errors import Internal
from cais.network.firewall import PROTOCOLS, Forward
from cais.network.proxy import Proxy, TcpProxy, UdpProxy

_log = logging.getLogger("cais.network")

_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_DEFAULT_RANGE: Final = (32768, 60999)
ANY4: Final = "0.0.0.0"  # noqa: S104
ANY6: Final = "::"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A port of a container that is to be published. first, last: the ports of the host to choose from, 0 for any."""

    protocol: str
    port: int
    host: str = ""
    first: int = 0
    last: int = 0


@dataclass(frozen=True, slots=True)
class Published:
    """A published port: what arrives at the host's address and port goes to the port of the container."""

    protocol: str
    port: int
    host: str
    host_port: int


@dataclass(slots=True)
class _Held:
    socket: socket.socket | None
    proxy: Proxy | None


class Ports:
    """The published ports of one engine. Used in one event loop."""

    def __init__(self, is_refused: Callable[[str], bool] = lambda _: False) -> None:
        """is_refused: whether somebody with this address may not use what is published."""
        self._is_refused = is_refused
        self._held: dict[tuple[str, str, int], _Held] = {}
        self._hosts: dict[tuple[str, int], set[str]] = {}  # where a port is held, by protocol and number
        self._next = 0

    def hold(self, wanted: Sequence[Wanted], ipv6: bool) -> list[Published]:
        """Finds and holds a port of the host for each that is wanted, all or none.

        ipv6: whether the host has IPv6, so that what is published at any address is so there too.
        Raises Internal, in Docker's words, when one is not free.
        """
        found: list[Published] = []
        try:
            for item in wanted:
                found += self._hold_one(item, ipv6)
        except BaseException:
            self.release(found)
            raise
        return found

    def hold_again(self, published: Iterable[Published]) -> list[Published]:
        """Holds ports that have been published before this engine began; who has taken one meanwhile is logged.

        Returns: those that are held.
        """
        held = []
        for item in published:
            try:
                self._bind(item.protocol, item.host, item.host_port)
                held.append(item)
            except OSError as error:
                what = f"{item.host}:{item.host_port}/{item.protocol}"
                _log.warning("port %s is held by somebody else: %s", what, error)
        return held

    def serve(self, published: Iterable[Published], target4: str, target6: str) -> list[Forward]:
        """What the firewall is to translate; the rest is served here. target4, target6: the container's addresses."""
        forwards = []
        for item in published:
            target = target6 if ":" in item.host else target4
            if target:
                forwards.append(Forward(item.protocol, (item.host, item.host_port), (target, item.port)))
            self._serve(item, target or target4 or target6)
        return forwards

    def release(self, published: Iterable[Published]) -> None:
        """Lets others have the ports."""
        for item in published:
            held = self._held.pop((item.protocol, item.host, item.host_port), None)
            if held is None:
                continue
            hosts = self._hosts[item.protocol, item.host_port]
            hosts.discard(item.host)
            if not hosts:
                del self._hosts[item.protocol, item.host_port]
            if held.proxy is not None:
                held.proxy.close()
            if held.socket is not None:
                held.socket.close()

    def close(self) -> None:
        """Lets go of every port."""
        self.release([Published(protocol, 0, host, port) for protocol, host, port in self._held])

    def _serve(self, item: Published, target: str) -> None:
        held = self._held.get((item.protocol, item.host, item.host_port))
        if held is None or held.socket is None or held.proxy is not None or not target or ":" not in item.host:
            return
        if item.protocol == "tcp":
            held.proxy = TcpProxy(held.socket, (target, item.port), self._is_refused)
        elif item.protocol == "udp":
            held.proxy = UdpProxy(held.socket, (target, item.port), self._is_refused)

    def _hold_one(self, item: Wanted, ipv6: bool) -> list[Published]:
        hosts = [item.host] if item.host else [ANY4, *([ANY6] if ipv6 else [])]
        candidates: Iterator[int] = iter(range(item.first, item.last + 1)) if item.first else self._ephemeral()
        only_one = item.first != 0 and item.first == item.last
        for port in candidates:
            bound: list[Published] = []
            try:
                for host in hosts:
                    self._bind(item.protocol, host, port)
                    bound.append(Published(item.protocol, item.port, host, port))
                return bound
            except OSError as error:
                self.release(bound)
                if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
                    what = f"{hosts[len(bound)]}:{port}/{item.protocol}"
                    raise Internal(f"failed to bind host port {what}: {reason(error)}") from error
                if only_one:
                    raise Internal(f"Bind for {hosts[len(bound)]}:{port} failed: port is already allocated") from error
        raise Internal(f"Bind for {hosts[0]}:{item.first} failed: all ports are allocated")

    def _bind(self, protocol: str, host: str, port: int) -> None:
        """Raises OSError."""
        hosts = self._hosts.get((protocol, port), set())
        rivals = {other for other in hosts if (":" in other) == (":" in host)}
        if host in rivals or (rivals and host in {ANY4, ANY6}) or rivals & {ANY4, ANY6}:
            raise OSError(errno.EADDRINUSE, "port is already allocated")
        self._held[protocol, host, port] = _Held(_bound(protocol, host, port), None)
        self._hosts.setdefault((protocol, port), set()).add(host)

    def _ephemeral(self) -> Iterator[int]:
        """The ports of the ephemeral range, each once, from where the last search ended."""
        low, high = _range()
        if not low <= self._next <= high:
            self._next = low
        for _ in range(low, high + 1):
            port = self._next
            self._next = port + 1 if port < high else low
            yield port


def _bound(protocol: str, host: str, port: int) -> socket.socket | None:
    """A socket at that port; None for a protocol that this kernel does not know. Raises OSError.

    One that is to serve listens. Another does not, so that whoever reaches it is refused; unless connections that have
    just ended stand in its way: then it must share the port with them, and only by listening keeps it from others.
    """
    if protocol == "udp" or ":" in host:
        return _open(protocol, host, port, sharing=protocol != "udp")
    try:
        return _open(protocol, host, port, sharing=False)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return _open(protocol, host, port, sharing=True)


def _open(protocol: str, host: str, port: int, *, sharing: bool) -> socket.socket | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    try:
        made = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, PROTOCOLS[protocol])
    except OSError as error:
        if protocol == "sctp" and error.errno in {errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT}:
            return None
        raise
    try:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if sharing:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        if sharing:
            made.listen(128)
    except BaseException:
        made.close()
        raise
    return made


def _range() -> tuple[int, int]:
    with contextlib.suppress(OSError, ValueError):
        low, high = map(int, _RANGE.read_text("ascii").split())
        return low, high
    return _DEFAULT_RANGE


def reason(error: OSError) -> str:
    """What the kernel says, in Docker's small letters."""
    return (error.strerror or str(error)).lower()
