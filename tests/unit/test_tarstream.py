"""Reading tar archives from a stream."""

import io
import random
import subprocess
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cais.errors import InvalidArgument
from cais.storage import tarstream
from cais.storage.tarstream import Entry, Kind, TarReader

KINDS = {
    Kind.FILE: tarfile.REGTYPE,
    Kind.FOLDER: tarfile.DIRTYPE,
    Kind.SYMLINK: tarfile.SYMTYPE,
    Kind.HARDLINK: tarfile.LNKTYPE,
    Kind.CHARACTER: tarfile.CHRTYPE,
    Kind.BLOCK: tarfile.BLKTYPE,
    Kind.FIFO: tarfile.FIFOTYPE,
}


class Source:
    """Gives pieces of random lengths."""

    def __init__(self, data: bytes, seed: int = 0) -> None:
        self._file = io.BytesIO(data)
        self._random = random.Random(seed)

    def read(self, size: int, /) -> bytes:
        return self._file.read(self._random.randint(1, min(size, 2000)))


def read(data: bytes, seed: int = 0) -> list[tuple[Entry, bytes]]:
    reader = TarReader(Source(data, seed))
    found = [(entry, b"".join(reader.chunks())) for entry in reader]
    reader.drain()
    return found


def info(name: str = "x", kind: Kind = Kind.FILE, **fields: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type = KINDS[kind]
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def archive(*entries: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as made:
        for entry in entries:
            made.addfile(entry, io.BytesIO(bytes(entry.size)))
    return buffer.getvalue()


def header(**fields: bytes) -> bytes:
    """One block of a header with a right checksum, fields replaced as they are."""
    values = {
        "name": b"x", "mode": b"644", "uid": b"0", "gid": b"0", "size": b"0", "mtime": b"0", "type": b"0",
        "link": b"", "magic": b"ustar\x0000", "uname": b"", "gname": b"", "major": b"0", "minor": b"0", "prefix": b"",
    } | fields  # fmt: skip
    widths = {
        "name": 100, "mode": 8, "uid": 8, "gid": 8, "size": 12, "mtime": 12, "type": 1, "link": 100, "magic": 8,
        "uname": 32, "gname": 32, "major": 8, "minor": 8, "prefix": 155,
    }  # fmt: skip
    parts = {name: values[name].ljust(width, b"\0") for name, width in widths.items()}
    before = b"".join(parts[name] for name in ("name", "mode", "uid", "gid", "size", "mtime"))
    after = b"".join(parts[name] for name in list(widths)[6:]) + bytes(12)
    total = sum(before) + sum(after) + 8 * 0x20
    return before + b"%06o\0 " % total + after


def extension(kind: bytes, data: bytes) -> bytes:
    return header(type=kind, size=b"%o" % len(data)) + data + bytes(-len(data) % 512)


def record(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3
    while len(b"%d" % (length + len(b"%d" % length))) != len(b"%d" % length):
        length += 1
    return b"%d %s=%s\n" % (length + len(b"%d" % length), key, value)


names = st.text(
    st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=300
)


@settings(max_examples=150, deadline=None)
@given(
    entries=st.lists(
        st.builds(
            lambda name, kind, mode, uid, gid, size, mtime, link: info(
                name,
                kind,
                mode=mode,
                uid=uid,
                gid=gid,
                size=size if kind is Kind.FILE else 0,
                mtime=mtime,
                linkname=link if kind in (Kind.SYMLINK, Kind.HARDLINK) else "",
            ),
            names,
            st.sampled_from(list(KINDS)),
            st.integers(0, 0o7777),
            st.integers(0, (1 << 32) - 2),
            st.integers(0, (1 << 32) - 2),
            st.integers(0, 3000),
            st.integers(0, 1 << 33),
            names,
        ),
        max_size=6,
    ),
    form=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
    seed=st.integers(0, 1000),
)
def test_what_others_write_is_read(entries: list[tarfile.TarInfo], form: int, seed: int) -> None:
    found = read(archive(*entries, form=form), seed)
    assert len(found) == len(entries)
    for (entry, content), written in zip(found, entries, strict=True):
        assert KINDS[entry.kind] == written.type
        assert entry.name.rstrip(b"/") == written.name.encode().rstrip(b"/")
        assert (entry.mode, entry.uid, entry.gid) == (written.mode, written.uid, written.gid)
        assert entry.mtime_ns == written.mtime * 1_000_000_000
        assert entry.link == written.linkname.encode()
        assert content == bytes(written.size)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=3000), st.integers(0, 2500))
def test_any_bytes_are_read_or_refused(noise: bytes, position: int) -> None:
    whole = bytearray(archive(info("a", size=700), info("b" * 200, Kind.SYMLINK, linkname="c" * 150)))
    for data in (noise, bytes(whole[:position]) + noise, bytes(whole[:position])):
        try:
            read(data)
        except InvalidArgument:
            continue


def test_an_archive_of_gnu_tar_is_read(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "folder").mkdir(parents=True)
    (tree / "folder" / ("long" * 50)).write_bytes(b"content")
    (tree / "link").symlink_to("folder")
    for form in ("gnu", "posix", "ustar", "v7"):
        arguments: list[str | Path] = ["tar", f"--format={form}", "-C", tree, "-cf", "-", "."]
        if form in ("v7", "ustar"):
            arguments[2:2] = ["--exclude=long*"]
        made = subprocess.run(arguments, check=True, capture_output=True).stdout
        found = {entry.name: (entry.kind, content) for entry, content in read(made)}
        assert found[b"./"][0] is Kind.FOLDER
        assert found[b"./link"][0] is Kind.SYMLINK
        if form in ("gnu", "posix"):
            assert found[b"./folder/" + b"long" * 50] == (Kind.FILE, b"content")


def test_extended_headers_are_understood() -> None:
    data = (
        record(b"path", b"the/name")
        + record(b"mtime", b"1234.5000000009")
        + record(b"uid", b"4000000000")
        + record(b"SCHILY.xattr.user.a", b"\x00binary\n=")
        + record(b"comment", b"ignored")
    )
    ((entry, _),) = read(extension(b"x", data) + header())
    assert entry.name == b"the/name"
    assert entry.mtime_ns == 1_234_500_000_000
    assert entry.uid == 4_000_000_000
    assert entry.xattrs == {b"user.a": b"\x00binary\n="}


def test_a_size_of_an_extended_header_counts() -> None:
    ((entry, content),) = read(extension(b"x", record(b"size", b"5")) + header(size=b"0") + b"hello" + bytes(507))
    assert (entry.size, content) == (5, b"hello")


def test_global_headers_have_no_effect() -> None:
    ((entry, _),) = read(extension(b"g", record(b"path", b"elsewhere") + record(b"uid", b"7")) + header(name=b"here"))
    assert (entry.name, entry.uid) == (b"here", 0)


def test_links_and_folders_have_no_content_whatever_their_size_says() -> None:
    found = read(header(name=b"l", type=b"2", size=b"1000", link=b"t") + header(name=b"d", type=b"5", size=b"1000"))
    assert [(entry.name, entry.size) for entry, _ in found] == [(b"l", 0), (b"d", 0)]


def test_numbers_in_base_256_and_old_marks_of_folders() -> None:
    ((entry, _),) = read(header(name=b"old/", type=b"\0", uid=b"\x80\0\0\0\x01\0\0\0", mtime=b"\xff" * 12))
    assert entry.kind is Kind.FOLDER
    assert entry.uid == 1 << 24
    assert entry.mtime_ns == 0  # before 1970


def test_the_prefix_of_ustar_counts_and_gnu_s_other_use_of_it_does_not() -> None:
    found = read(header(prefix=b"folder") + header(magic=b"ustar  \0", prefix=b"12345"))
    assert [entry.name for entry, _ in found] == [b"folder/x", b"x"]


def test_an_archive_may_end_without_its_mark_but_not_inside_an_entry() -> None:
    whole = archive(info("a", size=700))
    assert len(read(whole[: 512 + 1024])) == 1
    for length in (512 + 700, 512 + 1000):  # without the padding, as the docker client may send it
        assert len(read(whole[:length])) == 1
    for length in (100, 512 + 100, 512 + 699):
        with pytest.raises(InvalidArgument, match="unexpected EOF"):
            read(whole[:length])


def test_nothing_is_an_archive_without_entries() -> None:
    assert read(b"") == []
    assert read(bytes(10240)) == []


@pytest.mark.parametrize(
    "data",
    [
        b"rubbish" * 100,
        header()[:148] + b"0000000\0" + header()[156:],
        header(size=b"-1"),
        header(size=b"\xff" * 12),
        header(size=b"\x80" + b"\x7f" * 11),
        header(uid=b"\x80\0\0\x01\0\0\0\0"),
        header(uid=b"\x80\0\0\0\xff\xff\xff\xff"),
        header(mode=b"9"),
        header(type=b"Z"),
        header(type=b"S", size=b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"),
        header(type=b"M"),
        extension(b"x", b"not a record") + header(),
        extension(b"x", b"9999 a=b\n") + header(),
        extension(b"x", b"0 a=b\n") + header(),
        extension(b"x", b"5 ab\n") + header(),
        extension(b"x", record(b"size", b"-5")) + header(),
        extension(b"x", record(b"size", b"9" * 30)) + header(),
        extension(b"x", record(b"uid", b"4294967295")) + header(),
        extension(b"x", record(b"mtime", b"soon")) + header(),
        extension(b"x", record(b"path", b"a\0b")) + header(),
        extension(b"x", record(b"path", b"a" * 4096)) + header(),
        extension(b"x", record(b"GNU.sparse.major", b"1")) + header(),
        extension(b"L", b"a" * 5000) + header(),
        header(type=b"x", size=b"%o" % (2 << 20)) + bytes(2 << 20) + header(),
        header(type=b"L", size=b"77777777777"),
    ],
    ids=range(25),
)
def test_what_is_wrong_or_not_supported_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument, match=r"^invalid tar archive"):
        read(data + header())


def test_too_many_entries_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tarstream, "MAX_ENTRIES", 10)
    assert len(read(header() * 9)) == 9
    with pytest.raises(InvalidArgument, match="more than 10 entries"):
        read(header() * 11)


def test_headers_without_end_take_little_memory() -> None:
    block = extension(b"x", record(b"SCHILY.xattr.user.a", b"v" * 60_000)) + header()

    class Endless:
        def __init__(self) -> None:
            self.left = 1000

        def read(self, size: int, /) -> bytes:
            assert size >= len(block)
            self.left -= 1
            return block if self.left >= 0 else b""

    tracemalloc.start()
    try:
        assert sum(1 for _ in TarReader(Endless())) == 1000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 << 20
