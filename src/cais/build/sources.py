"""Where COPY and mounts take files from: the context, another stage, an image."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cais.build import rootfs

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Source:
    """Folders that are merged, topmost first; a context is one folder. `name` is "" for the context."""

    layers: tuple[str, ...]
    empty: Path
    name: str = ""
    contents: dict[int, bytes] | None = None  # digests of files that never change, by inode

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of the merged folder. Blocks. Raises: OSError."""
        with rootfs.merged(self.layers, self.empty) as root:
            yield root

    async def look(self, work: Callable[[int], T]) -> T:
        """What `work` makes of the merged folder, in a thread."""

        def run() -> T:
            with self.opened() as root:
                return work(root)

        return await asyncio.to_thread(run)


def folder_source(path: Path, empty: Path, contents: dict[int, bytes] | None = None) -> Source:
    """One folder of this machine. contents: what is known of its files, if they never change; it is added to."""
    return Source((str(path),), empty, contents=contents)


def layers_source(name: str, layers: Sequence[str], empty: Path) -> Source:
    """The layers of an image or of a stage, topmost first."""
    return Source(tuple(layers), empty, name)
