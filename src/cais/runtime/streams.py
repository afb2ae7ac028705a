"""A process's standard streams: what it writes goes to the log and to every client, what clients send goes to it."""

import os
import select
from collections import deque
from collections.abc import Callable

from cais.linux import fs, tty
from cais.runtime.clients import READ_BYTES, Client
from cais.runtime.log import JsonFileLog
from cais.runtime.messages import StreamOptions
from cais.runtime.poller import Poller

_STDIN_BYTES = 256 * 1024  # what is kept for a process that does not read, before clients are no longer read either
_TERMINAL_BYTES = 1024 * 1024  # more than a terminal holds


class Streams:
    """The streams of one process: pipes, or the master of a terminal."""

    def __init__(
        self,
        poller: Poller,
        spill_folder: str,
        log: JsonFileLog | None,
        *,
        close_stdin_once: bool,
        on_detached: Callable[[], None],
    ) -> None:
        self._poller = poller
        self._spill_folder = spill_folder
        self._on_detached = on_detached
        self._log = log
        self._close_stdin_once = close_stdin_once
        self._outputs: dict[int, str] = {}
        self._stdin_fd = -1
        self._terminal_fd = -1
        self._terminal_silent = False
        self._input: deque[bytes] = deque()
        self._input_bytes = 0
        self._input_ended = False
        self._clients: list[Client] = []
        self._held_back = False

    def use_pipes(self, stdin_fd: int, stdout_fd: int, stderr_fd: int) -> None:
        """Serve the engine's ends of three pipes; stdin_fd is -1 where the process reads the null device."""
        if stdin_fd >= 0:
            os.set_blocking(stdin_fd, False)
            self._stdin_fd = stdin_fd
        self._add_output(stdout_fd, "stdout")
        self._add_output(stderr_fd, "stderr")

    def use_terminal(self, master_fd: int, *, with_input: bool) -> None:
        """Serve the master of a terminal, whose output counts as stdout."""
        self._terminal_fd = master_fd
        self._add_output(master_fd, "stdout")
        if with_input:
            self._stdin_fd = master_fd

    def attach(self, fd: int, options: StreamOptions) -> None:
        """Serve a client; its socket belongs to these streams from now on."""
        self._clients.append(Client(self, self._poller, fd, options, self._spill_folder))
        self._listen_again()

    def attach_behind(self, fd: int, options: StreamOptions, gate_fd: int) -> int:
        """Serve a client that gets the log first, from somebody else, who then opens the gate. See `clients`.

        Returns: the size of the log's current file at which what these streams send begins; no other file is begun
            until the gate is open, unless the client goes before.
        """
        client = Client(self, self._poller, fd, options, self._spill_folder, gate_fd=gate_fd)
        self._clients.append(client)
        self._listen_again()
        if self._log is None:
            return 0
        self._log.hold(True)
        for stream in ("stdout", "stderr"):
            if unfinished := self._log.unfinished(stream):
                client.send(stream, unfinished)
        return self._log.size

    def client_let_in(self) -> None:
        """A client's gate is open, or the client is gone before that."""
        if self._log:
            self._log.hold(False)

    def resize(self, rows: int, columns: int) -> None:
        """Change the terminal's size; nothing happens without one."""
        if self._terminal_fd >= 0:
            tty.set_size(self._terminal_fd, rows, columns)

    def feed(self, data: bytes) -> None:
        """Write to the process's standard input, or keep what it does not take yet."""
        if self._stdin_fd < 0 or not data:
            return
        self._listen_again()
        self._input.append(data)
        self._input_bytes += len(data)
        if len(self._input) == 1:
            self._write_input()
        if self._input_bytes > _STDIN_BYTES:
            self._pause_clients(True)

    def client_input_ended(self) -> None:
        """A client closed its sending half."""
        if self._close_stdin_once and self._terminal_fd < 0:
            self._input_ended = True
            if not self._input:
                self._close_stdin()

    def client_detached(self) -> None:
        """A client typed the detach keys."""
        self._on_detached()

    def client_advanced(self) -> None:
        """A client has read something: the process may go on."""
        if self._held_back and not any(client.holds_back for client in self._clients):
            self._hold_back(False)

    def forget(self, client: Client) -> None:
        """A client is gone."""
        self._clients.remove(client)
        self.client_advanced()

    @property
    def held_back(self) -> bool:
        """Whether the process waits for a slow client; `reconsider` should be called again soon."""
        return self._held_back

    def reconsider(self) -> None:
        """Let the process go on when the client that it waits for has stalled."""
        self.client_advanced()

    @property
    def clients_wait(self) -> bool:
        """Whether a client waits for its gate to open."""
        return any(client.waits for client in self._clients)

    @property
    def clients_served(self) -> bool:
        """Whether no client has anything left to get."""
        return not self._clients

    def drain(self) -> None:
        """The process has ended: read what it left, and close the log.

        What goes on writing, a further process that it started, is not waited for.
        """
        for fd in list(self._outputs):
            left = _TERMINAL_BYTES if fd == self._terminal_fd else fs.readable_bytes(fd)
            while left > 0 and (data := _read(fd, min(left, READ_BYTES))):
                left -= len(data)
                self._deliver(self._outputs[fd], data)
            self._close_output(fd)
        self._close_stdin()
        if self._log:
            self._log.close()

    def end(self) -> None:
        """Nothing more will come: let each client go when it has everything."""
        for client in list(self._clients):
            client.end()

    def _add_output(self, fd: int, stream: str) -> None:
        os.set_blocking(fd, False)
        self._outputs[fd] = stream
        self._watch_output(fd)

    def _watch_output(self, fd: int) -> None:
        events = 0 if self._held_back else select.EPOLLIN
        if fd == self._stdin_fd and self._input:
            events |= select.EPOLLOUT
        self._poller.set(fd, events, lambda happened: self._on_output(fd, happened))

    def _on_output(self, fd: int, events: int) -> None:
        if events & select.EPOLLOUT:
            self._write_input()
        if not events & ~select.EPOLLOUT or fd not in self._outputs:
            return
        data = _read(fd, READ_BYTES)
        if data:
            self._deliver(self._outputs[fd], data)
        elif data is not None:
            self._on_output_end(fd)

    def _on_output_end(self, fd: int) -> None:
        """All writers are gone. A terminal is kept: to close it would hang up on who opens it again later."""
        if fd == self._terminal_fd:
            self._poller.remove(fd)
            self._terminal_silent = True
        else:
            self._close_output(fd)

    def _listen_again(self) -> None:
        """Something happens at a terminal that nobody had open: look whether it is used again."""
        if self._terminal_silent and self._terminal_fd >= 0:
            self._terminal_silent = False
            self._watch_output(self._terminal_fd)

    def _deliver(self, stream: str, data: bytes) -> None:
        if self._log:
            self._log.write(stream, data)
        for client in list(self._clients):
            client.send(stream, data)
        if not self._held_back and any(client.holds_back for client in self._clients):
            self._hold_back(True)

    def _hold_back(self, held: bool) -> None:
        self._held_back = held
        for fd in self._outputs:
            self._watch_output(fd)

    def _close_output(self, fd: int) -> None:
        self._poller.remove(fd)
        del self._outputs[fd]
        if fd == self._terminal_fd:
            self._terminal_fd = -1
        if fd == self._stdin_fd:
            self._forget_input()
        os.close(fd)

    def _write_input(self) -> None:
        try:
            while self._input and self._stdin_fd >= 0:
                written = os.write(self._stdin_fd, self._input[0])
                self._input_bytes -= written
                if written == len(self._input[0]):
                    self._input.popleft()
                else:
                    self._input[0] = self._input[0][written:]
        except BlockingIOError:
            self._watch_input()
            return
        except OSError:  # EPIPE: the process reads no more
            self._close_stdin()
            return
        self._watch_input()
        self._pause_clients(False)
        if self._input_ended:
            self._close_stdin()

    def _watch_input(self) -> None:
        """Have `_write_input` called when the process takes input again, if some waits."""
        fd = self._stdin_fd
        if fd in self._outputs:
            self._watch_output(fd)
        elif fd >= 0 and self._input:
            self._poller.set(fd, select.EPOLLOUT, lambda _: self._write_input())
        elif fd >= 0:
            self._poller.remove(fd)

    def _close_stdin(self) -> None:
        fd = self._stdin_fd
        self._forget_input()
        if fd >= 0 and fd not in self._outputs:
            self._poller.remove(fd)
            os.close(fd)

    def _forget_input(self) -> None:
        """What clients send goes nowhere from now on."""
        self._stdin_fd = -1
        self._input.clear()
        self._input_bytes = 0
        self._pause_clients(False)

    def _pause_clients(self, paused: bool) -> None:
        for client in self._clients:
            client.pause_reading(paused)


def _read(fd: int, count: int) -> bytes | None:
    """What a pipe or terminal has; b"" when it has no writer any more, None when it has nothing yet."""
    try:
        return os.read(fd, count)
    except BlockingIOError:
        return None
    except OSError:  # EIO: every slave of the terminal is closed
        return b""
