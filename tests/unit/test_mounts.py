from pathlib import Path

import pytest

from cais.engine.models import MountPoint
from cais.engine.mounts import check_mode, check_tmpfs, clean, make_missing_sources, parse_bind
from cais.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "writable", "propagation"),
    [("/a:/b", True, "rprivate"), ("/a:/b:rw", True, "rprivate"), ("/a:/b:ro", False, "rprivate"),
     ("/a:/b:ro,z", False, "rprivate"), ("/a:/b:Z", True, "rprivate"), ("/a:/b:rslave,ro", False, "rslave"),
     ("/a:/b:delegated", True, "rprivate")],
)  # fmt: skip
def test_binds(text: str, writable: bool, propagation: str) -> None:
    mount = parse_bind(text)
    assert (mount.Source, mount.Destination) == ("/a", "/b")
    assert (mount.RW, mount.Propagation) == (writable, propagation)
    assert mount.Mode == ":".join(text.split(":")[2:])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("/a:b", "invalid volume specification: '/a:b': invalid mount config for type \"bind\": invalid mount path: "
                 "'b' mount path must be absolute"),
        ("/a:/", "invalid specification: destination can't be '/'"),
        ("/a:/..", "destination can't be '/'"),
        ("/a:/b:zz", "invalid mode: zz"),
        ("/a:/b:ro,rw", "invalid mode: ro,rw"),
        ("/a:/b:", None),
        ("/a:/b:c:d", "invalid volume specification"),
        (":/b", "invalid volume specification"),
        ("", "invalid volume specification"),
        ("/a:/b:nocopy", "invalid mount config for type \"bind\": field VolumeOptions must not be specified"),
        ("data:/b:shared", "invalid mount config for type \"volume\": field BindOptions must not be specified"),
        ("data:b", "invalid mount config for type \"volume\": invalid mount path: 'b' mount path must be absolute"),
        ("a b:/b", "create a b: \"a b\" includes invalid characters for a local volume name"),
        ("x:/b", "create x: volume name is too short, names should be at least two alphanumeric characters"),
        ("b", "mount path must be absolute"),
        ("/a\0:/b", "invalid volume specification"),
    ],
)  # fmt: skip
def test_bad_binds(text: str, says: str | None) -> None:
    if says is None:
        assert parse_bind(text).RW
        return
    with pytest.raises(InvalidArgument) as error:
        parse_bind(text)
    assert says in error.value.message


@pytest.mark.parametrize(
    ("text", "mode", "writable", "copies"),
    [("data:/b", "z", True, True), ("data:/b:ro", "ro", False, True), ("data:/b:nocopy,Z", "nocopy,Z", True, False)],
)
def test_volumes(text: str, mode: str, writable: bool, copies: bool) -> None:
    mount = parse_bind(text)
    assert (mount.Type, mount.Name, mount.Destination, mount.Driver) == ("volume", "data", "/b", "local")
    assert (mount.Mode, mount.RW, mount.options.copies) == (mode, writable, copies)


def test_a_volume_without_a_source_has_a_name_that_nobody_chose() -> None:
    one, other = parse_bind("/b"), parse_bind("/b")
    assert one.options.anonymous
    assert len(one.Name) == 64
    assert one.Name != other.Name


@pytest.mark.parametrize(("mode", "writable"), [("", True), ("rw", True), ("ro", False), ("z,ro", False)])
def test_modes_of_volumes_from(mode: str, writable: bool) -> None:
    assert check_mode(mode) is writable
    for wrong in ("shared", "nocopy", "foo", "ro,rw"):
        with pytest.raises(InvalidArgument, match=f"invalid mode: {wrong}"):
            check_mode(wrong)


@pytest.mark.parametrize(("path", "cleaned"), [("/a/../b//c/", "/b/c"), ("//x", "/x"), ("/", "/"), ("/../..", "/")])
def test_paths_are_cleaned(path: str, cleaned: str) -> None:
    assert clean(path) == cleaned


@pytest.mark.parametrize("target", ["rel", "/", "/x/..", ""])
def test_a_tmpfs_needs_a_place(target: str) -> None:
    with pytest.raises(InvalidArgument):
        check_tmpfs({target: ""})


def test_a_missing_source_is_made_and_one_that_is_there_is_left(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("kept")
    make_missing_sources(
        [
            MountPoint(Type="bind", Source=str(tmp_path / "a/b"), Destination="/x"),
            MountPoint(Type="bind", Source=str(file), Destination="/y"),
        ]
    )
    assert (tmp_path / "a/b").is_dir()
    assert file.read_text() == "kept"


def test_a_source_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidArgument, match="error while creating mount source path"):
        make_missing_sources([MountPoint(Type="bind", Source=str(tmp_path / "file/x"), Destination="/x")])
