"""One thread, many descriptors. epoll(7)."""

import select
from collections.abc import Callable

Callback = Callable[[int], None]


class Poller:
    """epoll with a function a descriptor."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callback] = {}

    def add(self, fd: int, events: int, callback: Callback) -> None:
        """Call `callback(events)` when one of `events` (or an error) happens on `fd`."""
        self._epoll.register(fd, events)
        self._callbacks[fd] = callback

    def change(self, fd: int, events: int) -> None:
        """Watch for other events."""
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Stop watching; to be called before `fd` is closed."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def run_once(self, timeout_seconds: float | None = None) -> None:
        """Wait for events and call their functions."""
        for fd, events in self._epoll.poll(timeout_seconds):
            if callback := self._callbacks.get(fd):
                callback(events)
