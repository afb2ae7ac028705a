from typing import Any

import pytest

from cais.engine.container import Container
from cais.engine.models import ContainerConfig, HostConfig, MountPoint, Record
from cais.engine.mount_requests import parse_mounts
from cais.engine.mounting import mounts_of
from cais.errors import CaisError, InvalidArgument, NotFound


def _parse(**request: Any) -> MountPoint:
    (found,) = parse_mounts([request], lambda name: f"sha256:{name}", lambda path: path != "/missing")
    return found


def test_a_bind() -> None:
    mount = _parse(Type="bind", Source="/a/../b", Target="/x/", ReadOnly=True)
    assert (mount.Type, mount.Source, mount.Destination, mount.RW) == ("bind", "/b", "/x", False)
    assert (mount.Mode, mount.Propagation) == ("", "rprivate")
    assert not mount.options.creates
    assert mount.options.read_only_below
    options = {"Propagation": "rslave", "NonRecursive": True, "CreateMountpoint": True}
    mount = _parse(Type="bind", Source="/missing", Target="/x", BindOptions=options)
    assert mount.Propagation == "rslave"
    assert mount.options.creates
    assert not mount.options.recursive


def test_a_volume() -> None:
    options = {"NoCopy": True, "Labels": {"a": "b"}, "Subpath": "s", "DriverConfig": {"Options": {"type": "tmpfs"}}}
    mount = _parse(Type="volume", Source="data", Target="/x", VolumeOptions=options)
    assert (mount.Type, mount.Name, mount.Driver, mount.Mode, mount.RW) == ("volume", "data", "local", "z", True)
    kept = mount.options
    assert (kept.copies, kept.labels, kept.subpath) == (False, {"a": "b"}, "s")
    assert kept.driver_options == {"type": "tmpfs"}
    assert _parse(Type="volume", Target="/x").options.anonymous


def test_a_tmpfs() -> None:
    options = {"SizeBytes": 1024, "Mode": 0o1770, "Options": [["exec"], ["uid", "7"]]}
    mount = _parse(Type="tmpfs", Target="/x", TmpfsOptions=options)
    assert mount.options.tmpfs == ["size=1024", "mode=1770", "exec", "uid=7"]


