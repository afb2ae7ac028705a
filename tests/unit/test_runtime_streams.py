"""A process's standard streams between pipes or a terminal, the log, and clients."""

import fcntl
import gc
import json
import os
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cais.runtime.log import JsonFileLog
from cais.runtime.messages import LogTarget, StreamOptions
from cais.runtime.poller import Poller
from cais.runtime.streams import Streams

RAW = StreamOptions(stdin=True, stdout=True, stderr=True, framed=False)
FRAMED = StreamOptions(stdin=True, stdout=True, stderr=True, framed=True)


class Process:
    """A process's ends of its streams, and the streams under test."""

    def __init__(self, folder: Path, *, with_input: bool = True, close_stdin_once: bool = False) -> None:
        self.folder = folder
        self.poller = Poller()
        self.detached = 0
        log = JsonFileLog(LogTarget(str(folder / "log"), 0, 1))
        self.streams = Streams(
            self.poller, str(folder), log, close_stdin_once=close_stdin_once, on_detached=self._on_detached
        )
        self.stdin, stdin = os.pipe() if with_input else (-1, -1)
        stdout, self.stdout = os.pipe()
        stderr, self.stderr = os.pipe()
        self.streams.use_pipes(stdin, stdout, stderr)

    def _on_detached(self) -> None:
        self.detached += 1

    def turn(self, count: int = 3) -> None:
        """Handle what has happened, and what came of it."""
        for _ in range(count):
            self.poller.run_once(0)

    def attach(self, options: StreamOptions = RAW) -> socket.socket:
        """A new client's end of its socket."""
        ours, theirs = socket.socketpair()
        self.streams.attach(ours.detach(), options)
        theirs.setblocking(False)
        return theirs

    def exit(self) -> None:
        """Close the process's ends, as its exit does, and let the streams finish."""
        for fd in (self.stdin, self.stdout, self.stderr):
            if fd >= 0:
                os.close(fd)
        self.stdin = self.stdout = self.stderr = -1
        self.streams.drain()
        self.streams.end()

    def logged(self) -> list[tuple[str, str]]:
        lines = (self.folder / "log").read_text("utf-8").splitlines()
        return [(record["stream"], record["log"]) for record in map(json.loads, lines)]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process(tmp_path)
    yield made
    made.streams.drain()
    made.streams.end()


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


def open_files() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


def everything(client: socket.socket, process: Process) -> bytes:
    """What a client gets to the end of its stream."""
    data = b""
    while True:
        try:
            piece = client.recv(1 << 20)
        except BlockingIOError:
            process.poller.run_once(0.1)
            continue
        if not piece:
            return data
        data += piece


def test_output_goes_to_the_log_and_to_every_client(process: Process) -> None:
    one, other = process.attach(), process.attach(FRAMED)
    os.write(process.stdout, b"out\n")
    process.turn()
    os.write(process.stderr, b"err\n")
    process.turn()
    process.exit()
    assert one.recv(100) == b"out\nerr\n"
    assert other.recv(100) == b"\x01\0\0\0\0\0\0\x04out\n\x02\0\0\0\0\0\0\x04err\n"
    assert process.logged() == [("stdout", "out\n"), ("stderr", "err\n")]
    assert process.streams.clients_served


def test_what_was_left_in_the_pipes_is_complete(process: Process) -> None:
    client = process.attach()
    fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 1 << 20)
    os.write(process.stdout, b"x" * 900_000)
    os.write(process.stderr, b"last words")
    process.exit()
    assert everything(client, process) == b"x" * 900_000 + b"last words"
    assert sum(len(text) for _, text in process.logged()) == 900_010


def test_who_goes_on_writing_after_the_end_is_not_waited_for(process: Process) -> None:
    """A process in the background of `exec sh -c 'yes &'` holds the pipe and fills it as fast as it is read."""
    writer = os.dup(process.stdout)

    def write_on() -> None:
        try:
            while True:
                os.write(writer, b"y\n" * 2000)
        except BrokenPipeError:
            os.close(writer)

    thread = threading.Thread(target=write_on)
    thread.start()
    started = time.monotonic()
    process.turn()
    process.exit()
    thread.join(5)
    assert not thread.is_alive()
    assert time.monotonic() - started < 5
    assert process.streams.clients_served


def test_a_client_that_comes_late_gets_what_follows(process: Process) -> None:
    os.write(process.stdout, b"before\n")
    process.turn()
    client = process.attach()
    os.write(process.stdout, b"after\n")
    process.turn()
    assert client.recv(100) == b"after\n"


