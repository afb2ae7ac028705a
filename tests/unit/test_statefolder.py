import os
import stat
import time
from pathlib import Path

import pytest

from cais.engine.settings import Settings
from cais.engine.statefolder import StateFolder
from cais.errors import Conflict, Unavailable


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_root=tmp_path / "data", exec_root=tmp_path / "run")


def test_it_is_for_root_alone(settings: Settings) -> None:
    with StateFolder(settings):
        for folder in (settings.data_root, settings.exec_root, settings.bundles):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_one_engine_at_a_time(settings: Settings) -> None:
    with StateFolder(settings):
        with pytest.raises(Conflict, match=rf"in use by another engine \(pid {os.getpid()}\)"):
            StateFolder(settings).open()
    with StateFolder(settings):
        pass


def test_the_lock_does_not_outlive_a_crash(settings: Settings) -> None:
    folder = StateFolder(settings)
    folder.open()
    if os.fork() == 0:
        os._exit(0)
    os.wait()
    folder.close()
    with StateFolder(settings):
        pass


@pytest.mark.parametrize("disowns", [False, True])
def test_a_forked_process_does_not_keep_the_lock(settings: Settings, disowns: bool) -> None:
    """Neither when the owner closes the folder nor, once it has disowned it, when the owner crashes."""
    folder = StateFolder(settings)
    folder.open()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        if disowns:
            folder.disown()
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    try:
        if disowns:
            with pytest.raises(Conflict):
                StateFolder(settings).open()
            _wait_until_let_go(child, settings.data_root / "lock")
            folder.disown()  # what a crash does
        else:
            folder.close()
        with StateFolder(settings):
            pass
    finally:
        os.close(writing)
        os.close(reading)
        os.waitpid(child, 0)


def _wait_until_let_go(pid: int, path: Path) -> None:
    """Wait until a process has no descriptor of a file."""
    deadline = time.monotonic() + 10
    while any(os.path.samefile(link, path) for link in Path(f"/proc/{pid}/fd").iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_identity_stays(settings: Settings) -> None:
    with StateFolder(settings) as folder:
        identity = folder.engine_id()
        assert len(identity) == 36
    with StateFolder(settings) as folder:
        assert folder.engine_id() == identity


def test_the_init_layer_has_every_mount_point(settings: Settings) -> None:
    with StateFolder(settings):
        layer = settings.init_layer
        for name in ("dev/pts", "dev/shm", "proc", "sys", "etc"):
            assert (layer / name).is_dir()
        for name in ("dev/console", "etc/hosts", "etc/hostname", "etc/resolv.conf", ".dockerenv"):
            assert (layer / name).read_bytes() == b""
        assert (layer / "etc/mtab").readlink() == Path("/proc/mounts")
        assert stat.S_IMODE((layer / "etc").stat().st_mode) == 0o755


def test_a_folder_that_cannot_be_made_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = Settings(data_root=tmp_path / "file" / "data", exec_root=tmp_path / "run")
    with pytest.raises(Unavailable, match="file/data"):
        StateFolder(settings).open()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_each_exec_root_has_control_groups_of_its_own(tmp_path: Path) -> None:
    assert Settings().cgroup_parent == "/cais"
    groups = {Settings(exec_root=tmp_path / name).cgroup_parent for name in "ab"}
    assert len(groups) == 2
    assert all(group.startswith("/cais-") for group in groups)
