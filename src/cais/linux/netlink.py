"""netlink(7): messages, attributes, and a socket that asks and waits for the answer.

The kernel works through a request while it is being sent, so its answers are there when the sending returns. Several
messages sent together are worked through in order, whatever becomes of the earlier ones.
"""

import os
import socket
import struct
from _thread import allocate_lock  # threading would be more than the processes of a container need
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

NETLINK_ROUTE: Final = 0
NETLINK_NETFILTER: Final = 12

# <linux/netlink.h>
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLM_F_REQUEST: Final = 0x1
NLM_F_ACK: Final = 0x4
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400
NLM_F_REPLACE: Final = 0x100
NLM_F_APPEND: Final = 0x800
NLM_F_DUMP: Final = 0x300
NLA_F_NESTED: Final = 0x8000
_NLA_TYPE_MASK: Final = 0x3FFF

_HEADER: Final = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_ATTRIBUTE: Final = struct.Struct("=HH")  # struct nlattr: length, type
_READ_BYTES: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Message:
    """One message: what it asks for, and what is said of it when it fails."""

    type: int
    payload: bytes
    flags: int = 0
    what: str = ""


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to a multiple of four bytes."""
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def text(kind: int, value: str) -> bytes:
    """An attribute that holds a string."""
    return attribute(kind, value.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    """An attribute that holds an unsigned number of 32 bits in the machine's byte order."""
    return attribute(kind, struct.pack("=I", value))


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(attributes))


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes in `data`, as pairs of type and value."""
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _NLA_TYPE_MASK, data[offset + _ATTRIBUTE.size : offset + length]
        offset += length + -length % 4


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The messages in `data`, as triples of type, sequence number and payload."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, _, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size:
            return
        yield kind, sequence, data[offset + _HEADER.size : offset + length]
        offset += length + -length % 4


class Netlink:
    """A netlink socket of the network namespace that the process is in when it is made. A context manager.

    Threads may share it: one that asks waits until another has its answers.
    """

    def __init__(self, protocol: int, groups: Sequence[int] = ()) -> None:
        """groups: numbers of the multicast groups to be told of. Raises: OSError."""
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            self.socket.bind((0, sum(1 << (group - 1) for group in groups)))
        except OSError:
            self.socket.close()
            raise
        self._sequence = 0
        self._turn = allocate_lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """The socket's descriptor, for an event loop."""
        return self.socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def request(self, *wanted: Message) -> None:
        """Have all messages carried out, in order. Raises: OSError for the first that fails, with its `what`."""
        self.ask(*wanted)

    def ask(self, *wanted: Message) -> list[tuple[int, bytes]]:
        """As `request`; what the kernel answered, as pairs of type and payload. Raises: OSError."""
        with self._turn:
            first = self._sequence + 1
            packed = []
            for message in wanted:
                self._sequence += 1
                packed.append(_pack(message, self._sequence, message.flags | NLM_F_REQUEST))
            self.socket.sendall(b"".join(packed))
            answers = list(self._answers())
        failed: OSError | None = None
        found: list[tuple[int, bytes]] = []
        for kind, sequence, payload in answers:
            if sequence < first:
                continue
            if kind != NLMSG_ERROR:
                found.append((kind, payload))
            elif failed is None:
                code = -struct.unpack_from("=i", payload)[0]
                if code:
                    what = wanted[sequence - first].what or None
                    failed = OSError(code, os.strerror(code), what)
        if failed is not None:
            raise failed
        return found

    def dump(self, kind: int, payload: bytes) -> list[tuple[int, bytes]]:
        """All objects of a kind, as pairs of the message's type and payload. Raises: OSError."""
        with self._turn:
            return self._dump(kind, payload)

    def _dump(self, kind: int, payload: bytes) -> list[tuple[int, bytes]]:
        self._sequence += 1
        message = Message(kind, payload)
        self.socket.sendall(_pack(message, self._sequence, NLM_F_REQUEST | NLM_F_DUMP))
        found: list[tuple[int, bytes]] = []
        while True:
            for answer, sequence, content in messages(self.socket.recv(_READ_BYTES)):
                if sequence != self._sequence:
                    continue
                if answer == NLMSG_DONE:
                    return found
                if answer == NLMSG_ERROR:
                    code = -struct.unpack_from("=i", content)[0]
                    raise OSError(code, os.strerror(code))
                found.append((answer, content))

    def receive(self) -> list[tuple[int, bytes]]:
        """What has been told to the groups of this socket, without waiting. Raises: OSError (ENOBUFS: some is lost)."""
        return [(kind, payload) for kind, _, payload in self._answers()]

    def _answers(self) -> Iterator[tuple[int, int, bytes]]:
        while True:
            try:
                data = self.socket.recv(_READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            yield from messages(data)


def _pack(message: Message, sequence: int, flags: int) -> bytes:
    length = _HEADER.size + len(message.payload)
    return _HEADER.pack(length, message.type, flags, sequence, 0) + message.payload + bytes(-length % 4)
