"""A client of a process's streams: frames, detach keys, and what happens when it reads slowly or not at all."""

import os
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cais.runtime.clients import Client
from cais.runtime.messages import StreamOptions
from cais.runtime.poller import Poller
from cais.runtime.spill import Spill

MEBIBYTE = 1 << 20


class Process:
    """The streams that a client is attached to; it only notes what it is told."""

    def __init__(self) -> None:
        self.input = b""
        self.input_ended = 0
        self.detached = 0
        self.advanced = 0
        self.let_in = 0
        self.forgotten: list[Client] = []

    def feed(self, data: bytes) -> None:
        self.input += data

    def client_input_ended(self) -> None:
        self.input_ended += 1

    def client_advanced(self) -> None:
        self.advanced += 1

    def client_detached(self) -> None:
        self.detached += 1

    def client_let_in(self) -> None:
        self.let_in += 1

    def forget(self, client: Client) -> None:
        self.forgotten.append(client)


class Connection:
    """A client, the process that it is attached to, and the other end of its socket."""

    def __init__(
        self, folder: Path, *, framed: bool = False, stdin: bool = True, keys: bytes = b"", gate: int = -1
    ) -> None:
        self.process = Process()
        self.poller = Poller()
        ours, self.socket = socket.socketpair()
        self.socket.setblocking(False)
        options = StreamOptions(stdin, True, True, framed, keys.decode("latin-1"))
        self.client = Client(self.process, self.poller, ours.detach(), options, str(folder), gate_fd=gate)

    def turn(self) -> None:
        """Handle what has happened."""
        self.poller.run_once(0)

    def type(self, data: bytes) -> None:
        self.socket.sendall(data)
        self.turn()

    def read(self) -> bytes:
        """What has arrived at the other end, while the client may go on."""
        data = b""
        while True:
            try:
                piece = self.socket.recv(MEBIBYTE)
            except BlockingIOError:
                self.turn()
                try:
                    piece = self.socket.recv(MEBIBYTE)
                except BlockingIOError:
                    return data
            if not piece:
                return data
            data += piece

    def is_closed(self) -> bool:
        """Whether the other end sees the end of the stream."""
        try:
            return self.socket.recv(1) == b""
        except BlockingIOError:
            return False


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the clock on by some seconds."""
    offset = 0.0
    real = time.monotonic

    def advance(seconds: float) -> None:
        nonlocal offset
        offset += seconds

    monkeypatch.setattr(time, "monotonic", lambda: real() + offset)
    return advance


def numbered(count: int) -> list[bytes]:
    return [f"{number:07d}".encode() * 9000 for number in range(count)]


def test_without_frames_the_bytes_are_the_process_s(tmp_path: Path) -> None:
    connection = Connection(tmp_path)
    connection.client.send("stdout", b"out\x00")
    connection.client.send("stderr", b"err\xff")
    assert connection.read() == b"out\x00err\xff"


def test_frames_tell_stream_and_length(tmp_path: Path) -> None:
    connection = Connection(tmp_path, framed=True)
    connection.client.send("stdout", b"out")
    connection.client.send("stderr", b"x" * 300)
    assert connection.read() == b"\x01\0\0\0\0\0\0\x03out" + b"\x02\0\0\0\0\0\x01\x2c" + b"x" * 300


def test_only_the_streams_that_were_asked_for_are_sent(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    options = StreamOptions(stdin=False, stdout=False, stderr=True, framed=False)
    client = Client(Process(), Poller(), ours.detach(), options, str(tmp_path))
    client.send("stdout", b"out")
    client.send("stderr", b"err")
    client.close()
    assert theirs.recv(100) == b"err"
    theirs.close()


def test_input_is_fed_and_its_end_told_once(tmp_path: Path) -> None:
    connection = Connection(tmp_path)
    connection.type(b"abc")
    connection.type(b"\x00def")
    connection.socket.shutdown(socket.SHUT_WR)
    connection.turn()
    connection.turn()
    assert connection.process.input == b"abc\x00def"
    assert connection.process.input_ended == 1
    assert connection.client.open
    connection.client.send("stdout", b"still here")
    assert connection.read() == b"still here"


def test_input_that_was_not_asked_for_is_dropped(tmp_path: Path) -> None:
    connection = Connection(tmp_path, stdin=False)
    connection.type(b"abc")
    connection.socket.shutdown(socket.SHUT_WR)
    connection.turn()
    assert connection.process.input == b""
    assert connection.process.input_ended == 0


@pytest.mark.parametrize(
    ("typed", "fed", "detached"),
    [
        ([b"\x10\x11"], b"", 1),
        ([b"\x10", b"\x11"], b"", 1),
        ([b"ls\n\x10\x11rest"], b"ls\n", 1),
        ([b"\x10x"], b"\x10x", 0),
        ([b"\x10", b"x"], b"\x10x", 0),
        ([b"\x10\x10\x11"], b"\x10", 1),
        ([b"\x10", b"\x10", b"x"], b"\x10\x10x", 0),
        ([b"\x11\x10"], b"\x11", 0),
        ([b"\x11"], b"\x11", 0),
    ],
)
def test_detach_keys(tmp_path: Path, typed: list[bytes], fed: bytes, detached: int) -> None:
    connection = Connection(tmp_path, keys=b"\x10\x11")
    for keys in typed:
        connection.type(keys)
    assert connection.process.input == fed
    assert connection.process.detached == detached
    assert connection.client.open != bool(detached)
    assert connection.is_closed() == bool(detached)


def test_the_beginning_of_the_keys_is_input_when_nothing_follows(tmp_path: Path) -> None:
    connection = Connection(tmp_path, keys=b"\x10\x11")
    connection.type(b"a\x10")
    assert connection.process.input == b"a"
    connection.socket.shutdown(socket.SHUT_WR)
    connection.turn()
    assert connection.process.input == b"a\x10"


@given(pieces=st.lists(st.binary(max_size=6).map(lambda data: bytes(byte % 3 for byte in data)), max_size=8))
def test_input_is_what_was_typed_up_to_the_keys(tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]) -> None:
    keys = b"\x01\x02"
    connection = Connection(tmp_path_factory.getbasetemp(), keys=keys)
    for piece in filter(None, pieces):
        if connection.client.open:
            connection.type(piece)
    if connection.client.open:
        connection.socket.shutdown(socket.SHUT_WR)
        connection.turn()
    typed = b"".join(pieces)
    assert connection.process.input == typed.partition(keys)[0]
    assert connection.process.detached == (keys in typed)
    connection.client.close()
    connection.socket.close()


def test_a_slow_client_holds_the_process_back_and_lets_it_go_on(tmp_path: Path) -> None:
    connection = Connection(tmp_path)
    sent = b""
    while not connection.client.holds_back:
        sent += b"x" * 50_000
        connection.client.send("stdout", b"x" * 50_000)
        assert len(sent) < 4 * MEBIBYTE
    assert connection.read() == sent
    assert not connection.client.holds_back
    assert connection.process.advanced > 0
    assert os.listdir(tmp_path) == []


def test_a_stalled_client_holds_nobody_back_and_gets_everything_in_order(
    tmp_path: Path, clock: Callable[[float], None]
) -> None:
    connection = Connection(tmp_path, framed=True)
    pieces = numbered(400)
    for number, piece in enumerate(pieces):
        connection.client.send("stdout", piece)
        if number == 100:
            clock(3)
    assert not connection.client.holds_back
    memory = connection.client._queued_bytes
    assert memory < 8 * MEBIBYTE
    assert connection.client._spill.size > 10 * MEBIBYTE
    assert connection.read() == b"".join(b"\x01\0\0\0" + len(piece).to_bytes(4, "big") + piece for piece in pieces)
    assert connection.client.idle
    connection.client.send("stdout", b"and on")
    assert connection.read()[8:] == b"and on"


def test_a_stalled_client_that_reads_again_while_more_comes_keeps_the_order(
    tmp_path: Path, clock: Callable[[float], None]
) -> None:
    connection = Connection(tmp_path)
    pieces = numbered(300)
    received = b""
    for number, piece in enumerate(pieces):
        connection.client.send("stdout", piece)
        if number in (60, 150):
            clock(3)
        if number > 100 and number % 20 == 0:
            connection.turn()
            received += connection.socket.recv(500_000)
    assert received + connection.read() == b"".join(pieces)


def test_a_client_for_which_there_is_no_room_is_dropped(
    tmp_path: Path, clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cais.runtime.spill._LIMIT_BYTES", 3 * MEBIBYTE)
    connection = Connection(tmp_path)
    for number in range(200):
        connection.client.send("stdout", b"x" * 50_000)
        clock(0.1 if number else 0)
    assert not connection.client.open
    assert connection.process.forgotten == [connection.client]
    connection.client.send("stdout", b"to nobody")


def test_a_client_that_ends_gets_what_is_left_and_is_closed(tmp_path: Path) -> None:
    connection = Connection(tmp_path)
    for _ in range(20):
        connection.client.send("stdout", b"x" * 50_000)
    connection.client.end()
    assert connection.client.open
    assert connection.read() == b"x" * 1_000_000
    assert connection.is_closed()
    assert connection.process.forgotten == [connection.client]


def test_a_client_with_nothing_left_is_closed_at_once(tmp_path: Path) -> None:
    connection = Connection(tmp_path)
    connection.client.end()
    assert connection.is_closed()


def test_the_end_reaches_a_client_whose_socket_somebody_else_holds_too(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    copy = ours.dup()
    client = Client(Process(), Poller(), ours.detach(), StreamOptions(True, True, True, False), str(tmp_path))
    client.close()
    assert theirs.recv(1) == b""
    copy.close()
    theirs.close()


def test_a_client_that_went_away_is_noticed(tmp_path: Path) -> None:
    connection = Connection(tmp_path)
    connection.socket.close()
    connection.turn()
    connection.turn()
    assert connection.process.forgotten == [connection.client]
    assert connection.process.input_ended == 1


def test_input_of_a_client_that_went_away_is_still_delivered_when_it_is_wanted_again(tmp_path: Path) -> None:
    connection = Connection(tmp_path)
    connection.client.pause_reading(True)
    connection.socket.send(b"x" * 100_000)
    connection.client.send("stdout", b"never read")
    connection.socket.close()
    for _ in range(3):
        connection.turn()
    assert connection.process.input == b""
    connection.client.send("stdout", b"to nobody")
    assert connection.client.open
    connection.client.pause_reading(False)
    for _ in range(5):
        connection.turn()
    assert connection.process.input == b"x" * 100_000
    assert connection.process.input_ended == 1
    assert connection.process.forgotten == [connection.client]


def test_a_paused_client_that_hangs_up_does_not_keep_the_loop_busy(tmp_path: Path) -> None:
    connection = Connection(tmp_path)
    connection.client.pause_reading(True)
    connection.socket.send(b"x")
    connection.socket.close()
    connection.turn()
    started = time.monotonic()
    connection.poller.run_once(0.1)
    assert time.monotonic() - started > 0.05
    connection.client.close()


def test_pausing_leaves_input_in_the_socket(tmp_path: Path) -> None:
    connection = Connection(tmp_path)
    connection.client.pause_reading(True)
    connection.type(b"abc")
    assert connection.process.input == b""
    connection.client.pause_reading(False)
    connection.turn()
    assert connection.process.input == b"abc"


def test_a_spill_is_a_queue_that_gives_space_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cais.runtime.spill._PUNCH_BYTES", MEBIBYTE)
    spill = Spill(str(tmp_path))
    assert spill.take(10) == b""
    pieces = [bytes([number]) * 100_000 for number in range(100)]
    for piece in pieces:
        assert spill.append(piece)
    assert os.listdir(tmp_path) == []
    assert spill.size == 10_000_000
    os.fsync(spill._fd)
    before = os.fstat(spill._fd).st_blocks
    taken = b""
    while len(taken) < 9_000_000:
        taken += spill.take(65_536)
    assert os.fstat(spill._fd).st_blocks < before / 2
    while piece := spill.take(65_536):
        taken += piece
    assert taken == b"".join(pieces)
    assert os.fstat(spill._fd).st_size == 0
    spill.close()
    assert spill.size == 0


def test_a_spill_without_a_folder_says_so(tmp_path: Path) -> None:
    assert not Spill(str(tmp_path / "missing")).append(b"x")


def test_the_poller_calls_what_is_watched_and_nothing_else() -> None:
    poller = Poller()
    reader, writer = os.pipe()
    calls: list[int] = []
    poller.set(reader, select.EPOLLIN, calls.append)
    poller.run_once(0)
    os.write(writer, b"x")
    poller.run_once(0)
    assert calls == [select.EPOLLIN]
    poller.set(reader, 0, calls.append)
    poller.run_once(0)
    poller.remove(reader)
    poller.remove(reader)
    os.close(writer)
    poller.run_once(0)
    assert calls == [select.EPOLLIN]
    os.close(reader)


def test_behind_its_gate_a_client_gets_nothing_and_then_everything(tmp_path: Path) -> None:
    gate, opener = os.pipe()
    connection = Connection(tmp_path, gate=gate)
    connection.client.send("stdout", b"one ")
    connection.client.send("stderr", b"two")
    connection.client.end()
    assert connection.read() == b""
    assert connection.client.waits
    os.write(opener, b"\0")
    os.close(opener)
    connection.turn()
    assert connection.read() == b"one two"
    assert not connection.client.open
    assert connection.process.let_in == 1


def test_input_is_taken_before_the_gate_is_open(tmp_path: Path) -> None:
    gate, opener = os.pipe()
    connection = Connection(tmp_path, gate=gate)
    connection.type(b"hello")
    assert connection.process.input == b"hello"
    connection.client.close()
    os.close(opener)
    assert connection.process.let_in == 1


def test_a_gate_that_closes_ends_the_client(tmp_path: Path) -> None:
    gate, opener = os.pipe()
    connection = Connection(tmp_path, gate=gate)
    connection.client.send("stdout", b"x")
    os.close(opener)
    connection.turn()
    assert not connection.client.open
    assert connection.read() == b""
    assert connection.process.forgotten == [connection.client]
