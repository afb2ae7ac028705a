import socket
import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cais.network.dns import wire

HEADER = struct.Struct("!HHHHHH")


def name_bytes(name: str) -> bytes:
    labels = [label.encode() for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def edns(size: int, version: int = 0) -> bytes:
    return b"\0" + struct.pack("!HHIH", wire.OPT, size, version << 16, 0)


def query(
    name: str = "web", kind: int = wire.A, *, flags: int = 0x0100, more: bytes = b"", identifier: int = 7
) -> bytes:
    header = HEADER.pack(identifier, flags, 1, 0, 0, 1 if more else 0)
    return header + name_bytes(name) + struct.pack("!HH", kind, wire.IN) + more


def test_a_question_is_read() -> None:
    asked = wire.parse_query(query("WEB.Example", wire.AAAA))
    assert (asked.identifier, asked.name, asked.kind, asked.network_class) == (7, "web.example", wire.AAAA, wire.IN)
    assert asked.recursion_desired
    assert asked.udp_bytes == 512
    assert asked.edns_version is None
    assert asked.question == name_bytes("WEB.Example") + b"\0\x1c\0\1"


def test_the_root_is_a_name() -> None:
    assert wire.parse_query(query("", 2)).name == ""


def test_the_size_that_a_client_takes() -> None:
    assert wire.parse_query(query(more=edns(1232))).udp_bytes == 1232
    assert wire.parse_query(query(more=edns(100))).udp_bytes == 512
    assert wire.parse_query(query(more=edns(1232, version=1))).edns_version == 1


def test_an_opt_record_is_found_behind_others() -> None:
    other = b"\xc0\x0c" + struct.pack("!HHIH", 16, 1, 0, 3) + b"abc"
    message = HEADER.pack(7, 0, 1, 0, 0, 2) + name_bytes("web") + b"\0\1\0\1" + other + edns(900)
    assert wire.parse_query(message).udp_bytes == 900


def test_a_dot_inside_a_label_is_no_dot_between_labels() -> None:
    message = HEADER.pack(7, 0, 1, 0, 0, 0) + b"\x03a.b\0" + b"\0\1\0\1"
    assert wire.parse_query(message).name == "a\\.b"


def test_bytes_that_are_no_text_are_spelled_out() -> None:
    message = HEADER.pack(7, 0, 1, 0, 0, 0) + b"\x02\xff\xfe\0" + b"\0\1\0\1"
    assert wire.parse_query(message).name == "\\xff\\xfe"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"", None),
        (b"\0" * 11, None),
        (query(flags=0x8100), None),  # a response
        (query(flags=0x2800), wire.NOTIMP),  # an update
        (HEADER.pack(7, 0, 0, 0, 0, 0), wire.FORMERR),
        (HEADER.pack(7, 0, 2, 0, 0, 0) + name_bytes("web") * 2, wire.FORMERR),
        (HEADER.pack(7, 0, 1, 0, 0, 0) + b"\x03we", wire.FORMERR),
        (HEADER.pack(7, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1", wire.FORMERR),  # a name that points at itself
        (HEADER.pack(7, 0, 1, 0, 0, 0) + b"\x40" + b"a" * 64 + b"\0\0\1\0\1", wire.FORMERR),
        (HEADER.pack(7, 0, 1, 0, 0, 0) + name_bytes(".".join(["a" * 60] * 5)) + b"\0\1\0\1", wire.FORMERR),
        (query()[:-1], wire.FORMERR),
        (query(more=edns(512)[:-1]), wire.FORMERR),
        (query(more=edns(512)[:-2] + b"\xff\xff"), wire.FORMERR),  # data longer than the message
    ],
)
def test_what_is_no_question(message: bytes, code: int | None) -> None:
    with pytest.raises(wire.MalformedError) as caught:
        wire.parse_query(message)
    assert caught.value.code == code


