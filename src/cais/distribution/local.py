"""cais.local: a source of images that are made on this machine, for where no registry can be reached.

    cais.local/busybox          a static busybox with all its applets, from the package busybox-static
    cais.local/debian[:SUITE]   a small Debian system, by mmdebstrap
    cais.local/hello-world      a program that says that everything works

The packages of the distribution are fetched with apt-get where they are missing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cais.distribution.local_busybox import make_busybox
from cais.distribution.local_debian import SUITES, make_debian
from cais.distribution.local_hello import hello_program
from cais.distribution.local_root import MadeRoot, RootWriter
from cais.distribution.oci import ContainerConfig
from cais.distribution.packages import Packages
from cais.distribution.platforms import host_platform
from cais.distribution.programs import Tell
from cais.distribution.reference import DEFAULT_TAG, Reference
from cais.errors import NotFound

DOMAIN: Final = "cais.local"
OFFER: Final = f"{DOMAIN}/busybox, {DOMAIN}/debian[:SUITE] and {DOMAIN}/hello-world"

_HELLO_CREATED: Final = "2026-01-01T00:00:00Z"


async def _make_hello(_: str, work: Path, __: Tell, ___: Packages) -> MadeRoot:
    archive = work / "root.tar"

    def write() -> None:
        with RootWriter(archive, mtime=0) as root:
            root.file("hello", hello_program(host_platform().architecture), 0o755)

    await asyncio.to_thread(write)
    return MadeRoot(archive, ContainerConfig(cmd=["/hello"]), _HELLO_CREATED, "the program that says hello")


@dataclass(frozen=True, slots=True)
class _Recipe:
    make: Callable[[str, Path, Tell, Packages], Awaitable[MadeRoot]]
    tags: Callable[[], frozenset[str]]


_RECIPES: Final = {
    "busybox": _Recipe(make_busybox, lambda: frozenset({DEFAULT_TAG})),
    "debian": _Recipe(make_debian, lambda: SUITES | {DEFAULT_TAG}),
    "hello-world": _Recipe(_make_hello, lambda: frozenset({DEFAULT_TAG})),
}


class LocalSource:
    """Makes the images of cais.local."""

    def __init__(self) -> None:
        self._packages = Packages()

    async def close(self) -> None:
        """Wait for what must not be left half-done."""
        await self._packages.close()

    def check(self, reference: Reference) -> None:
        """Raises: NotFound, in Docker's words, when that image is not offered."""
        _recipe(reference)

    async def make(self, reference: Reference, work: Path, tell: Tell) -> MadeRoot:
        """Make the root file system of an image, as an archive in the folder `work`.

        Raises: NotFound; Unavailable when a package or program that it needs cannot be had, or fails.
        """
        return await _recipe(reference).make(reference.tag, work, tell, self._packages)


def _recipe(reference: Reference) -> _Recipe:
    recipe = _RECIPES.get(reference.path)
    if recipe is None:
        raise NotFound(
            f"pull access denied for {reference.familiar_name}, repository does not exist: {DOMAIN} offers {OFFER}"
        )
    tags = recipe.tags()
    if reference.digest or reference.tag not in tags:
        raise NotFound(
            f"manifest for {reference.familiar} not found: manifest unknown: {reference.familiar_name} is made here "
            f"with these tags: {', '.join(sorted(tags))}"
        )
    return recipe
