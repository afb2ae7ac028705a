"""A full state folder: what is there can be looked at, stopped and removed, and all is well with room again."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.harness.archives import Archive
from tests.harness.build import build
from tests.harness.engine import Daemon, wait_until


class SmallDisk(Daemon):
    """A daemon whose state folder is a file system of 16 MB."""

    def fill(self) -> None:
        """Leave not one byte."""
        for number in range(3):  # what is freed meanwhile is filled, too
            with open(self.data_root / f"fill{number}", "wb", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(4096))
                except OSError:
                    continue

    def make_room(self) -> None:
        """Take it back."""
        for path in self.data_root.glob("fill*"):
            path.unlink()


@pytest.fixture
def small(clean_host: None) -> Iterator[SmallDisk]:
    daemon = SmallDisk()
    daemon.data_root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(daemon.data_root)], check=True)
    try:
        daemon.start()
        daemon.import_busybox()
        yield daemon
        daemon.make_room()
    finally:
        try:
            daemon.remove_containers()
            daemon.stop()
        finally:
            subprocess.run(["umount", str(daemon.data_root)], check=True)
            daemon.destroy_folders()


def test_a_full_disk_is_survived(small: SmallDisk) -> None:
    for name in ("one", "two"):
        small.docker_output("run", "-d", "--name", name, "busybox", "sleep", "1000")
    small.docker_output("create", "--name", "new", "busybox", "true")
    small.fill()

    assert small.docker_output("ps", "--format", "{{.Names}}").split() == ["two", "one"]
    assert small.docker_output("exec", "one", "echo", "works") == "works"
    small.docker_output("stop", "-t", "0", "one")
    assert small.inspect("one")["State"]["ExitCode"].number == 137
    small.fill()
    small.docker_output("rm", "one")
    small.fill()
    for arguments in (["create", "--name", "more", "busybox"], ["start", "new"]):
        done = small.docker(*arguments)
        assert done.returncode == 1
        assert "full" in done.stderr or "No space left" in done.stderr
    small.docker_output("rm", "new")
    assert small.docker_output("ps", "-a", "--format", "{{.Names}}") == "two"

    small.fill()
    small.kill()
    small.start()
    assert small.docker_output("ps", "-a", "--format", "{{.Names}}") == "two"

    small.make_room()
    assert small.docker_output("run", "--rm", "--name", "one", "busybox", "echo", "recovered") == "recovered"
    assert small.docker_output("exec", "two", "echo", "works") == "works"
    wait_until(lambda: "Traceback" not in small.log_text())


def test_an_image_comes_where_another_is_still_being_deleted(small: SmallDisk) -> None:
    archive = Archive()
    for number in range(1500):
        archive.add(f"f{number}", os.urandom(3000))
    for number in range(4):  # there is room for one
        done = subprocess.run(
            small.command_line("import", "-", f"big:{number}"),
            input=archive.data, env=small.environment(), check=False, capture_output=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        small.docker_output("rmi", f"big:{number}")


def test_a_build_that_fills_the_disk_leaves_room_and_a_cache(small: SmallDisk) -> None:
    fine = "FROM busybox\nRUN echo kept > /kept\n"
    for line in ("RUN dd if=/dev/zero of=/big bs=1M count=30", "COPY --from=0 /kept /kept\nRUN yes > /big"):
        failed = build(small, f"FROM busybox\nRUN echo kept > /kept\nFROM busybox\n{line}")
        assert failed.error, failed.text
    big = build(small, "FROM busybox\nCOPY . /c", {"big": os.urandom(20 << 20)})
    assert "No space left" in big.error, big.error
    wait_until(lambda: not list((small.data_root / "tmp" / "images").iterdir()), 5)
    made = build(small, fine)
    assert not made.error, made.error
    assert small.docker_output("run", "--rm", "--network", "none", made.image, "cat", "/kept") == "kept"
    small.fill()
    assert build(small, fine + "RUN echo more > /more").error
    small.make_room()
    assert not build(small, fine + "RUN echo more > /more").error
