"""DNS messages as far as a resolver needs them that answers for a few names and passes everything else on (RFC 1035).

Of what a client sends we read the header, the one question, and whether there is an OPT record (EDNS, RFC 6891); what
we write has a question and addresses or a name. Messages that are passed on stay the bytes that they are.

It is our own because caisd reads what any container sends, in its event loop. dnslib follows each compression pointer
by a call of its own: a message of 35 kB kept it busy for eleven seconds (measured with 0.9.26). dnspython bounds that,
and costs 13 MB and a tenth of a second to import. Here nothing is decompressed, and reading is linear in the size.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

# Types and classes of records, response codes: RFC 1035, 3.2 and 4.1.1.
A: Final = 1
PTR: Final = 12
AAAA: Final = 28
OPT: Final = 41
IN: Final = 1

NOERROR: Final = 0
FORMERR: Final = 1
SERVFAIL: Final = 2
NXDOMAIN: Final = 3
NOTIMP: Final = 4
REFUSED: Final = 5
BADVERS: Final = 16  # RFC 6891, 6.1.3: its upper bits are in the OPT record

HEADER_BYTES: Final = 12
MOST_BYTES: Final = 65535  # of a message with a length before it
LEAST_UDP_BYTES: Final = 512  # what every client takes
OUR_UDP_BYTES: Final = 4096  # what we say that we take

_HEADER: Final = struct.Struct("!HHHHHH")
_TYPE_AND_CLASS: Final = struct.Struct("!HH")
_FIXED: Final = struct.Struct("!HHIH")  # of a record, behind its name: type, class, time to live, length of the data

_RESPONSE: Final = 0x8000
_OPCODE: Final = 0x7800
_TRUNCATED: Final = 0x0200
_RECURSION_DESIRED: Final = 0x0100
_RECURSION_AVAILABLE: Final = 0x0080
_CODE: Final = 0x000F

_MOST_NAME_BYTES: Final = 255
_MOST_LABEL_BYTES: Final = 63
_POINTER: Final = 0xC0
_QUESTION_NAME: Final = struct.pack("!H", _POINTER << 8 | HEADER_BYTES)  # a pointer to the name of the question


class MalformedError(ValueError):
    """A message that cannot be answered as asked; `code` is what to answer, None to stay silent."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"malformed message: {code}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Query:
    """A question. `name` is in lower case, without the dot at its end; `udp_bytes` is the size of answer by UDP."""

    identifier: int
    recursion_desired: bool
    name: str
    kind: int
    network_class: int
    question: bytes  # as it was asked: the name, then type and class
    udp_bytes: int
    edns_version: int | None  # None: the client says nothing of EDNS


def parse_query(message: bytes) -> Query:
    """Reads what a client sent. Raises MalformedError."""
    if len(message) < HEADER_BYTES:
        raise MalformedError(None)
    identifier, flags, questions, answers, authorities, additional = _HEADER.unpack_from(message)
    if flags & _RESPONSE:
        raise MalformedError(None)  # answering it could go on for ever
    if flags & _OPCODE:
        raise MalformedError(NOTIMP)
    if questions != 1:
        raise MalformedError(FORMERR)
    labels, end = _read_name(message, HEADER_BYTES)
    if end + _TYPE_AND_CLASS.size > len(message):
        raise MalformedError(FORMERR)
    kind, network_class = _TYPE_AND_CLASS.unpack_from(message, end)
    end += _TYPE_AND_CLASS.size
    udp_bytes, version = _read_edns(message, end, answers + authorities + additional)
    return Query(
        identifier,
        bool(flags & _RECURSION_DESIRED),
        ".".join(map(_text, labels)).lower(),
        kind,
        network_class,
        message[HEADER_BYTES:end],
        udp_bytes,
        version,
    )


def _read_name(message: bytes, offset: int) -> tuple[list[bytes], int]:
    """The labels of the question's name, and where it ends. Nothing stands before it that it could point to."""
    labels: list[bytes] = []
    start = offset
    while True:
        if offset >= len(message):
            raise MalformedError(FORMERR)
        length = message[offset]
        offset += 1
        if length == 0:
            return labels, offset
        if length > _MOST_LABEL_BYTES or offset + length - start >= _MOST_NAME_BYTES:
            raise MalformedError(FORMERR)
        labels.append(message[offset : offset + length])
        offset += length


def _text(label: bytes) -> str:
    """A label, in which a dot is not taken for one between labels."""
    return label.decode("utf-8", "backslashreplace").replace(".", "\\.")


