"""A process's standard streams: what it writes goes to the log and to every client, what clients send goes to it."""

import errno
import os
import select
from collections import deque
from collections.abc import Callable

from cais.linux import tty
from cais.runtime.clients import READ_BYTES, Client
from cais.runtime.log import JsonFileLog
from cais.runtime.messages import StreamOptions
from cais.runtime.poller import Poller

_STDIN_BYTES = 256 * 1024  # what is kept for a process that does not read, before clients are no longer read either


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

    def resize(self, rows: int, columns: int) -> None:
        """Change the terminal's size; nothing happens without one."""
        if self._terminal_fd >= 0:
            tty.set_size(self._terminal_fd, rows, columns)

    def feed(self, data: bytes) -> None:
        """Write to the process's standard input, or keep what it does not take yet."""
        if self._stdin_fd < 0 or not data:
            return
        self._input.append(data)
        self._input_bytes += len(data)
        if len(self._input) == 1:
            self._write_input()
        if self._input_bytes > _STDIN_BYTES:
            for client in self._clients:
                client.pause_reading(True)

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
    def clients_served(self) -> bool:
        """Whether no client has anything left to get."""
        return not self._clients

    def finish(self) -> None:
        """The process has ended: read what is left, close the log, and let the clients end."""
        for fd in list(self._outputs):
            self._drain(fd)
        self._close_stdin()
        if self._log:
            self._log.close()
        for client in list(self._clients):
            client.end()

    def _drain(self, fd: int) -> None:
        while fd in self._outputs:
            try:
                data = os.read(fd, READ_BYTES)
            except OSError:
                data = b""
            if not data:
                self._close_output(fd)
            else:
                self._deliver(self._outputs[fd], data)

    def _add_output(self, fd: int, stream: str) -> None:
        os.set_blocking(fd, False)
        self._outputs[fd] = stream
        events = select.EPOLLIN
        self._poller.add(fd, events, lambda happened: self._on_output(fd, happened))

    def _on_output(self, fd: int, events: int) -> None:
        if events & select.EPOLLOUT:
            self._write_input()
        if not events & ~select.EPOLLOUT:
            return
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:  # EIO: every slave of the terminal is closed
                raise
            data = b""
        if data:
            self._deliver(self._outputs[fd], data)
        else:
            self._close_output(fd)

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
            self._poller.change(fd, 0 if held else select.EPOLLIN)
        if self._terminal_fd >= 0 and self._input:
            self._watch_input(True)

    def _close_output(self, fd: int) -> None:
        self._poller.remove(fd)
        del self._outputs[fd]
        if fd == self._terminal_fd:
            self._terminal_fd = -1
        if fd == self._stdin_fd:
            self._stdin_fd = -1
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
            self._watch_input(True)
            return
        except OSError:  # EPIPE: the process reads no more
            self._close_stdin()
            return
        self._watch_input(False)
        for client in self._clients:
            client.pause_reading(False)
        if self._input_ended:
            self._close_stdin()

    def _watch_input(self, wanted: bool) -> None:
        """Have `_write_input` called when the process takes input again."""
        fd = self._stdin_fd
        if fd < 0:
            return
        if fd in self._outputs:
            events = (0 if self._held_back else select.EPOLLIN) | (select.EPOLLOUT if wanted else 0)
            self._poller.change(fd, events)
            return
        self._poller.remove(fd)
        if wanted:
            self._poller.add(fd, select.EPOLLOUT, lambda _: self._write_input())

    def _close_stdin(self) -> None:
        fd, self._stdin_fd = self._stdin_fd, -1
        self._input.clear()
        self._input_bytes = 0
        if fd >= 0 and fd not in self._outputs:
            self._poller.remove(fd)
            os.close(fd)
