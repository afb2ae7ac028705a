"""Tasks that wait for one another, each in a thread of its own as soon as those before it are done.

A task that turns out to be settled has no thread; where all are, `threading` is not even imported.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TypeVar

    Item = TypeVar("Item")


class Task:
    """What is to be done, and the names of the tasks that come before it; names that nobody has are no hindrance.

    `settled` may be asked, when those before are done, whether nothing is left to do; then `run` is not called. It must
    not wait for anything.
    """

    __slots__ = ("after", "run", "settled")

    def __init__(
        self, run: Callable[[], object], after: Iterable[str] = (), settled: Callable[[], bool] | None = None
    ) -> None:
        self.run = run
        self.after = set(after)
        self.settled = settled


def run_all(tasks: Mapping[str, Task], most: int = 0) -> None:
    """Run the tasks, at most `most` at a time where that is not 0.

    After a failure no further task begins; those that run are waited for, and the first failure is raised.
    """
    left = _without_settled(tasks)
    if not left:
        return
    if len(left) == 1:
        next(iter(left.values())).run()
        return
    _Run(left, most).finish()


def _without_settled(tasks: Mapping[str, Task]) -> dict[str, Task]:
    left = dict(tasks)
    for name, task in tasks.items():
        if task.settled is not None and task.after.isdisjoint(left) and task.settled():
            del left[name]
    return left


def each(items: Iterable[Item], act: Callable[[Item], object], most: int = 0) -> None:
    """Do something with each item, all at once."""
    run_all({str(index): Task(lambda item=item: act(item)) for index, item in enumerate(items)}, most)  # type: ignore[misc]


class _Run:
    def __init__(self, tasks: dict[str, Task], most: int) -> None:
        import threading  # noqa: PLC0415 -- only where something is done at once

        self._thread = threading.Thread
        self._waiting = tasks
        self._undone = set(tasks)
        self._most = most or len(tasks)
        self._running = 0
        self._failure: BaseException | None = None
        self._changed = threading.Condition()

    def finish(self) -> None:
        with self._changed:
            while self._undone and (self._failure is None or self._running):
                if self._failure is None:
                    self._begin_what_can()
                if not self._running:
                    raise RuntimeError(f"tasks wait for one another: {', '.join(sorted(self._undone))}")
                self._changed.wait()
        if self._failure is not None:
            raise self._failure

    def _begin_what_can(self) -> None:
        for name in [name for name, task in self._waiting.items() if not task.after & self._undone]:
            if self._running >= self._most:
                return
            task = self._waiting.pop(name)
            self._running += 1
            self._thread(target=self._run, args=(name, task), name=name, daemon=True).start()

    def _run(self, name: str, task: Task) -> None:
        failure: BaseException | None = None
        try:
            task.run()
        except BaseException as error:  # noqa: BLE001 -- raised again by finish
            failure = error
        with self._changed:
            self._running -= 1
            if failure is None:
                self._undone.discard(name)
            elif self._failure is None:
                self._failure = failure
            self._changed.notify()
