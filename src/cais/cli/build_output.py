"""Where a build's result goes, beside the engine's images: `--output`, `--push` and `--load`.

    type=image[,push=true]     the engine's images, which is what happens without any
    type=registry              its names are pushed
    type=docker[,dest=FILE]    the engine's images, or an archive for `load`
    type=oci,dest=FILE         an archive in the OCI layout
    type=tar,dest=FILE         the files of the image, as an archive
    type=local,dest=FOLDER     the same, unpacked
    type=cacheonly             nowhere

FOLDER alone stands for type=local, and "-" for a tar archive to standard output.
"""

from __future__ import annotations

import os

from cais.cli.archive_file import write_archive
from cais.cli.command import CommandError
from cais.cli.output import STDERR
from cais.cli.reference import Reference
from cais.client import images, system
from cais.client.codec import loads
from cais.client.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.command import Invocation
    from cais.cli.flags import Parsed

_TYPES = ("image", "registry", "docker", "oci", "tar", "local", "cacheonly")
_FAILED = "failed to export"
_OF_FILES = ("tar", "local", "cacheonly")


class Output:
    """One place. `dest` is a path, "" for standard output where something is written, or for none."""

    __slots__ = ("dest", "fields", "kind")

    def __init__(self, kind: str, dest: str, fields: dict[str, str]) -> None:
        self.kind = kind
        self.dest = dest
        self.fields = fields

    @property
    def is_stdout(self) -> bool:
        """Whether an archive is written to standard output."""
        return not self.dest and (self.kind == "tar" or "stdout" in self.fields)

    @property
    def is_pushed(self) -> bool:
        return self.kind == "registry" or self.fields.get("push", "").lower() == "true"


def parse_outputs(given: Parsed) -> list[Output]:
    """What the flags ask for. Raises CommandError."""
    outputs = [_parse(text) for text in given.texts("output")]
    if given.on("push"):
        outputs.append(Output("registry", "", {}))
    if any(output.is_pushed for output in outputs) and not given.texts("tag"):
        raise CommandError("tag is needed when pushing to registry")
    return outputs


def _parse(text: str) -> Output:
    if "=" not in text:
        return Output("tar", "", {}) if text == "-" else Output("local", text, {})
    fields: dict[str, str] = {}
    for item in text.split(","):
        name, equals, value = item.partition("=")
        if not equals:
            raise CommandError(f"invalid value {item}")
        fields[name.strip().lower()] = value
    kind, dest = fields.pop("type", ""), fields.pop("dest", "")
    if not kind:
        raise CommandError("type is required for output")
    if kind not in _TYPES:
        raise CommandError(f"unsupported output type {kind!r}: there are {', '.join(_TYPES)}")
    if kind == "local" and dest in ("", "-"):
        raise CommandError(f"dest {'cannot be stdout' if dest else 'is required'} for local exporter")
    unknown = fields.keys() - {"push", "name"}
    if unknown:
        raise CommandError(f"unsupported option {min(unknown)!r} of the output type {kind}")
    if kind == "oci" and not dest:
        raise CommandError("dest is required for oci exporter, or - for standard output")
    return Output(kind, "" if dest == "-" else dest, {**fields, **({"stdout": "true"} if dest == "-" else {})})


def export(call: Invocation, identity: str, outputs: list[Output]) -> None:
    """Bring an image to where it is wanted. Raises CommandError and EngineError."""
    names = call.flags.texts("tag")
    for output in outputs:
        if output.kind == "local":
            _unpack(call, identity, output.dest)
        elif output.kind == "tar":
            write_archive(output.dest, lambda: images.files(call.engine, identity).blocks(), _FAILED)
        elif output.kind == "oci" or (output.kind == "docker" and (output.dest or "stdout" in output.fields)):
            write_archive(output.dest, lambda: images.save(call.engine, names or [identity], {}).blocks(), _FAILED)
        if output.is_pushed:
            for name in names:
                _push(call, name)
    if outputs and all(output.kind in _OF_FILES for output in outputs):
        _forget(call, identity)


def _unpack(call: Invocation, identity: str, folder: str) -> None:
    from cais.cli.localtar import unpack  # noqa: PLC0415 -- seldom needed

    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise CommandError(f"mkdir {folder}: {(error.strerror or str(error)).lower()}") from error
    unpack(images.files(call.engine, identity).blocks(), folder, "", "")


def _push(call: Invocation, name: str) -> None:
    from cais.cli.credentials import authorization  # noqa: PLC0415
    from cais.cli.progress import show  # noqa: PLC0415

    reference = Reference(name)
    headers = authorization(call.settings, reference.domain)
    tag = reference.tag or "latest"
    answer = images.push(call.engine, f"{reference.domain}/{reference.path}", {"tag": tag}, headers)
    show(answer, None if call.flags.on("quiet") else STDERR)


def _forget(call: Invocation, identity: str) -> None:
    """Remove an image that nobody has asked to keep; the cache has its steps."""
    try:
        if not loads(system.raw_object(call.engine, "image", identity)).get("RepoTags"):
            images.remove(call.engine, identity, force=False, prune=True)
    except EngineError:
        return
