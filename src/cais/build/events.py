"""What a build tells while it goes on: plain values, in the order in which things happen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from cais.engine.progress import Progress


@dataclass(frozen=True, slots=True)
class Planned:
    """The steps that the build has, counted from 1: the instruction of each, and its stage, "" before the first one."""

    texts: tuple[str, ...]
    stages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Started:
    """A step has begun. container: the id of the container that runs its command, where it has one."""

    step: int
    container: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """What the command of a step has written. source: `stdout`, `stderr`, or `note` for what the build itself says."""

    step: int
    source: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Pulling:
    """What fetching the base image of a step tells."""

    step: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class Finished:
    """A step is done. state: a digest that tells its result from others; image: the image, where a stage ends with it.

    cached: nothing had to be done. error: why it failed, or "".
    """

    step: int
    state: str = ""
    cached: bool = False
    container: str = ""
    image: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class CacheExported:
    """The ids of the images that have this build's cache."""

    images: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that belongs to no step. source: `stdout` or `stderr`."""

    text: str
    source: str = "stdout"


Event: TypeAlias = Planned | Started | Output | Pulling | Finished | CacheExported | Warned
Tell: TypeAlias = Callable[[Event], None]
"""Takes an event, in the event loop's thread, at once."""


def silent(_: Event) -> None:
    """For those who don't want to know."""
