"""Unpacking layers: what comes out of honest archives, and that hostile ones reach nothing."""

import io
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cais.errors import InvalidArgument
from cais.storage.tarstream import TarReader
from cais.storage.trees import remove_tree
from cais.storage.unpack import unpack
from tests.harness.archives import Archive

SECRET = b"a secret of the host"


class Layers:
    """Layers in a folder of the test's own, beside a file of the host that nothing may reach."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.lower: list[str] = []
        self.size_bytes = 0
        self.host = folder / "host"
        self.host.mkdir()
        (self.host / "secret").write_bytes(SECRET)

    def unpack(self, archive: Archive) -> Path:
        """A new topmost layer."""
        number = len(list(self._folder.iterdir()))
        diff = self._folder / str(number) / "diff"
        diff.mkdir(parents=True)
        (self._folder / str(number) / "scratch").mkdir()
        reader = TarReader(io.BytesIO(archive.data))
        self.size_bytes = unpack(reader, str(diff), self.lower, str(diff.parent / "scratch"))
        self.lower.insert(0, str(diff))
        assert list((diff.parent / "scratch").iterdir()) == []
        return diff

    def assert_host_is_untouched(self) -> None:
        assert sorted(path.name for path in self.host.iterdir()) == ["secret"]
        found = (self.host / "secret").stat()
        assert (self.host / "secret").read_bytes() == SECRET
        assert (found.st_nlink, stat.S_IMODE(found.st_mode), found.st_uid) == (1, 0o644, 0)


@pytest.fixture
def layers(tmp_path: Path) -> Iterator[Layers]:
    yield Layers(tmp_path)
    remove_tree(tmp_path)  # pytest's own cannot remove deep trees


def is_whiteout(path: Path) -> bool:
    found = path.lstat()
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def is_opaque(path: Path) -> bool:
    return "trusted.overlay.opaque" in os.listxattr(path)


# -- honest archives


def test_files_come_out_with_all_they_had(layers: Layers) -> None:
    root = layers.unpack(
        Archive()
        .add("./", kind="folder", mode=0o750, owner=(5, 6), mtime=7)
        .add("./tmp", kind="folder", mode=0o1777, mtime=1234.5)
        .add("tmp/program", b"program", mode=0o6755, owner=(1000, 4_000_000_000), mtime=1234.000000009)
        .add("empty", mode=0, mtime=1)
        .add("noted", b"x", pax={"SCHILY.xattr.user.note": "value"})
        .add("fifo", kind="fifo", mode=0o622, owner=(1, 2))
        .add("null", kind="character", mode=0o666, device=(1, 3))
        .add("disk", kind="block", mode=0o660, device=(8, 0))
        .symlink("link", "../../target")
        .hardlink("same", "tmp/program")
    )
    assert (root.stat().st_mode & 0o7777, root.stat().st_uid, root.stat().st_mtime) == (0o750, 5, 7)
    program = (root / "tmp" / "program").stat()
    assert (program.st_mode & 0o7777, program.st_uid, program.st_gid) == (0o6755, 1000, 4_000_000_000)
    assert (program.st_nlink, program.st_ino) == (2, (root / "same").stat().st_ino)
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert (root / "tmp").stat().st_mtime == 1234.5
    assert (root / "empty").stat().st_mode & 0o7777 == 0
    assert os.getxattr(root / "noted", "user.note") == b"value"
    assert stat.S_ISFIFO((root / "fifo").stat().st_mode)
    assert (root / "fifo").stat().st_mode & 0o7777 == 0o622
    assert (root / "null").stat().st_rdev == os.makedev(1, 3)
    assert stat.S_ISBLK((root / "disk").stat().st_mode)
    assert os.readlink(root / "link") == "../../target"
    assert layers.size_bytes == len("program") + 1 + len("../../target")


def test_file_capabilities_are_kept(layers: Layers) -> None:
    # struct vfs_cap_data, <linux/capability.h>: revision 2 with the effective bit, CAP_NET_RAW permitted
    capability = (0x02000001).to_bytes(4, "little") + (1 << 13).to_bytes(4, "little") + bytes(12)
    header = b"SCHILY.xattr.security.capability=" + capability + b"\n"
    record = b"%d %s" % (len(header) + 3, header)
    pax = io.BytesIO(Archive().add("./PaxHeaders/ping", record).data)
    archive = bytearray(pax.read())
    archive[156:157] = b"x"
    archive[148:156] = b" " * 8
    archive[148:156] = b"%06o\0 " % sum(archive[:512])
    whole = bytes(archive[:1024]) + Archive().add("ping", b"x", mode=0o755, owner=(1, 1)).data
    diff = layers.host.parent / "caps"
    diff.mkdir()
    unpack(TarReader(io.BytesIO(whole)), str(diff), [], str(layers.host.parent))
    assert os.getxattr(diff / "ping", "security.capability") == capability


def test_names_are_read_as_docker_reads_them(layers: Layers) -> None:
    root = layers.unpack(
        Archive()
        .add("/absolute", b"1")
        .add("./a/../b", b"2")
        .add("deep/er//file/.", b"3")
        .add("//x", b"4")
        .folder("d/")
    )
    assert sorted(os.listdir(root)) == ["absolute", "b", "d", "deep", "x"]
    assert (root / "deep" / "er" / "file").read_bytes() == b"3"


def test_a_later_entry_takes_the_place_of_an_earlier_one(layers: Layers) -> None:
    root = layers.unpack(
        Archive()
        .add("file", b"first").add("file", b"second!")
        .symlink("link", "file").add("link", b"no link")
        .folder("folder").add("folder/inside", b"x").add("folder", b"now a file")
        .add("was-file", b"x").folder("was-file").add("was-file/inside", b"y")
        .folder("kept").add("kept/inside", b"z").folder("kept", mode=0o700)
        .folder("a").folder("a/b").add("a/b/c", b"x").symlink("a", "kept").add("a/through", b"w")
        .add("h", b"1").hardlink("h", "h")
    )  # fmt: skip
    assert (root / "file").read_bytes() == b"second!"
    assert (root / "link").read_bytes() == b"no link"
    assert (root / "folder").read_bytes() == b"now a file"
    assert (root / "was-file" / "inside").read_bytes() == b"y"
    assert (root / "kept" / "inside").read_bytes() == b"z"
    assert (root / "kept").stat().st_mode & 0o7777 == 0o700
    assert (root / "kept" / "through").read_bytes() == b"w"
    assert (root / "h").read_bytes() == b"1"


def test_the_times_of_folders_are_those_of_the_archive(layers: Layers) -> None:
    archive = Archive()
    for number in range(60):  # more than are held open
        archive.add(f"d{number}", kind="folder", mtime=number)
    for number in range(60):
        archive.add(f"d{number}/file", b"x")
    root = layers.unpack(archive)
    assert [(root / f"d{number}").stat().st_mtime for number in range(60)] == list(range(60))


def test_a_folder_that_is_only_implied_is_as_in_the_layer_below(layers: Layers) -> None:
    layers.unpack(
        Archive()
        .add("srv", kind="folder", mode=0o2750, owner=(7, 8), mtime=9, pax={"SCHILY.xattr.user.note": "x"})
        .add("srv/www", kind="folder", mode=0o711, owner=(3, 4), mtime=5)
    )
    layers.unpack(Archive().add("other", b"x"))
    root = layers.unpack(Archive().add("srv/www/page", b"x").add("new/file", b"x"))
    srv, www, new = ((root / name).stat() for name in ("srv", "srv/www", "new"))
    assert (srv.st_mode & 0o7777, srv.st_uid, srv.st_gid, srv.st_mtime) == (0o2750, 7, 8, 9)
    assert (www.st_mode & 0o7777, www.st_uid, www.st_gid, www.st_mtime) == (0o711, 3, 4, 5)
    assert (new.st_mode & 0o7777, new.st_uid, new.st_gid) == (0o755, 0, 0)
    assert os.getxattr(root / "srv", "user.note") == b"x"


def test_a_folder_of_a_lower_layer_that_a_file_hides_is_not_copied(layers: Layers) -> None:
    layers.unpack(Archive().add("a", kind="folder", mode=0o700, owner=(7, 7)))
    layers.unpack(Archive().add("a", b"a file now"))
    root = layers.unpack(Archive().add("a/b", b"x"))
    assert (root / "a").stat().st_uid == 0
    assert (root / "a").stat().st_mode & 0o7777 == 0o755


# -- whiteouts


def test_whiteouts_become_what_overlayfs_has_for_them(layers: Layers) -> None:
    layers.unpack(Archive().add("etc/gone", b"x").add("etc/kept", b"x").add("var/a", b"x"))
    root = layers.unpack(Archive().add("etc/.wh.gone").add("var/.wh..wh..opq").add("var/b", b"y").add(".wh.top"))
    assert is_whiteout(root / "etc" / "gone")
    assert is_whiteout(root / "top")
    assert is_opaque(root / "var")
    assert sorted(os.listdir(root / "var")) == ["b"]


def test_without_a_layer_below_there_is_nothing_to_hide(layers: Layers) -> None:
    root = layers.unpack(Archive().add(".wh.dev").add("etc/.wh..wh..opq").add("etc/x", b"x"))
    assert os.listdir(root) == ["etc"]
    assert not is_opaque(root / "etc")


def test_a_whiteout_hides_what_is_below_and_not_what_its_own_layer_brings(layers: Layers) -> None:
    layers.unpack(Archive().add("a/old", b"x").add("b/old", b"x").add("c", b"x").add("d/old", b"x"))
    root = layers.unpack(
        Archive()
        .add(".wh.a").folder("a").add("a/new", b"y")
        .folder("b").add("b/new", b"y").add(".wh.b")
        .add("c", b"new").add(".wh.c")
        .add(".wh.d").add("d/new", b"y")
    )  # fmt: skip
    for name in ("a", "b", "d"):
        assert os.listdir(root / name) == ["new"]
        assert is_opaque(root / name)
    assert (root / "c").read_bytes() == b"new"


@pytest.mark.parametrize("name", [".wh.", "a/.wh..", "a/.wh...", ".wh.x/y", "a/.wh.b/c/d"])
def test_a_whiteout_of_nothing_is_refused(layers: Layers, name: str) -> None:
    layers.unpack(Archive().folder("a"))
    with pytest.raises(InvalidArgument, match="invalid whiteout"):
        layers.unpack(Archive().add(name))


def test_records_of_aufs_are_passed_over(layers: Layers) -> None:
    layers.unpack(Archive().folder("a"))
    root = layers.unpack(Archive().folder(".wh..wh.plnk").add(".wh..wh.plnk/1.2", b"x").add(".wh..wh.aufs"))
    assert os.listdir(root) == []


def test_overlayfs_marks_of_the_archive_itself_do_not_count(layers: Layers) -> None:
    layers.unpack(Archive().add("a/old", b"x"))
    pax = {
        "SCHILY.xattr.trusted.overlay.opaque": "y",
        "SCHILY.xattr.trusted.overlay.redirect": "/etc",
        "SCHILY.xattr.user.overlay.opaque": "y",
        "SCHILY.xattr.security.selinux": "x",
        "SCHILY.xattr.user.kept": "y",
    }
    root = layers.unpack(Archive().add("a", kind="folder", pax=pax).add("f", b"x", pax=pax))
    assert [name for name in os.listxattr(root / "a") if name != "security.selinux"] == ["user.kept"]
    assert [name for name in os.listxattr(root / "f") if name != "security.selinux"] == ["user.kept"]
    with pytest.raises(InvalidArgument, match="device 0:0"):
        layers.unpack(Archive().add("etc", kind="character", device=(0, 0)))


# -- hostile archives


def climbing(layers: Layers) -> Archive:
    return Archive().add("../../../host/secret", b"overwritten")


def climbing_from_within(layers: Layers) -> Archive:
    return Archive().folder("a").add("a/../../../host/secret", b"overwritten")


def absolute(layers: Layers) -> Archive:
    return Archive().add(f"{layers.host}/secret", b"overwritten").add(f"{layers.host}/new", b"x")


def through_an_absolute_link(layers: Layers) -> Archive:
    return Archive().symlink("out", str(layers.host)).add("out/secret", b"overwritten").add("out/new", b"x")


def through_a_climbing_link(layers: Layers) -> Archive:
    return Archive().symlink("out", "../../host").add("out/secret", b"overwritten")


def through_a_chain_of_links(layers: Layers) -> Archive:
    archive = Archive().folder("d").symlink("d/l0", str(layers.host))
    for number in range(1, 9):
        archive.symlink(f"d/l{number}", f"l{number - 1}")
    return archive.add("d/l8/secret", b"overwritten")


def through_a_link_that_was_a_folder(layers: Layers) -> Archive:
    return (
        Archive().folder("a").folder("a/b").add("a/b/x", b"1").symlink("a/b", str(layers.host))
        .add("a/b/secret", b"overwritten")
    )  # fmt: skip


def over_a_link(layers: Layers) -> Archive:
    return Archive().symlink("x", f"{layers.host}/secret").add("x", b"overwritten")


def folder_over_a_link(layers: Layers) -> Archive:
    return Archive().symlink("x", str(layers.host)).add("x", kind="folder", mode=0, owner=(9, 9)).add("x/new", b"1")


def hard_link_to_the_host(layers: Layers) -> Archive:
    return Archive().hardlink("x", f"{layers.host}/secret").add("x", b"overwritten")


def hard_link_climbing(layers: Layers) -> Archive:
    return Archive().hardlink("x", "../../host/secret")


def hard_link_through_a_link(layers: Layers) -> Archive:
    return Archive().symlink("out", str(layers.host)).hardlink("x", "out/secret").add("x", b"overwritten", mode=0o777)


def hard_link_to_a_link(layers: Layers) -> Archive:
    return (
        Archive().symlink("l", f"{layers.host}/secret").hardlink("x", "l")
        .add("x", b"overwritten", mode=0o777, owner=(5, 5))
    )  # fmt: skip


def hard_link_below_a_link(layers: Layers) -> Archive:
    return Archive().add("f", b"x").symlink("out", str(layers.host)).hardlink("out/new", "f")


def whiteout_through_a_link(layers: Layers) -> Archive:
    return Archive().symlink("out", str(layers.host)).add("out/.wh.secret")


def opaque_through_a_link(layers: Layers) -> Archive:
    return Archive().symlink("out", "../../host").add("out/.wh..wh..opq")


def whiteout_climbing(layers: Layers) -> Archive:
    return Archive().add("a/.wh.../../host/secret").add("../../host/.wh.secret")


def links_and_nodes_through_a_link(layers: Layers) -> Archive:
    return (
        Archive().symlink("out", str(layers.host)).symlink("out/l", "x").add("out/f", kind="fifo")
        .add("out/n", kind="character", device=(1, 3)).folder("out/d")
    )  # fmt: skip


def through_proc(layers: Layers) -> Archive:
    return Archive().symlink("p", "/proc/self/cwd").symlink("r", "/proc/1/root").add("p/x", b"1").add("r/x", b"1")


HOSTILE: list[Callable[[Layers], Archive]] = [
    climbing, climbing_from_within, absolute, through_an_absolute_link, through_a_climbing_link,
    through_a_chain_of_links, through_a_link_that_was_a_folder, over_a_link, folder_over_a_link,
    hard_link_to_the_host, hard_link_climbing, hard_link_through_a_link, hard_link_to_a_link, hard_link_below_a_link,
    whiteout_through_a_link, opaque_through_a_link, whiteout_climbing, links_and_nodes_through_a_link, through_proc,
]  # fmt: skip


@pytest.mark.parametrize("attack", HOSTILE)
@pytest.mark.parametrize("with_target", [False, True], ids=["alone", "with the target's path inside"])
def test_a_hostile_archive_is_refused_or_contained(
    layers: Layers, attack: Callable[[Layers], Archive], with_target: bool
) -> None:
    layers.unpack(Archive().folder("base"))
    before = set(os.listdir(layers.host.parent))
    archive = attack(layers)
    if with_target:  # then links lead somewhere, inside
        path = str(layers.host).lstrip("/")
        inner = Archive().folder(path).add(f"{path}/secret", b"inside").folder("host").add("host/secret", b"inside")
        archive = _joined(inner, archive)
    try:
        root = layers.unpack(archive)
    except InvalidArgument:
        root = None
    layers.assert_host_is_untouched()
    if root is not None:
        assert len(set(os.listdir(layers.host.parent)) - before) == 1
        for folder, _, files in os.walk(root):
            for name in files:
                found = os.lstat(os.path.join(folder, name))
                assert found.st_ino != (layers.host / "secret").stat().st_ino


def _joined(first: Archive, second: Archive) -> Archive:
    """The entries of both. The first one must end with content, so that its end is found."""
    end = (len(first.data.rstrip(b"\0")) + 511) // 512 * 512
    return _Bytes(first.data[:end] + second.data)


class _Bytes(Archive):
    """An archive of given bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = data

    @property
    def data(self) -> bytes:
        return self._data


