"""Debian packages, with an apt-get and a dpkg-deb of the test's own in PATH."""

import asyncio
import os
from pathlib import Path

import pytest

from cais.distribution.packages import Packages
from cais.errors import Unavailable


class Machine:
    """A folder of programs; each writes its arguments to `calls`."""

    def __init__(self, folder: Path) -> None:
        self.programs = folder / "programs"
        self.programs.mkdir()
        self.calls = folder / "calls"
        self.calls.touch()

    def program(self, name: str, script: str) -> None:
        path = self.programs / name
        path.write_text(f'#!/bin/sh\necho {name} "$@" >> {self.calls}\n{script}\n', "utf-8")
        path.chmod(0o755)

    def called(self) -> list[str]:
        lines = self.calls.read_text("utf-8").splitlines()
        return [
            " ".join(word for word in line.split() if not word.startswith("-") and "=" not in word) for line in lines
        ]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setenv("PATH", f"{made.programs}{os.pathsep}/usr/bin:/bin")
    return made


def ignore(_: str) -> None:
    pass


async def test_a_program_that_is_there_needs_nothing(machine: Machine) -> None:
    await Packages().need("sh", "a-shell", ignore)
    await Packages().need("/etc/passwd", "a-file", ignore)
    assert machine.called() == []


async def test_a_program_that_is_missing_is_installed_once_for_all(machine: Machine) -> None:
    machine.program("apt-get", "sleep 0.2")
    told: list[str] = []
    packages = Packages()
    await asyncio.gather(*(packages.need("no-such-program", "its-package", told.append) for _ in range(5)))
    assert machine.called() == ["apt-get install its-package"]
    assert told == ["Installing package its-package"]


async def test_the_lists_are_brought_up_to_date_when_a_package_is_not_known(machine: Machine) -> None:
    machine.program("apt-get", f'[ "$(wc -l < {machine.calls})" -gt 1 ] || {{ echo E: Unable to locate; exit 100; }}')
    await Packages().need("no-such-program", "its-package", ignore)
    assert machine.called() == ["apt-get install its-package", "apt-get update", "apt-get install its-package"]


async def test_a_failure_says_what_apt_get_said(machine: Machine) -> None:
    machine.program("apt-get", "echo E: no network; exit 100")
    with pytest.raises(Unavailable, match="failed with status 100: E: no network"):
        await Packages().need("no-such-program", "its-package", ignore)


async def test_without_apt_get_the_error_says_so(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(machine.programs))
    with pytest.raises(Unavailable, match="apt-get is not on this machine"):
        await Packages().need("no-such-program", "its-package", ignore)


async def test_an_installation_goes_on_when_nobody_waits_any_more(machine: Machine, tmp_path: Path) -> None:
    done = tmp_path / "done"
    machine.program("apt-get", f"sleep 0.3; touch {done}")
    packages = Packages()
    task = asyncio.create_task(packages.need("no-such-program", "its-package", ignore))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not done.exists()
    await packages.close()
    assert done.exists()


async def test_a_download_is_unpacked_aside(machine: Machine, tmp_path: Path) -> None:
    machine.program("apt-get", "touch busybox-static_1_all.deb")
    machine.program("dpkg-deb", 'mkdir -p "$3/bin"; echo program > "$3/bin/busybox"')
    tree = await Packages().download("busybox-static", tmp_path)
    assert (tree / "bin" / "busybox").read_text("utf-8") == "program\n"
    assert machine.called()[0] == "apt-get download busybox-static"


async def test_a_download_that_brings_nothing_is_an_error(machine: Machine, tmp_path: Path) -> None:
    machine.program("apt-get", "")
    with pytest.raises(Unavailable, match="brought no package"):
        await Packages().download("busybox-static", tmp_path)
