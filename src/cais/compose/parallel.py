"""Tasks that wait for one another, each in a thread of its own as soon as those before it are done."""

from __future__ import annotations

import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TypeVar

    Item = TypeVar("Item")


class Task:
    """What is to be done, and the names of the tasks that come before it; names that nobody has are no hindrance."""

    __slots__ = ("after", "run")

    def __init__(self, run: Callable[[], object], after: Iterable[str] = ()) -> None:
        self.run = run
        self.after = set(after)


def run_all(tasks: Mapping[str, Task], most: int = 0) -> None:
    """Run the tasks, at most `most` at a time where that is not 0.

    After a failure no further task begins; those that run are waited for, and the first failure is raised.
    """
    if not tasks:
        return
    if len(tasks) == 1:
        next(iter(tasks.values())).run()
        return
    _Run(dict(tasks), most).finish()


def each(items: Iterable[Item], act: Callable[[Item], object], most: int = 0) -> None:
    """Do something with each item, all at once."""
    run_all({str(index): Task(lambda item=item: act(item)) for index, item in enumerate(items)}, most)  # type: ignore[misc]


class _Run:
    def __init__(self, tasks: dict[str, Task], most: int) -> None:
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
            threading.Thread(target=self._run, args=(name, task), name=name, daemon=True).start()

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
