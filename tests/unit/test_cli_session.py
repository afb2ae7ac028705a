"""Conversations with a container, over a real pair of sockets."""

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from cais.cli.command import CommandError
from cais.cli.session import Session

MANY_BYTES = 3_000_000


def frame(stream: int, content: bytes) -> bytes:
    return struct.pack(">BxxxI", stream, len(content)) + content


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Our end and the container's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def typed() -> Iterator[Callable[[bytes], None]]:
    """Standard input is what is typed with this function; nothing at all closes it."""
    saved = os.dup(0)
    reading, writing = os.pipe()
    os.dup2(reading, 0)
    os.close(reading)
    is_open = True

    def write(data: bytes) -> None:
        nonlocal is_open
        if data:
            os.write(writing, data)
        elif is_open:
            os.close(writing)
            is_open = False

    yield write
    write(b"")
    os.dup2(saved, 0)
    os.close(saved)


def in_background(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def test_both_outputs_go_where_they_belong(
    pair: tuple[socket.socket, socket.socket], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    ours, theirs = pair
    theirs.sendall(frame(1, b"out\n") + frame(2, b"err\n") + frame(1, b"more\n"))
    theirs.close()
    assert Session(ours, frame(1, b"early\n"), tty=False, stdin=False).run()
    captured = capfdbinary.readouterr()
    assert captured.out == b"early\nout\nmore\n"
    assert captured.err == b"err\n"


def test_a_terminal_s_output_is_passed_as_it_is(
    pair: tuple[socket.socket, socket.socket], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    ours, theirs = pair
    theirs.sendall(frame(1, b"looks like a frame"))
    theirs.close()
    assert Session(ours, b"", tty=True, stdin=False).run()
    assert capfdbinary.readouterr().out == frame(1, b"looks like a frame")


def test_an_error_in_the_stream_is_an_error(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(frame(3, b"gone"))
    with pytest.raises(CommandError, match="error from daemon in stream: gone"):
        Session(ours, b"", tty=False, stdin=False).run()


def test_input_goes_to_its_end_and_output_is_still_awaited(
    pair: tuple[socket.socket, socket.socket],
    typed: Callable[[bytes], None],
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    ours, theirs = pair

    def answer() -> None:
        received = b""
        while data := theirs.recv(1000):
            received += data
        theirs.sendall(frame(1, received.upper()))
        theirs.shutdown(socket.SHUT_WR)

    thread = in_background(answer)
    typed(b"hello ")
    typed(b"world")
    typed(b"")
    assert Session(ours, b"", tty=False, stdin=True).run()
    thread.join(5)
    assert capfdbinary.readouterr().out == b"HELLO WORLD"


def test_a_container_that_reads_late_while_it_writes_much_is_no_deadlock(
    pair: tuple[socket.socket, socket.socket],
    typed: Callable[[bytes], None],
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    ours, theirs = pair
    received = 0

    def answer() -> None:
        nonlocal received
        for _ in range(MANY_BYTES // 1000):
            theirs.sendall(frame(1, b"o" * 1000))
        while data := theirs.recv(65536):
            received += len(data)
        theirs.shutdown(socket.SHUT_WR)

    def write() -> None:
        for _ in range(MANY_BYTES // 1000):
            typed(b"i" * 1000)
        typed(b"")

    threads = [in_background(answer), in_background(write)]
    assert Session(ours, b"", tty=False, stdin=True).run()
    for thread in threads:
        thread.join(5)
    assert received == MANY_BYTES
    assert len(capfdbinary.readouterr().out) == MANY_BYTES


def test_without_outputs_the_end_of_input_is_the_end(
    pair: tuple[socket.socket, socket.socket], typed: Callable[[bytes], None]
) -> None:
    ours, theirs = pair
    typed(b"abc")
    typed(b"")
    assert Session(ours, b"", tty=False, stdin=True, output=False).run()
    assert theirs.recv(100) == b"abc"
    assert theirs.recv(100) == b""


def test_the_detach_keys_end_the_conversation(
    pair: tuple[socket.socket, socket.socket], typed: Callable[[bytes], None]
) -> None:
    ours, theirs = pair
    typed(b"ls\n\x10\x11")
    assert not Session(ours, b"", tty=True, stdin=True).run()
    assert theirs.recv(100) == b"ls\n"


def test_other_detach_keys_can_be_chosen(
    pair: tuple[socket.socket, socket.socket], typed: Callable[[bytes], None]
) -> None:
    ours, theirs = pair
    typed(b"\x10\x11xy")
    assert not Session(ours, b"", tty=True, stdin=True, detach_keys="x,y").run()
    assert theirs.recv(100) == b"\x10\x11"


def test_without_a_terminal_no_keys_detach(
    pair: tuple[socket.socket, socket.socket], typed: Callable[[bytes], None]
) -> None:
    ours, theirs = pair
    typed(b"\x10\x11")
    typed(b"")

    def answer() -> None:
        assert theirs.recv(100) == b"\x10\x11"
        theirs.shutdown(socket.SHUT_WR)

    thread = in_background(answer)
    assert Session(ours, b"", tty=False, stdin=True).run()
    thread.join(5)


def test_a_container_that_closed_its_end_takes_no_input(
    pair: tuple[socket.socket, socket.socket], typed: Callable[[bytes], None]
) -> None:
    ours, theirs = pair
    theirs.close()
    typed(b"x" * 1000)
    assert Session(ours, b"", tty=False, stdin=True).run()


def test_our_size_is_told_until_it_is_taken(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    told = 0

    def resize() -> bool:
        nonlocal told
        told += 1
        if told == 3:
            theirs.shutdown(socket.SHUT_WR)
        return told == 3

    assert Session(ours, b"", tty=True, stdin=False, resize=resize).run()
    assert told == 3
