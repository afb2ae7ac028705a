"""The mounts of `HostConfig.Mounts`, as `--mount` and Compose ask for them: checked, in Docker's words."""

import posixpath
from collections.abc import Callable
from typing import Any, Final

import msgspec

from cais.engine.models import Empty, MountOptions, MountPoint
from cais.engine.mounts import DEFAULT_PROPAGATION, PROPAGATIONS, anonymous_volume, clean, named_volume
from cais.engine.text import printable
from cais.engine.volume import DRIVER
from cais.errors import InvalidArgument, NotFound, Unsupported


class _BindOptions(msgspec.Struct):
    Propagation: str = ""
    NonRecursive: bool = False
    CreateMountpoint: bool = False
    ReadOnlyNonRecursive: bool = False
    ReadOnlyForceRecursive: bool = False


class _DriverConfig(msgspec.Struct):
    Name: str = ""
    Options: dict[str, str] | None = None


class _VolumeOptions(msgspec.Struct):
    NoCopy: bool = False
    Labels: dict[str, str] | None = None
    DriverConfig: _DriverConfig | None = None
    Subpath: str = ""


class _ImageOptions(msgspec.Struct):
    Subpath: str = ""


class _TmpfsOptions(msgspec.Struct):
    SizeBytes: int = 0
    Mode: int = 0
    Options: list[list[str]] | None = None


class _Request(msgspec.Struct):
    """One mount, with the names of the API."""

    Type: str = ""
    Source: str = ""
    Target: str = ""
    ReadOnly: bool = False
    Consistency: str = ""
    BindOptions: _BindOptions | None = None
    VolumeOptions: _VolumeOptions | None = None
    ImageOptions: _ImageOptions | None = None
    TmpfsOptions: _TmpfsOptions | None = None
    ClusterOptions: Empty | None = None


_OPTIONS: Final = {
    "bind": "BindOptions", "volume": "VolumeOptions", "image": "ImageOptions", "tmpfs": "TmpfsOptions",
    "cluster": "ClusterOptions",
}  # fmt: skip
_TMPFS_FLAGS: Final = frozenset({"exec", "noexec"})
_TMPFS_VALUES: Final = frozenset({"uid", "gid"})


def parse_mounts(
    mounts: list[Empty], image_of: Callable[[str], str], exists: Callable[[str], bool]
) -> list[MountPoint]:
    """The mounts, in the order given. image_of: the id of an image. exists: whether a path of the host is there.

    Raises InvalidArgument, Unsupported, NotFound for an image.
    """
    found = []
    for raw in mounts:
        try:
            request = msgspec.convert({key: value for key, value in raw.items() if value is not None}, _Request)
        except msgspec.ValidationError as error:
            raise InvalidArgument(f"invalid JSON: {error}") from None
        found.append(_mount(request, image_of, exists))
    return found


def _mount(request: _Request, image_of: Callable[[str], str], exists: Callable[[str], bool]) -> MountPoint:
    kind = request.Type
    if kind == "cluster":
        raise Unsupported("cluster volumes are not supported by Cais (HostConfig.Mounts)")
    _check(request)
    target = clean(request.Target)
    if kind == "bind":
        return _bind(request, target, exists)
    if kind == "volume":
        return _volume(request, target)
    if kind == "image":
        return _image(request, target, image_of)
    return MountPoint(
        Type="tmpfs", Source="", Destination=target, RW=not request.ReadOnly,
        options=MountOptions(tmpfs=_tmpfs_options(request)),
    )  # fmt: skip


def _check(request: _Request) -> None:
    """Raises InvalidArgument for what no mount of this type can have."""
    kind = request.Type
    if kind not in _OPTIONS:
        _refuse(kind, "mount type unknown")
    if not request.Target:
        _refuse(kind, "field Target must not be empty")
    if "\0" in request.Target + request.Source:
        _refuse(kind, "a path contains a NUL byte")
    if not request.Target.startswith("/"):
        _refuse(kind, f"invalid mount path: '{printable(request.Target)}' mount path must be absolute")
    if clean(request.Target) == "/":
        _refuse(kind, "invalid specification: destination can't be '/'")
    for other, field in _OPTIONS.items():
        if other != kind and getattr(request, field) is not None:
            _refuse(kind, f"field {field} must not be specified")
    if kind in {"bind", "image"} and not request.Source:
        _refuse(kind, "field Source must not be empty")
    if kind == "tmpfs" and request.Source:
        _refuse(kind, "field Source must not be specified")


