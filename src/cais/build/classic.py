"""A build's events as the texts of Docker's classic builder, one step after the other.

Steps run side by side; what a later one tells waits until those before it are done.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from cais.build.events import CacheExported, Event, Finished, Output, Planned, Pulling, Started, Warned
from cais.engine.image import Image, short_id
from cais.engine.progress import Progress


@dataclass(slots=True)
class _Step:
    """What a step has told, as far as it was not shown."""

    texts: list[str | Progress] = field(default_factory=list)
    announced: bool = False
    done: bool = False


class ClassicStream:
    """Takes events, and gives texts to `write` in the order of the Dockerfile. pulled: is given a pull's progress.

    removes: say that the containers of commands are removed, as Docker does where it removes them.
    """

    def __init__(self, write: Callable[[str], None], pulled: Callable[[Progress], None], *, removes: bool) -> None:
        self._write = write
        self._pulled = pulled
        self._removes = removes
        self._texts: tuple[str, ...] = ()
        self._steps: list[_Step] = []
        self._current = 0
        self._failed: int | None = None

    def tell(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, Planned):
            self._texts = event.texts
            self._steps = [_Step() for _ in event.texts]
            return
        if isinstance(event, Warned):
            self._write(_colored(event.text, event.source))
        elif not isinstance(event, CacheExported) and 1 <= event.step <= len(self._steps):
            self._tell_step(event)

    def _tell_step(self, event: Started | Output | Pulling | Finished) -> None:
        step = self._steps[event.step - 1]
        step.texts += self._texts_of(event)
        if isinstance(event, Finished):
            step.done = not event.error
            if event.error and self._failed is None:
                self._failed = event.step - 1
        if event.step - 1 == self._current:
            self._show(self._current)
            while step.done:
                self._current += 1
                if self._current == len(self._steps):
                    return
                step = self._steps[self._current]
                if step.texts or step.done:
                    self._show(self._current)

    def finish(self) -> None:
        """The build has failed: what was told of the step that is to blame is shown now, if it was not before."""
        if self._failed is not None and self._failed > self._current:
            self._show(self._failed)

    def _texts_of(self, event: Started | Output | Pulling | Finished) -> list[str | Progress]:
        match event:
            case Started():
                return [f" ---> Running in {short_id(event.container)}\n"] if event.container else []
            case Output():
                text = event.data.decode("utf-8", "replace")
                return [_colored(text, event.source)]
            case Pulling():
                return [event.progress]
        if not event.state:
            return []
        texts: list[str | Progress] = []
        if event.cached and not event.image:
            texts.append(" ---> Using cache\n")
        if event.container and self._removes:
            texts.append(f"Removing intermediate container {short_id(event.container)}\n")
        return [*texts, f" ---> {short_id(event.state)}\n"]

    def _show(self, number: int) -> None:
        step = self._steps[number]
        if not step.announced:
            step.announced = True
            self._write(f"Step {number + 1}/{len(self._steps)} : {self._texts[number]}")
            self._write("\n")
        for text in step.texts:
            if isinstance(text, Progress):
                self._pulled(text)
            else:
                self._write(text)
        step.texts.clear()


def _colored(text: str, source: str) -> str:
    return f"\x1b[91m{text}\x1b[0m" if source == "stderr" else text


def conclusion(image: Image, tags: list[str]) -> list[str]:
    """The last texts of a build that has succeeded."""
    return [f"Successfully built {short_id(image.id)}\n", *(f"Successfully tagged {tag}\n" for tag in tags)]
