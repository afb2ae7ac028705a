"""Opening and making files inside a root without leaving it, and what else descriptors are asked for."""

import errno
import faulthandler
import fcntl
import mmap
import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cais.linux import fs
from cais.linux.shared import SharedNumbers


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def root_fd(root: Path) -> Iterator[int]:
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def open_files() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def path_of(fd: int) -> Path:
    """The path that a descriptor is open on; it is closed."""
    path = Path(os.readlink(f"/proc/self/fd/{fd}"))
    os.close(fd)
    return path


def test_folders_are_made_and_those_that_exist_are_used(root: Path, root_fd: int) -> None:
    assert path_of(fs.make_directories(root_fd, "/a/b/c")) == root / "a/b/c"
    assert path_of(fs.make_directories(root_fd, "a/b/../b//./d")) == root / "a/b/d"
    assert path_of(fs.make_directories(root_fd, "/")) == root


def test_made_folders_have_the_mode_that_was_asked_for(root: Path, root_fd: int) -> None:
    before = os.umask(0)
    try:
        os.close(fs.make_directories(root_fd, "/a/b", 0o711))
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / "a/b").stat().st_mode) == 0o711


@pytest.mark.parametrize(
    ("link", "aim", "reached"),
    [
        ("run", "/var/run", "var/run/x"),
        ("run", "var/run", "var/run/x"),
        ("run", "../../..", "x"),
        ("run", "/", "x"),
        ("run", "./a/../b", "b/x"),
    ],
)
def test_links_are_followed_inside_the_root_also_to_what_is_missing(
    root: Path, root_fd: int, link: str, aim: str, reached: str
) -> None:
    (root / link).symlink_to(aim)
    assert path_of(fs.make_directories(root_fd, f"/{link}/x")) == root / reached
    assert path_of(fs.make_directories(root_fd, f"/{link}/x")) == root / reached


def test_a_link_out_of_the_root_stays_inside(tmp_path: Path, root: Path, root_fd: int) -> None:
    (root / "etc").symlink_to(tmp_path)
    reached = path_of(fs.make_directories(root_fd, "/etc/x"))
    assert reached == root / str(tmp_path).lstrip("/") / "x"
    assert not (tmp_path / "x").exists()


def test_links_in_links_are_followed_from_where_they_are(root: Path, root_fd: int) -> None:
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/up").symlink_to("../c")
    (root / "start").symlink_to("a/b/up/d")
    assert path_of(fs.make_directories(root_fd, "/start/e")) == root / "a/c/d/e"


def test_links_in_a_circle_are_an_error(root: Path, root_fd: int) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a/x")
    before = open_files()
    with pytest.raises(OSError, match="symbolic links") as caught:
        fs.make_directories(root_fd, "/a")
    assert caught.value.errno == errno.ELOOP
    assert open_files() == before


def test_a_file_in_the_way_is_named(root: Path, root_fd: int) -> None:
    (root / "a").mkdir()
    (root / "a/file").touch()
    (root / "link").symlink_to("missing/../a/file")
    for path in ("/a/file", "/a/file/x", "/link/x"):
        with pytest.raises(NotADirectoryError) as caught:
            fs.make_directories(root_fd, path)
        assert "file" in str(caught.value.filename) or "link" in str(caught.value.filename)


def test_a_file_is_made_with_its_folders(root: Path, root_fd: int) -> None:
    assert path_of(fs.make_file(root_fd, "/etc/x/hosts")) == root / "etc/x/hosts"
    assert (root / "etc/x/hosts").read_bytes() == b""
    (root / "etc/x/hosts").write_text("kept")
    assert path_of(fs.make_file(root_fd, "/etc/x/hosts")) == root / "etc/x/hosts"
    assert (root / "etc/x/hosts").read_text() == "kept"


@pytest.mark.parametrize("aim", ["/run/systemd/stub.conf", "../run/systemd/stub.conf", "../../run/systemd/stub.conf"])
def test_a_link_to_a_missing_file_makes_that_file(root: Path, root_fd: int, aim: str) -> None:
    """As images of whole systems have it for /etc/resolv.conf."""
    (root / "etc").mkdir()
    (root / "etc/resolv.conf").symlink_to(aim)
    assert path_of(fs.make_file(root_fd, "/etc/resolv.conf")) == root / "run/systemd/stub.conf"
    assert (root / "run/systemd/stub.conf").is_file()


def test_a_link_to_a_missing_file_outside_makes_nothing_there(tmp_path: Path, root: Path, root_fd: int) -> None:
    (root / "link").symlink_to(tmp_path / "outside")
    os.close(fs.make_file(root_fd, "/link"))
    assert not (tmp_path / "outside").exists()


NAMES = st.sampled_from(["a", "b", "c", "d", "..", ".", ""])
PATHS = st.lists(NAMES, min_size=1, max_size=5).map("/".join)


@given(links=st.dictionaries(st.sampled_from(["b", "c", "d", "a/b", "a/c"]), PATHS, max_size=4), path=PATHS)
def test_whatever_links_there_are_nothing_is_made_outside(links: dict[str, str], path: str) -> None:
    with tempfile.TemporaryDirectory() as outside:
        root = Path(outside, "x/root")
        (root / "a").mkdir(parents=True)
        for name, aim in links.items():
            place = root / name
            if place.parent.is_dir() and not place.parent.is_symlink() and not place.exists():
                place.symlink_to(aim or "/")
        root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
        before = open_files()
        for make in (fs.make_directories, fs.make_file):
            try:
                reached = path_of(make(root_fd, path))
                assert reached == root or root in reached.parents
            except OSError:
                pass
        assert open_files() == before
        os.close(root_fd)
        assert os.listdir(outside) == ["x"]
        assert os.listdir(root.parent) == ["root"]


