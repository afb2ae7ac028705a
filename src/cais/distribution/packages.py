"""Debian packages, by apt-get."""

import asyncio
import os
import shutil
from pathlib import Path
from typing import Final

from cais.distribution.programs import Tell, run
from cais.errors import Unavailable

_OPTIONS: Final = ("-q", "-o", "DPkg::Lock::Timeout=120")


class Packages:
    """Fetches and installs packages; one that several ask for at once is installed once."""

    def __init__(self) -> None:
        self._installing: dict[str, asyncio.Task[None]] = {}

    async def close(self) -> None:
        """Wait for the installations that go on."""
        await asyncio.gather(*self._installing.values(), return_exceptions=True)

    async def need(self, file: str, package: str, tell: Tell) -> None:
        """See to it that a program, or the file of an absolute path, is on this machine: or install its package.

        An installation that has begun goes on when the caller is cancelled: ended half-way, it would leave the
        machine's own package database in disorder.
        Raises: Unavailable.
        """
        if _is_here(file):
            return
        task = self._installing.get(package)
        if task is None:
            tell(f"Installing package {package}")
            install = ("apt-get", *_OPTIONS, "install", "-y", "--no-install-recommends", package)
            task = asyncio.create_task(_after_update(install, None), name=f"install {package}")
            self._installing[package] = task
            task.add_done_callback(self._installed)
        await asyncio.shield(task)

    def _installed(self, task: "asyncio.Task[None]") -> None:
        self._installing = {package: other for package, other in self._installing.items() if other is not task}
        if not task.cancelled():
            task.exception()  # told by whoever still waits

    async def download(self, package: str, work: Path) -> Path:
        """Fetch a package and unpack it in the folder `work`; nothing is installed. Returns the unpacked tree.

        Raises: Unavailable.
        """
        folder = work / "package"
        folder.mkdir()
        # the folder is closed to the user that apt-get otherwise downloads as
        await _after_update(("apt-get", *_OPTIONS, "-o", "APT::Sandbox::User=root", "download", package), folder)
        archives = sorted(folder.glob("*.deb"))
        if not archives:
            raise Unavailable(f"apt-get download {package}: it brought no package")
        tree = work / "unpacked"
        await run("dpkg-deb", "--extract", str(archives[0]), str(tree))
        return tree


def _is_here(file: str) -> bool:
    return os.path.exists(file) if file.startswith("/") else shutil.which(file) is not None


async def _after_update(arguments: tuple[str, ...], folder: Path | None) -> None:
    """Run apt-get; when it fails, once more after bringing the lists of packages up to date."""
    try:
        await run(*arguments, folder=folder)
    except Unavailable:
        if shutil.which("apt-get") is None:
            raise
        await run("apt-get", *_OPTIONS, "update")
        await run(*arguments, folder=folder)