def test_an_image() -> None:
    mount = _parse(Type="image", Source="busybox", Target="/x", ImageOptions={"Subpath": "etc"})
    assert (mount.Type, mount.Source, mount.RW, mount.options.subpath) == ("image", "sha256:busybox", False, "etc")


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"Type": "foo", "Target": "/x"}, '"foo": mount type unknown'),
        ({"Type": "bind", "Source": "/a"}, '"bind": field Target must not be empty'),
        ({"Type": "bind", "Target": "/x"}, '"bind": field Source must not be empty'),
        ({"Type": "bind", "Source": "rel", "Target": "/x"}, "invalid mount path: 'rel' mount path must be absolute"),
        ({"Type": "bind", "Source": "/missing", "Target": "/x"}, "bind source path does not exist: /missing"),
        (
            {"Type": "bind", "Source": "/a", "Target": "/x", "BindOptions": {"Propagation": "foo"}},
            "invalid propagation mode: foo",
        ),
        (
            {"Type": "bind", "Source": "/a", "Target": "/x", "VolumeOptions": {}},
            "field VolumeOptions must not be specified",
        ),
        (
            {"Type": "bind", "Source": "/a", "Target": "/x", "BindOptions": {"ReadOnlyNonRecursive": True}},
            "ReadOnlyNonRecursive requires ReadOnly",
        ),
        ({"Type": "volume", "Target": "x"}, "invalid mount path: 'x' mount path must be absolute"),
        ({"Type": "volume", "Target": "/"}, "invalid specification: destination can't be '/'"),
        ({"Type": "volume", "Source": "/abs", "Target": "/x"}, 'create /abs: "/abs" includes invalid characters'),
        (
            {"Type": "volume", "Source": "data", "Target": "/x", "VolumeOptions": {"Subpath": "../y"}},
            "subpath must be a relative path within the volume",
        ),
        (
            {"Type": "volume", "Target": "/x", "VolumeOptions": {"Subpath": "y"}},
            "must not set Subpath when using anonymous volumes",
        ),
        ({"Type": "tmpfs", "Source": "/a", "Target": "/x"}, "field Source must not be specified"),
        (
            {"Type": "tmpfs", "Target": "/x", "TmpfsOptions": {"Options": [["foo"]]}},
            "invalid option: foo",
        ),
        ({"Type": "tmpfs", "Target": ["/x"]}, "invalid JSON"),
    ],
    ids=str,
)
def test_what_is_refused(request_: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        _parse(**request_)
    assert says in error.value.message


def test_an_unknown_driver_is_not_found() -> None:
    with pytest.raises(NotFound, match='create data: error looking up volume plugin foo: plugin "foo" not found'):
        _parse(Type="volume", Source="data", Target="/x", VolumeOptions={"DriverConfig": {"Name": "foo"}})


class _Known:
    def __init__(self, *mounts: MountPoint) -> None:
        record = Record(
            id="1" * 64, name="other", created_ns=1, image_id="", path="", args=[], config=ContainerConfig(),
            host_config=HostConfig(), mounts=list(mounts),
        )  # fmt: skip
        self._container = Container(record)

    def find(self, reference: str) -> Container:
        if reference != "other":
            raise NotFound(f"No such container: {reference}")
        return self._container


def _mounts(hc: HostConfig, *other: MountPoint, **volumes: dict[str, Any]) -> dict[str, MountPoint]:
    config = ContainerConfig(Volumes={f"/{path}": {} for path in volumes})
    found = mounts_of(hc, config, _Known(*other), str, lambda name: f"/v/{name}/_data")
    return {mount.Destination: mount for mount in found}


def test_what_is_asked_for_wins_over_another_container_s_and_over_the_image_s() -> None:
    other = [
        MountPoint(Type="bind", Source="/o", Destination="/a"),
        MountPoint(Type="bind", Source="/o", Destination="/b"),
        MountPoint(Type="volume", Name="kept", Source="/v/kept/_data", Destination="/c"),
    ]
    hc = HostConfig(Binds=["/own:/a"], VolumesFrom=["other:ro"], Tmpfs={"/t/": ""})
    found = _mounts(hc, *other, a={}, b={}, t={}, d={})
    assert found["/a"].Source == "/own"
    assert (found["/b"].Source, found["/b"].RW) == ("/o", False)
    assert (found["/c"].Name, found["/c"].RW, found["/c"].options.copies) == ("kept", False, False)
    assert found["/d"].options.anonymous
    assert found["/d"].Source == f"/v/{found['/d'].Name}/_data"
    assert "/t" not in found


@pytest.mark.parametrize(
    "hc",
    [
        HostConfig(Binds=["/a:/b", "/c:/b/"]),
        HostConfig(Binds=["/a:/b"], Tmpfs={"/b": ""}),
        HostConfig(Binds=["/a:/b"], Mounts=[{"Type": "volume", "Target": "/b"}]),
    ],
    ids=str,
)
def test_a_destination_may_be_given_once(hc: HostConfig) -> None:
    with pytest.raises(InvalidArgument, match="Duplicate mount point: /b"):
        _mounts(hc)


@pytest.mark.parametrize(
    ("hc", "says"),
    [
        (HostConfig(VolumesFrom=["nope"]), "No such container: nope"),
        (HostConfig(VolumesFrom=["other:foo"]), "invalid mode: foo"),
        (
            HostConfig(Binds=["data:/b"], VolumeDriver="foo"),
            'create data: error looking up volume plugin foo: plugin "foo" not found',
        ),
    ],
    ids=str,
)
def test_what_cannot_be_mounted(hc: HostConfig, says: str) -> None:
    with pytest.raises(CaisError) as error:
        _mounts(hc)
    assert says in error.value.message


def test_the_driver_of_volumes_says_nothing_about_folders_of_the_host() -> None:
    assert _mounts(HostConfig(Binds=["/tmp:/b"], VolumeDriver="foo"))["/b"].Source == "/tmp"