def test_input_reaches_the_process_in_order(process: Process) -> None:
    one, other = process.attach(), process.attach()
    for number in range(10):
        (one, other)[number % 2].send(str(number).encode())
        process.turn()
    assert os.read(process.stdin, 100) == b"0123456789"


def test_input_that_nobody_reads_stops_at_the_client(process: Process) -> None:
    client = process.attach()
    sent = 0
    for _ in range(400):
        try:
            sent += client.send(b"x" * 50_000)
        except BlockingIOError:
            process.turn()
    assert sent < 4 << 20
    received = 0
    os.set_blocking(process.stdin, False)
    client.shutdown(socket.SHUT_WR)
    while received < sent:
        try:
            received += len(os.read(process.stdin, 1 << 20))
        except BlockingIOError:
            process.turn()
    assert received == sent


@pytest.mark.parametrize("once", [True, False])
def test_the_end_of_a_client_s_input_ends_the_process_s_where_it_was_asked_for(tmp_path: Path, once: bool) -> None:
    process = Process(tmp_path, close_stdin_once=once)
    client = process.attach()
    client.send(b"all")
    client.shutdown(socket.SHUT_WR)
    process.turn()
    assert os.read(process.stdin, 10) == b"all"
    os.set_blocking(process.stdin, False)
    if once:
        assert os.read(process.stdin, 10) == b""
    else:
        with pytest.raises(BlockingIOError):
            os.read(process.stdin, 10)
    os.write(process.stdout, b"answer")
    process.turn()
    assert client.recv(10) == b"answer"
    process.exit()


def test_input_ends_only_after_what_waits(tmp_path: Path) -> None:
    process = Process(tmp_path, close_stdin_once=True)
    client = process.attach()
    client.send(b"x" * 200_000)
    client.shutdown(socket.SHUT_WR)
    process.turn(10)
    received = b""
    while piece := os.read(process.stdin, 10_000):
        received += piece
        process.turn(10)
    assert received == b"x" * 200_000
    process.exit()


def test_a_process_that_closes_its_input_stops_no_client(process: Process) -> None:
    client = process.attach()
    while process.streams._input_bytes <= 256 * 1024:
        client.send(b"x" * 50_000)
        process.turn()
    os.close(process.stdin)
    process.stdin = -1
    for _ in range(20):
        process.turn()
        try:
            client.send(b"x" * 50_000)
        except BlockingIOError:
            pytest.fail("the client is not read any more")


def test_without_input_what_clients_send_is_dropped(tmp_path: Path) -> None:
    process = Process(tmp_path, with_input=False)
    client = process.attach()
    client.send(b"abc")
    process.turn()
    process.exit()
    assert client.recv(10) == b""


def test_detach_keys_are_told_and_the_process_goes_on(process: Process) -> None:
    client = process.attach(StreamOptions(True, True, True, False, "\x10\x11"))
    client.send(b"a\x10\x11")
    process.turn()
    assert process.detached == 1
    assert client.recv(10) == b""
    os.write(process.stdout, b"alone\n")
    process.turn()
    assert os.read(process.stdin, 10) == b"a"
    assert process.logged() == [("stdout", "alone\n")]


def fill(process: Process, limit: int) -> int:
    """Write until nothing more is taken, or `limit` is; how much was written."""
    os.set_blocking(process.stdout, False)
    written = idle = 0
    while idle < 3 and written < limit:
        try:
            written += os.write(process.stdout, b"0123456789abcde\n" * 1000)
            idle = 0
        except BlockingIOError:
            idle += 1
        process.turn(1)
    return written


def test_a_slow_client_holds_the_process_back(process: Process) -> None:
    client = process.attach()
    written = fill(process, 20 << 20)
    assert written < 4 << 20
    assert process.streams.held_back
    received = 0
    while received < written:
        process.turn(1)
        received += len(client.recv(1 << 20))
    assert not process.streams.held_back
    os.write(process.stdout, b"on\n")


