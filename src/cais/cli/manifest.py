"""`cais manifest inspect`: a manifest as its registry has it.

The engine fetches it, byte for byte, through an extension of its API; of several registries and ways to be trusted it
is the engine that knows.
"""

from __future__ import annotations

import binascii

from cais.cli.command import Command, CommandError, Invocation
from cais.cli.credentials import authorization
from cais.cli.flags import switch
from cais.cli.output import out
from cais.cli.reference import Reference
from cais.client import images
from cais.client.codec import dumps_readable, loads
from cais.client.errors import EngineError
from cais.client.pretty import indented_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NOT_FOUND = 404
_INDEX = "application/vnd.oci.image.index.v1+json"
_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
_HEAD = ("schemaVersion", "mediaType", "manifests")
_MEMBER_FIELDS = ("mediaType", "size", "digest")
_OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class _Manifest:
    """What a registry answered."""

    __slots__ = ("content", "digest", "media_type", "raw")

    def __init__(self, raw: bytes, media_type: str, digest: str) -> None:
        self.raw = raw
        self.media_type = media_type
        self.digest = digest
        self.content: dict[str, Any] = loads(raw)

    @property
    def members(self) -> list[dict[str, Any]]:
        """The descriptors of an index; none in a manifest."""
        return self.content.get("manifests") or [] if self.media_type in {_INDEX, _LIST} else []


def _inspect(call: Invocation) -> int:
    name = call.arguments[-1]
    try:
        reference = Reference(name).tagged()
    except ValueError as error:
        raise CommandError(str(error)) from None
    found = _fetch(call, reference)
    if not call.flags.on("verbose"):
        out(_indented(_ordered(found), "   ") if found.members else indented_json(found.raw, "\t"))
        return 0
    if not found.members:
        out(_indented(_described(reference, found, _platform(call, reference))))
        return 0
    described = []
    for member in found.members:
        one = Reference(f"{reference.full.partition('@')[0]}@{member['digest']}")
        described.append(_described(one, _fetch(call, one), member.get("platform")))
    out(_indented(described))
    return 0


def _fetch(call: Invocation, reference: Reference) -> _Manifest:
    query = {"insecure": "1"} if call.flags.on("insecure") else {}
    headers = authorization(call.settings, reference.domain)
    try:
        answer = images.manifest(call.engine, reference.full, query, headers)
    except EngineError as error:
        if error.status == _NOT_FOUND:
            raise CommandError(f"no such manifest: {reference.full}") from None
        raise
    media_type = answer.headers.get("content-type", "").partition(";")[0]
    return _Manifest(answer.read(), media_type, answer.headers.get("docker-content-digest", ""))


def _platform(call: Invocation, reference: Reference) -> dict[str, Any] | None:
    """The platform of an image that is no member of an index: the engine's word for it."""
    headers = authorization(call.settings, reference.domain)
    try:
        known = images.distribution(call.engine, reference.full, headers).get("Platforms") or []
    except EngineError:
        return None
    return known[0] if known else None


def _described(reference: Reference, found: _Manifest, platform: dict[str, Any] | None) -> dict[str, Any]:
    """A manifest and what is known about it, in the form of Docker's command."""
    descriptor = {"mediaType": found.media_type, "digest": found.digest, "size": len(found.raw)}
    if platform:
        descriptor["platform"] = platform
    return {
        "Ref": reference.full,
        "Descriptor": descriptor,
        "Raw": binascii.b2a_base64(found.raw, newline=False).decode("ascii"),
        "OCIManifest" if found.media_type == _OCI_MANIFEST else "SchemaV2Manifest": found.content,
    }


def _ordered(index: _Manifest) -> dict[str, Any]:
    """An index with its fields in the order in which Docker's command shows them."""
    head = {"schemaVersion": index.content.get("schemaVersion"), "mediaType": index.media_type}
    members = [{name: one[name] for name in _MEMBER_FIELDS if name in one} | one for one in index.members]
    return head | {"manifests": members} | {name: value for name, value in index.content.items() if name not in _HEAD}


def _indented(value: object, indent: str = "\t") -> str:
    return indented_json(dumps_readable(value).encode("utf-8", "surrogateescape"), indent)


INSPECT = Command(
    "[OPTIONS] [MANIFEST_LIST] MANIFEST",
    "",
    (
        switch("insecure", "Allow communication with an insecure registry"),
        switch("verbose", "Output additional info including layers and platform", "v"),
    ),
    _inspect,
    1,
    2,
)
