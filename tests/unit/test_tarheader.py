import tarfile

import pytest

from cais.storage.tarheader import Header

_TIME_NS = 1_700_000_000_123_456_789


def _by_tarfile(header: Header) -> bytes:
    entry = tarfile.TarInfo(header.name)
    entry.type, entry.linkname, entry.size = header.kind, header.link, header.size
    entry.mode, entry.uid, entry.gid, entry.mtime = header.mode, header.uid, header.gid, _TIME_NS // 1_000_000_000
    entry.devmajor, entry.devminor = header.device
    entry.pax_headers = header.xattrs or {}
    return entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("f", tarfile.REGTYPE), ("d", tarfile.DIRTYPE), ("d/", tarfile.DIRTYPE), ("n" * 100, tarfile.REGTYPE),
     ("n" * 101, tarfile.REGTYPE), ("d" * 100, tarfile.DIRTYPE), ("/", tarfile.DIRTYPE), ("ü", tarfile.REGTYPE),
     ("a/" + "b" * 150, tarfile.REGTYPE), ("p", tarfile.FIFOTYPE)],
)  # fmt: skip
def test_it_is_what_tarfile_makes(name: str, kind: bytes) -> None:
    header = Header(name, kind, 0o4755, 7, 8, _TIME_NS)
    assert header.encode() == _by_tarfile(header)


@pytest.mark.parametrize(
    ("field", "value"),
    [("size", 5), ("size", (8 << 30) - 1), ("size", 8 << 30), ("uid", 0o7777777), ("uid", 0o10000000),
     ("gid", 3_000_000), ("xattrs", {"SCHILY.xattr.user.a": "b"}), ("device", (8, 1))],
)  # fmt: skip
def test_so_are_its_numbers(field: str, value: object) -> None:
    header = Header("f", tarfile.REGTYPE, 0o644, 0, 0, _TIME_NS)
    setattr(header, field, value)
    assert header.encode() == _by_tarfile(header)


@pytest.mark.parametrize("link", ["f", "l" * 100, "l" * 101, "ü"])
def test_so_are_links(link: str) -> None:
    header = Header("f", tarfile.SYMTYPE, 0o777, 0, 0, _TIME_NS)
    header.link = link
    assert header.encode() == _by_tarfile(header)