def test_a_stalled_client_does_not_and_misses_nothing(process: Process, clock: Callable[[float], None]) -> None:
    stalled, reader = process.attach(), process.attach()
    written = fill(process, 20 << 20)
    assert process.streams.held_back
    clock(3)
    process.streams.reconsider()
    assert not process.streams.held_back
    reader.close()
    written += fill(process, 8 << 20)
    assert written > 8 << 20
    process.exit()
    data = everything(stalled, process)
    assert len(data) == written
    assert data == b"0123456789abcde\n" * (written // 16)


def test_a_process_that_ended_leaves_nothing_open(tmp_path: Path) -> None:
    gc.collect()
    before = open_files()
    process = Process(tmp_path)
    client = process.attach()
    os.close(process.stdin)
    os.close(process.stdout)
    os.close(process.stderr)
    process.streams.drain()
    process.streams.end()
    assert client.recv(1) == b""
    client.close()
    del process
    gc.collect()
    assert open_files() == before


class Terminal:
    """A terminal whose master the streams serve."""

    def __init__(self, folder: Path) -> None:
        self.poller = Poller()
        log = JsonFileLog(LogTarget(str(folder / "log"), 0, 1))
        self.streams = Streams(self.poller, str(folder), log, close_stdin_once=True, on_detached=lambda: None)
        master, self.slave = os.openpty()
        self.name = os.ttyname(self.slave)
        self.streams.use_terminal(master, with_input=True)

    def attach(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        self.streams.attach(ours.detach(), RAW)
        theirs.settimeout(5)
        return theirs

    def turn(self) -> None:
        """Terminals pass data on in the background."""
        deadline = time.monotonic() + 0.05
        while (left := deadline - time.monotonic()) > 0:
            self.poller.run_once(left)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path)
    yield made
    made.streams.drain()
    made.streams.end()


def test_a_terminal_echoes_and_translates(terminal: Terminal) -> None:
    client = terminal.attach()
    client.send(b"ls\r")
    terminal.turn()
    assert os.read(terminal.slave, 10) == b"ls\n"
    os.write(terminal.slave, b"file\n")
    terminal.turn()
    assert client.recv(100) == b"ls\r\nfile\r\n"


def test_a_terminal_s_size_is_set(terminal: Terminal) -> None:
    def size() -> tuple[int, ...]:
        return struct.unpack("HHHH", fcntl.ioctl(terminal.slave, termios.TIOCGWINSZ, bytes(8)))[:2]

    terminal.streams.resize(40, 132)
    assert size() == (40, 132)
    terminal.streams.resize(100_000, 65_536 + 80)  # as Docker, which keeps what fits
    assert size() == (100_000 & 0xFFFF, 80)


def test_the_end_of_input_does_not_close_a_terminal(terminal: Terminal) -> None:
    client = terminal.attach()
    client.shutdown(socket.SHUT_WR)
    terminal.turn()
    os.write(terminal.slave, b"still\n")
    terminal.turn()
    assert client.recv(100) == b"still\r\n"


def test_a_terminal_that_nobody_has_open_is_kept_and_used_again(terminal: Terminal) -> None:
    client = terminal.attach()
    os.write(terminal.slave, b"first\n")
    os.close(terminal.slave)
    terminal.turn()
    assert client.recv(100) == b"first\r\n"
    started = time.process_time()
    terminal.turn()
    assert time.process_time() - started < 0.04  # it waits, and does not spin
    slave = os.open(terminal.name, os.O_RDWR | os.O_NOCTTY)
    os.write(slave, b"again\n")
    client.send(b"x")
    terminal.turn()
    assert b"again\r\n" in client.recv(100)
    os.close(slave)


def test_what_a_terminal_still_holds_is_complete_at_the_end(terminal: Terminal) -> None:
    client = terminal.attach()
    os.write(terminal.slave, b"x" * 3000 + b"\n")
    os.close(terminal.slave)
    terminal.streams.drain()
    terminal.streams.end()
    data = b""
    while piece := client.recv(10_000):
        data += piece
    assert data == b"x" * 3000 + b"\r\n"


def test_a_terminal_is_hung_up_at_the_end_of_its_process(terminal: Terminal) -> None:
    terminal.streams.drain()
    with pytest.raises(OSError, match="Input/output error"):
        os.write(terminal.slave, b"x")
    os.close(terminal.slave)


def test_a_client_behind_the_log_gets_what_is_in_no_file_yet(process: Process) -> None:
    os.write(process.stdout, b"whole\nunfini")
    process.turn()
    ours, client = socket.socketpair()
    gate, opener = os.pipe()
    size = process.streams.attach_behind(ours.detach(), RAW, gate)
    assert size == (process.folder / "log").stat().st_size > 0
    os.write(process.stdout, b"shed\n")
    process.turn()
    assert process.streams.clients_wait
    os.write(opener, b"\0")
    os.close(opener)
    process.exit()
    client.setblocking(False)
    assert everything(client, process) == b"unfinished\n"
    assert not process.streams.clients_wait
