"""One thread, many descriptors. epoll(7)."""

import select
from collections.abc import Callable

Callback = Callable[[int], None]


class Poller:
    """epoll with a function a descriptor."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, tuple[int, Callback]] = {}

    def add(self, fd: int, events: int, callback: Callback) -> None:
        """Call `callback(events)` when one of `events` (or an error, or a hang-up) happens on `fd`.

        A callback may be called once for what happened to another file that had the same number a moment ago: it
        must not rely on the event, nor wait for it.
        """
        self._epoll.register(fd, events)
        self._watched[fd] = events, callback

    def set(self, fd: int, events: int, callback: Callback) -> None:
        """Watch for these events from now on, whether `fd` was watched or not."""
        if (known := self._watched.get(fd)) is None:
            self.add(fd, events, callback)
            return
        if known[0] != events:
            self._epoll.modify(fd, events)
        self._watched[fd] = events, callback

    def remove(self, fd: int) -> None:
        """Stop watching, if it was; to be called before `fd` is closed."""
        if self._watched.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def run_once(self, timeout_seconds: float | None = None) -> None:
        """Wait for events and call their functions."""
        for fd, events in self._epoll.poll(timeout_seconds):
            if watched := self._watched.get(fd):
                watched[1](events)