def _refuse(kind: str, what: str) -> None:
    raise InvalidArgument(f'invalid mount config for type "{printable(kind)}": {what}')


def _bind(request: _Request, target: str, exists: Callable[[str], bool]) -> MountPoint:
    options = request.BindOptions or _BindOptions()
    if not request.Source.startswith("/"):
        _refuse("bind", f"invalid mount path: '{printable(request.Source)}' mount path must be absolute")
    if options.Propagation and options.Propagation not in PROPAGATIONS:
        _refuse("bind", f"invalid propagation mode: {printable(options.Propagation)}")
    if options.ReadOnlyNonRecursive and options.ReadOnlyForceRecursive:
        _refuse("bind", "conflicting options: ReadOnlyNonRecursive and ReadOnlyForceRecursive")
    if options.ReadOnlyNonRecursive and not request.ReadOnly:
        _refuse("bind", "mount source is not read-only: ReadOnlyNonRecursive requires ReadOnly")
    source = clean(request.Source)
    if not options.CreateMountpoint and not exists(source):
        _refuse("bind", f"bind source path does not exist: {printable(source)}")
    return MountPoint(
        Type="bind",
        Source=source,
        Destination=target,
        RW=not request.ReadOnly,
        Propagation=options.Propagation or DEFAULT_PROPAGATION,
        options=MountOptions(
            creates=options.CreateMountpoint,
            recursive=not options.NonRecursive,
            read_only_below=not options.ReadOnlyNonRecursive,
        ),
    )


def _volume(request: _Request, target: str) -> MountPoint:
    options = request.VolumeOptions or _VolumeOptions()
    driver = options.DriverConfig or _DriverConfig()
    if driver.Name not in {"", DRIVER}:
        shown = printable(driver.Name)
        operation = f"create {printable(request.Source)}: " if request.Source else ""
        raise NotFound(f'{operation}error looking up volume plugin {shown}: plugin "{shown}" not found')
    _check_subpath("volume", options.Subpath)
    if not request.Source and options.Subpath:
        _refuse("volume", "must not set Subpath when using anonymous volumes")
    if request.Source:
        mount = named_volume(request.Source, target, "z", not request.ReadOnly, copies=not options.NoCopy)
    else:
        mount = anonymous_volume(target, not request.ReadOnly)
    changes: dict[str, Any] = {
        "copies": not options.NoCopy,
        "subpath": options.Subpath,
        "labels": options.Labels or None,
        "driver_options": driver.Options or None,
    }
    mount.options = msgspec.structs.replace(mount.options, **changes)
    return mount


def _image(request: _Request, target: str, image_of: Callable[[str], str]) -> MountPoint:
    subpath = (request.ImageOptions or _ImageOptions()).Subpath
    _check_subpath("image", subpath)
    image_id = image_of(request.Source)
    return MountPoint(
        Type="image",
        Name=request.Source,
        Source=image_id,
        Destination=target,
        RW=False,
        options=MountOptions(subpath=subpath, image_id=image_id),
    )


def _check_subpath(kind: str, subpath: str) -> None:
    if subpath.startswith("/") or "\0" in subpath or ".." in posixpath.normpath(subpath).split("/"):
        _refuse(kind, f"subpath must be a relative path within the {kind}")


def _tmpfs_options(request: _Request) -> list[str]:
    options = request.TmpfsOptions or _TmpfsOptions()
    words = []
    if options.SizeBytes:
        if options.SizeBytes < 0:
            _refuse("tmpfs", "SizeBytes must not be negative")
        words.append(f"size={options.SizeBytes}")
    if options.Mode:
        words.append(f"mode={options.Mode & 0o7777:o}")
    for pair in options.Options or ():
        name, value = (*pair, "", "")[:2]
        if len(pair) == 1 and name in _TMPFS_FLAGS:
            words.append(name)
        elif len(pair) == 2 and name in _TMPFS_VALUES and value.isdigit():
            words.append(f"{name}={value}")
        else:
            _refuse("tmpfs", f"invalid option: {printable('='.join(pair))}")
    return words