def test_only_regular_files_are_read(root: Path, root_fd: int) -> None:
    (root / "file").write_bytes(b"x" * 100_000)
    assert fs.read_regular(root_fd, "/file", 100_000) == b"x" * 100_000
    with pytest.raises(OSError, match="File too large"):
        fs.read_regular(root_fd, "/file", 99_999)
    os.mkfifo(root / "pipe")
    (root / "folder").mkdir()
    for name in ("/pipe", "/folder"):
        with pytest.raises(OSError, match="not a regular file"):
            fs.read_regular(root_fd, name, 10)
    with pytest.raises(FileNotFoundError):
        fs.read_regular(root_fd, "/missing", 10)


def test_links_are_followed_where_the_kernel_asks_to_try_again(
    root: Path, root_fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "file").touch()
    (root / "up").symlink_to("/../../a/b")
    (root / "a" / "b" / "far").symlink_to("../../../../a/file")
    real = fs.openat2

    def busy(dir_fd: int, path: str, flags: int, *, mode: int = 0, resolve: int = 0) -> int:
        if resolve & fs.RESOLVE_IN_ROOT:
            raise BlockingIOError(errno.EAGAIN, "again")
        return real(dir_fd, path, flags, mode=mode, resolve=resolve)

    monkeypatch.setattr(fs, "openat2", busy)
    for path, found in (("up", "a/b"), ("/up/far", "a/file"), ("up/..", "a"), ("../..", "."), ("a/b/", "a/b")):
        fd = fs.open_in_root(root_fd, path, os.O_PATH)
        assert os.fstat(fd).st_ino == (root / found).stat().st_ino, path
        os.close(fd)
    fd = fs.open_in_root(root_fd, "up", os.O_PATH | os.O_NOFOLLOW)
    assert stat.S_ISLNK(os.fstat(fd).st_mode)
    os.close(fd)
    with pytest.raises(NotADirectoryError):
        fs.open_in_root(root_fd, "a/file/", os.O_PATH)
    with pytest.raises(FileNotFoundError):
        fs.open_in_root(root_fd, "up/none/none", os.O_PATH)


def test_a_descriptor_that_is_opened_does_not_survive_exec(root: Path, root_fd: int) -> None:
    fd = fs.open_in_root(root_fd, "/", os.O_PATH)
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_every_descriptor_from_one_on_is_closed_but_one() -> None:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for _ in range(20):
                os.dup(0)
            fs.close_from(3, 10)
            left = {int(name) for name in os.listdir("/proc/self/fd")}
            fs.close_from(5, 3)
            fs.close_from(3)
            status = 0 if left - {3} == {0, 1, 2, 10} else 2  # 3 was that of the list itself
            status = status or (0 if len(os.listdir("/proc/self/fd")) == 4 else 3)
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_what_a_pipe_holds_can_be_asked() -> None:
    reader, writer = os.pipe()
    assert fs.readable_bytes(reader) == 0
    os.write(writer, b"x" * 12_345)
    assert fs.readable_bytes(reader) == 12_345
    os.close(reader)
    os.close(writer)


def test_a_hole_gives_space_back_and_keeps_the_rest(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"x" * (1 << 20) + b"end")
    os.fsync(fd)
    before = os.fstat(fd).st_blocks
    fs.punch_hole(fd, 0, 1 << 20)
    assert os.fstat(fd).st_blocks < before
    assert os.pread(fd, 10, 1 << 20) == b"end"
    os.close(fd)


def test_a_sealed_copy_cannot_be_changed(tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(b"content" * 10_000)
    fd = fs.sealed_copy(str(tmp_path / "program"))
    assert os.pread(fd, 1 << 20, 0) == b"content" * 10_000
    for change in (
        lambda: os.pwrite(fd, b"x", 0),
        lambda: os.ftruncate(fd, 0),
        lambda: os.ftruncate(fd, 1 << 20),
        lambda: fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE),
    ):
        with pytest.raises(PermissionError):
            change()
    os.close(fd)


def test_sealing_waits_until_nobody_writes_any_more() -> None:
    fd = os.memfd_create("program", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, mmap.PAGESIZE)
    writing = mmap.mmap(fd, mmap.PAGESIZE)
    ending = threading.Timer(0.1, writing.close)
    ending.start()
    fs.fcntl_add_seals(fd)
    assert writing.closed
    assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE
    ending.join()
    os.close(fd)


def test_a_copy_that_cannot_be_made_leaves_no_descriptor(tmp_path: Path) -> None:
    before = open_files()
    with pytest.raises(FileNotFoundError):
        fs.sealed_copy(str(tmp_path / "missing"))
    assert open_files() == before


def test_numbers_are_shared_with_a_child_unless_kept_from_it() -> None:
    shared = SharedNumbers()
    pid = os.fork()
    if pid == 0:
        shared.put(1, -5)
        shared.keep_from_children()
        faulthandler.disable()
        grandchild = os.fork()
        if grandchild == 0:
            shared.get(1)  # it does not have the page: this ends it
            os._exit(0)
        shared.put(0, os.WTERMSIG(os.waitpid(grandchild, 0)[1]))
        os._exit(0)
    os.waitpid(pid, 0)
    assert (shared.get(0), shared.get(1), shared.get(2)) == (11, -5, 0)
    assert shared.address(1) - shared.address(0) == 4
    shared.close()