@settings(deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes_are_read_or_refused(message: bytes) -> None:
    try:
        asked = wire.parse_query(message)
    except wire.MalformedError as error:
        if error.code is not None:
            answer = wire.failure(message, error.code)
            assert answer[:2] == message[:2]
            assert len(answer) == wire.HEADER_BYTES
    else:
        assert message[12:].startswith(asked.question)


@settings(deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes_behind_a_header_are_read_or_refused(tail: bytes) -> None:
    try:
        wire.parse_query(HEADER.pack(7, 0x0100, 1, 0, 0, 60000) + tail)
    except wire.MalformedError as error:
        assert error.code == wire.FORMERR


labels = st.text(alphabet="abcdefghijklmnopqrstuvwxyzABCDEF0123456789-_", min_size=1, max_size=63)


@settings(deadline=None)
@given(st.lists(labels, min_size=1, max_size=3), st.integers(0, 65535), st.integers(0, 65535))
def test_what_was_asked_is_in_the_answer(parts: list[str], kind: int, identifier: int) -> None:
    name = ".".join(parts)
    asked = wire.parse_query(query(name, kind, identifier=identifier))
    assert asked.name == name.lower()
    answer = wire.response(asked, wire.NXDOMAIN)
    assert answer[:2] == identifier.to_bytes(2, "big")
    assert wire.code_of(answer) == wire.NXDOMAIN
    assert wire.answers(answer, asked, identifier)
    assert not wire.answers(answer, asked, identifier ^ 1)


def test_a_pile_of_pointers_costs_no_time() -> None:
    """What keeps dnslib busy for seconds: thousands of names that each lead through hundreds of pointers."""
    chain = bytearray(query(more=b"\0" + struct.pack("!HHIH", 65280, 1, 0, 900 * 4)))
    last = wire.HEADER_BYTES
    for _ in range(900):
        place = len(chain)
        chain += b"\x01b" + struct.pack("!H", 0xC000 | last)
        last = place
    records = (struct.pack("!HHHIH", 0xC000 | last, 1, 1, 0, 4) + b"abcd") * 2000
    message = chain[:10] + struct.pack("!H", 2001) + chain[12:] + records
    begun = time.perf_counter()
    assert wire.parse_query(bytes(message)).name == "web"
    assert time.perf_counter() - begun < 1


def test_an_answer_with_addresses() -> None:
    asked = wire.parse_query(query())
    answer = wire.response(asked, wire.NOERROR, [wire.address_record("10.0.0.1", 600)])
    assert answer == (b"\0\7\x81\x80\0\1\0\1\0\0\0\0" + asked.question + b"\xc0\x0c\0\1\0\1\0\0\2\x58\0\4\x0a\0\0\1")
    six = wire.address_record("fd00::9", 1)
    assert six == b"\xc0\x0c\0\x1c\0\1\0\0\0\1\0\x10" + socket.inet_pton(socket.AF_INET6, "fd00::9")


def test_an_answer_that_is_too_long_says_so() -> None:
    asked = wire.parse_query(query(more=edns(512)))
    records = [wire.address_record(f"10.0.0.{number}", 600) for number in range(100)]
    answer = wire.response(asked, wire.NOERROR, records, 512)
    _, flags, _, count, _, additional = HEADER.unpack_from(answer)
    assert flags & 0x0200
    assert additional == 1
    assert 512 - 16 < len(answer) <= 512
    assert len(answer) == 12 + len(asked.question) + 16 * count + 11
    assert not HEADER.unpack_from(wire.response(asked, wire.NOERROR, records))[1] & 0x0200


def test_an_unknown_version_of_edns() -> None:
    answer = wire.response(wire.parse_query(query(more=edns(512, version=1))), wire.BADVERS)
    assert wire.code_of(answer) == 0
    assert answer[-6:] == b"\1\0\0\0\0\0"


def test_names_in_answers() -> None:
    assert wire.name_record("web.net1", 0)[12:] == b"\x03web\x04net1\0"
    for wrong in ("", "a..b", "a" * 64, ".".join(["a" * 60] * 5)):
        with pytest.raises(ValueError, match="name"):
            wire.name_record(wrong, 0)


def test_what_is_no_address_makes_no_record() -> None:
    with pytest.raises(ValueError, match="4 octets"):
        wire.address_record("10.0", 0)


@settings(deadline=None)
@given(st.ip_addresses())
def test_names_of_addresses(address: object) -> None:
    pointer = str(getattr(address, "reverse_pointer"))  # noqa: B009 -- of both kinds of address
    assert wire.reverse_address(pointer) == str(address)


@pytest.mark.parametrize(
    "name", ["web", "1.2.3.in-addr.arpa", "1.2.3.4.5.in-addr.arpa", "a.b.c.d.in-addr.arpa", "1.ip6.arpa",
             "in-addr.arpa", "", ".".join(["g"] * 32) + ".ip6.arpa", ".".join(["ab"] * 16) + ".ip6.arpa"],
)  # fmt: skip
def test_names_of_no_address(name: str) -> None:
    assert wire.reverse_address(name) is None


def test_which_answers_are_believed() -> None:
    asked = wire.parse_query(query("web", 65))
    good = wire.response(asked, wire.NOERROR)
    assert wire.answers(good, asked, 7)
    assert wire.answers(good.replace(b"web", b"WEB"), asked, 7)
    assert not wire.answers(good.replace(b"web", b"wed"), asked, 7)
    assert not wire.answers(good[:-3] + b"\x61" + good[-2:], asked, 7)  # another type
    assert not wire.answers(query("web", 65), asked, 7)  # a question
    assert not wire.answers(good[:20], asked, 7)
    assert not wire.answers(b"", asked, 7)
    assert wire.answers(wire.failure(query(), wire.FORMERR), asked, 7)
    assert not wire.answers(wire.failure(query(), wire.NXDOMAIN), asked, 7)
