"""What happens while something is done with a project, told as it happens; who listens decides how it is shown."""

from __future__ import annotations

WORKING, DONE, WARNING, ERROR = range(4)


class Reporter:
    """Is told of each resource what becomes of it, from several threads at once. This one tells nobody."""

    def on(self, resource: str, status: str, state: int, detail: str = "") -> None:
        """`resource` as "Container web-1", `status` as "Creating"; `state` is one of the four above."""

    def heard(self, container: str, stream: int, data: bytes) -> None:
        """A piece of what a hook writes in the container of that name; no data is its end."""

    def warn(self, text: str, *, level: str = "warning") -> None:
        """Something is wrong but does not stand in the way."""


class Step:
    """A context in which something is done with a resource: told at its beginning, its end, and when it fails."""

    __slots__ = ("_begins", "_ends", "_reporter", "_resource")

    def __init__(self, reporter: Reporter, resource: str, begins: str, ends: str) -> None:
        self._reporter = reporter
        self._resource = resource
        self._begins = begins
        self._ends = ends

    def __enter__(self) -> None:
        self._reporter.on(self._resource, self._begins, WORKING)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            self._reporter.on(self._resource, self._ends, DONE)
        elif isinstance(error, Exception):
            self._reporter.on(self._resource, "Error", ERROR, str(error))