@pytest.mark.parametrize(
    "archive",
    [
        Archive().add("a", b"x").add("a/b", b"x"),
        Archive().symlink("l", "nowhere").add("l/x", b"x"),
        Archive().symlink("l", "l").add("l/x", b"x"),
        Archive().hardlink("x", "missing"),
        Archive().folder("d").hardlink("x", "d"),
        Archive().hardlink("x", "/"),
        Archive().symlink("l", ""),
        Archive().add("/", b"a file as the root"),
        Archive().add("n" * 300, b"x"),
        Archive().add("x", kind="block", device=(5000, 0)),
        Archive().add(".."),
    ],
    ids=range(11),
)
def test_what_makes_no_sense_is_a_clean_error(layers: Layers, archive: Archive) -> None:
    with pytest.raises(InvalidArgument):
        layers.unpack(archive)
    layers.assert_host_is_untouched()


def test_links_within_the_layer_are_followed_as_the_container_would(layers: Layers) -> None:
    root = layers.unpack(
        Archive().folder("usr").folder("usr/lib").symlink("lib", "usr/lib").symlink("usr/lib64", "/lib")
        .add("lib/one", b"1").add("usr/lib64/deep/two", b"2").hardlink("lib/three", "usr/lib64/one")
    )  # fmt: skip
    assert (root / "lib").is_symlink()
    assert (root / "usr" / "lib" / "one").read_bytes() == b"1"
    assert (root / "usr" / "lib" / "deep" / "two").read_bytes() == b"2"
    assert (root / "usr" / "lib" / "one").stat().st_nlink == 2


def test_a_folder_below_many_folders_is_made(layers: Layers) -> None:
    root = layers.unpack(Archive().add("d/" * 1500 + "f", b"x"))
    fd = os.open(root, os.O_RDONLY)
    for _ in range(1500):
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    assert os.listdir(fd) == ["f"]
    os.close(fd)


def test_a_claim_of_eight_exabytes_allocates_nothing(layers: Layers) -> None:
    header = bytearray(Archive().add("huge", b"x").data[:512])
    header[124:136] = b"\x80\0\0\0" + ((1 << 63) - 1).to_bytes(8, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    free = os.statvfs(layers.host).f_bavail
    with pytest.raises(InvalidArgument, match="unexpected EOF"):
        layers.unpack(_Bytes(bytes(header) + bytes(1024)))
    assert free - os.statvfs(layers.host).f_bavail < 10_000


def test_many_entries_are_unpacked_at_a_good_speed(layers: Layers) -> None:
    archive = Archive()
    for number in range(100):
        archive.folder(f"d{number}")
        for inner in range(30):
            archive.add(f"d{number}/f{inner}", b"content")
    began = time.process_time()
    layers.unpack(archive)
    assert time.process_time() - began < 5
