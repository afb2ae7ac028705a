from pathlib import Path

import pytest

from cais.engine.models import MountPoint
from cais.engine.mounts import check_tmpfs, clean, make_missing_sources, parse_bind, parse_binds
from cais.errors import InvalidArgument, Unsupported


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
        ("/a:/b:nocopy", "invalid mode: nocopy"),
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


@pytest.mark.parametrize("text", ["data:/b", "/b"])
def test_volumes_are_not_supported_yet(text: str) -> None:
    with pytest.raises(Unsupported, match="volumes are not supported yet"):
        parse_bind(text)


def test_a_destination_may_be_given_once() -> None:
    with pytest.raises(InvalidArgument, match="Duplicate mount point: /b"):
        parse_binds(["/a:/b", "/c:/b/"])


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