def _read_edns(message: bytes, offset: int, records: int) -> tuple[int, int | None]:
    """How much the client takes by UDP, and the version of EDNS that it speaks."""
    for _ in range(records):
        offset = _skip_name(message, offset)
        if offset + _FIXED.size > len(message):
            raise MalformedError(FORMERR)
        kind, size, extended, length = _FIXED.unpack_from(message, offset)
        offset += _FIXED.size + length
        if offset > len(message):
            raise MalformedError(FORMERR)
        if kind == OPT:
            return max(size, LEAST_UDP_BYTES), extended >> 16 & 0xFF
    return LEAST_UDP_BYTES, None


def _skip_name(message: bytes, offset: int) -> int:
    while offset < len(message):
        length = message[offset]
        if length == 0:
            return offset + 1
        if length >= _POINTER:
            return offset + 2
        if length > _MOST_LABEL_BYTES:
            break
        offset += 1 + length
    raise MalformedError(FORMERR)


def failure(message: bytes, code: int) -> bytes:
    """What is answered to a message that could not be read, but has a header."""
    identifier, flags = struct.unpack_from("!HH", message)
    kept = flags & (_OPCODE | _RECURSION_DESIRED)
    return _HEADER.pack(identifier, _RESPONSE | kept | _RECURSION_AVAILABLE | code, 0, 0, 0, 0)


def response(query: Query, code: int, records: Sequence[bytes] = (), most_bytes: int = MOST_BYTES) -> bytes:
    """An answer of at most `most_bytes`, in which records that don't fit are missing, and said to be."""
    edns = b"" if query.edns_version is None else b"\0" + _FIXED.pack(OPT, OUR_UDP_BYTES, code >> 4 << 24, 0)
    room = most_bytes - HEADER_BYTES - len(query.question) - len(edns)
    fitting = 0
    for record in records:
        room -= len(record)
        if room < 0:
            break
        fitting += 1
    flags = _RESPONSE | _RECURSION_AVAILABLE | code & _CODE
    if query.recursion_desired:
        flags |= _RECURSION_DESIRED
    if fitting < len(records):
        flags |= _TRUNCATED
    header = _HEADER.pack(query.identifier, flags, 1, fitting, 0, 1 if edns else 0)
    return b"".join((header, query.question, *records[:fitting], edns))


def address_record(address: str, seconds: int) -> bytes:
    """An A or AAAA record of the question's name. Raises ValueError for what is no address."""
    packed = IPv6Address(address).packed if ":" in address else IPv4Address(address).packed
    kind = AAAA if ":" in address else A
    return _QUESTION_NAME + _FIXED.pack(kind, IN, seconds, len(packed)) + packed


def name_record(name: str, seconds: int) -> bytes:
    """A PTR record of the question's name. Raises ValueError for a name that DNS can't have."""
    data = b"".join(bytes([len(label)]) + label for label in _labels(name)) + b"\0"
    if len(data) > _MOST_NAME_BYTES:
        raise ValueError(f"name is too long: {name}")
    return _QUESTION_NAME + _FIXED.pack(PTR, IN, seconds, len(data)) + data


def _labels(name: str) -> list[bytes]:
    labels = [label.encode() for label in name.rstrip(".").split(".")]
    if not all(0 < len(label) <= _MOST_LABEL_BYTES for label in labels):
        raise ValueError(f"not a name for DNS: {name}")
    return labels


def reverse_address(name: str) -> str | None:
    """The address that a name below in-addr.arpa or ip6.arpa stands for."""
    labels = name.split(".")
    zone, host = labels[-2:], labels[-3::-1]
    try:
        if zone == ["in-addr", "arpa"] and len(host) == 4:
            return str(IPv4Address(".".join(host)))
        if zone == ["ip6", "arpa"] and len(host) == 32 and all(len(nibble) == 1 for nibble in host):
            return str(IPv6Address(bytes.fromhex("".join(host))))
    except ValueError:
        pass
    return None


def with_identifier(message: bytes, identifier: int) -> bytes:
    return identifier.to_bytes(2, "big") + message[2:]


def answers(message: bytes, query: Query, identifier: int) -> bool:
    """Whether `message` answers this question, asked with this identifier."""
    if len(message) < HEADER_BYTES:
        return False
    got, flags, questions = struct.unpack_from("!HHH", message)
    if got != identifier or not flags & _RESPONSE:
        return False
    if questions == 0:  # from a server that could not read the question, as those that don't know EDNS
        return flags & _CODE in {FORMERR, SERVFAIL, NOTIMP, REFUSED}
    name, type_and_class = query.question[:-4], query.question[-4:]
    asked = message[HEADER_BYTES : HEADER_BYTES + len(query.question)]
    # a server may change the case of letters; the lengths of labels are below 64 and so never letters
    return questions == 1 and asked[:-4].lower() == name.lower() and asked[-4:] == type_and_class


def code_of(message: bytes) -> int:
    """The response code of an answer."""
    return message[3] & _CODE
