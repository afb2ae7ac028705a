"""One repository of a registry: its manifests, blobs and tags. OCI distribution specification 1.1.

Every byte that is returned whole was checked against its digest and size; blobs come as a stream, which whoever
stores it checks.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec

from cais.distribution.oci import INDEX_TYPES, MANIFEST_TYPES, MAX_DOCUMENT_BYTES, Descriptor, digest_of
from cais.distribution.registry_client import Body, Registry, read_document
from cais.distribution.registry_errors import Refused, Unreachable, unreachable
from cais.errors import InvalidArgument

_ACCEPTED: Final = ", ".join([*sorted(MANIFEST_TYPES), *sorted(INDEX_TYPES)])
_MAX_TAGS_BYTES: Final = 4 << 20
_MAX_TAGS: Final = 10_000
_SCHEMA1_TYPES: Final = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    }
)


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest or an index, as the registry has it."""

    data: bytes
    media_type: str
    digest: str

    @property
    def is_index(self) -> bool:
        """Whether it names several manifests."""
        return self.media_type in INDEX_TYPES

    @property
    def descriptor(self) -> Descriptor:
        """What points to it."""
        return Descriptor(self.media_type, self.digest, len(self.data))


@dataclass(frozen=True, slots=True)
class BlobStream:
    """A blob that is arriving, from `offset` on."""

    offset: int
    pieces: AsyncIterator[bytes]


class _Tags(msgspec.Struct, frozen=True):
    tags: list[str] | None = None


class _Head(msgspec.Struct, frozen=True, rename="camel"):
    schema_version: int = 2
    media_type: str = ""
    manifests: msgspec.Raw = msgspec.Raw()
    fs_layers: msgspec.Raw = msgspec.Raw()


class Repository:
    """A repository: `path` is its name without the domain. Errors are those of `Registry.request`."""

    def __init__(self, registry: Registry, path: str, *, actions: str = "pull") -> None:
        self.registry = registry
        self.path = path
        self._scopes = [f"repository:{path}:{actions}"]

    async def manifest(self, tag_or_digest: str, size_bytes: int | None = None) -> Document:
        """A manifest or index by its tag or digest.

        Raises: InvalidArgument when it is larger than it may be, has another digest or size than it should, or is of
            a kind that is not known.
        """
        path = f"/v2/{self.path}/manifests/{tag_or_digest}"
        async with self.registry.request("GET", path, scopes=self._scopes, headers={"Accept": _ACCEPTED}) as answer:
            data = await read_document(answer, MAX_DOCUMENT_BYTES, "manifest")
            told = answer.headers.get("Content-Type", "").partition(";")[0].strip()
            announced = answer.headers.get("Docker-Content-Digest", "")
        digest = digest_of(data)
        expected = tag_or_digest if ":" in tag_or_digest else announced
        if expected.startswith("sha256:") and digest != expected:
            raise InvalidArgument(f"manifest verification failed for digest {expected}")
        if size_bytes is not None and len(data) != size_bytes:
            raise InvalidArgument(f"manifest {digest} has {len(data)} bytes, where {size_bytes} are announced")
        return Document(data, _media_type(data, told), digest)

    async def tags(self) -> list[str]:
        """All tags, sorted."""
        found: set[str] = set()
        path = f"/v2/{self.path}/tags/list"
        while path and len(found) < _MAX_TAGS:
            async with self.registry.request("GET", path, scopes=self._scopes) as answer:
                data = await read_document(answer, _MAX_TAGS_BYTES, "list of tags")
                more = answer.headers.get("Link", "")
                base = str(answer.url)
            try:
                page = msgspec.json.decode(data, type=_Tags).tags or []
            except (msgspec.MsgspecError, RecursionError, ValueError):
                raise InvalidArgument("the registry's list of tags makes no sense") from None
            before = len(found)
            found.update(page)
            is_more = more.startswith("<") and 'rel="next"' in more and len(found) > before
            path = self._next(more[1 : more.find(">")], base) if is_more else ""
        return sorted(found)

    def _next(self, link: str, base: str) -> str:
        url = self.registry.absolute(link, base)
        if urlsplit(url)[:2] != urlsplit(base)[:2]:
            raise InvalidArgument("the registry's list of tags goes on at another server")
        return url

    async def document(self, descriptor: Descriptor, what: str) -> bytes:
        """A small blob, whole. Raises: InvalidArgument when it is not what the descriptor says."""
        if descriptor.size > MAX_DOCUMENT_BYTES:
            raise InvalidArgument(f"the {what} of {descriptor.size} bytes is larger than {MAX_DOCUMENT_BYTES}")
        path = f"/v2/{self.path}/blobs/{descriptor.digest}"
        async with self.registry.request("GET", path, scopes=self._scopes) as answer:
            data = await read_document(answer, MAX_DOCUMENT_BYTES, what)
        if digest_of(data) != descriptor.digest:
            raise InvalidArgument(f"{what} verification failed for digest {descriptor.digest}")
        if descriptor.size != len(data):
            raise InvalidArgument(f"the {what} has {len(data)} bytes, where {descriptor.size} are announced")
        return data

    @asynccontextmanager
    async def blob(self, digest: str, offset: int = 0) -> AsyncIterator[BlobStream]:
        """A blob from `offset` on, or from its beginning where the server does not go on; pieces raise Unreachable."""
        import aiohttp  # noqa: PLC0415

        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
        path = f"/v2/{self.path}/blobs/{digest}"
        async with self.registry.request("GET", path, scopes=self._scopes, headers=headers) as answer:
            resumed = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
            if answer.status == 206 and not resumed:
                raise Unreachable("GET", str(answer.url.with_query(None)), "another part was sent than was asked for")

            async def pieces() -> AsyncIterator[bytes]:
                try:
                    async for piece in answer.content.iter_any():
                        yield piece
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    raise unreachable("GET", str(answer.url.with_query(None)), error) from error

            yield BlobStream(offset if resumed else 0, pieces())

    # -- pushing

    async def has_blob(self, digest: str) -> bool:
        """Whether the repository has a blob."""
        path = f"/v2/{self.path}/blobs/{digest}"
        async with self.registry.request("HEAD", path, scopes=self._scopes, passing=(404,)) as answer:
            return answer.status == 200

    async def begin(self, digest: str, mount_from: str = "") -> str | None:
        """Begin to upload a blob: where to. None when it was mounted from another repository: nothing is to be sent."""
        path = f"/v2/{self.path}/blobs/uploads/"
        scopes = list(self._scopes)
        if mount_from:
            path += f"?mount={quote(digest, safe='')}&from={quote(mount_from, safe='')}"
            scopes.append(f"repository:{mount_from}:pull")
        async with self.registry.request("POST", path, scopes=scopes, headers={"Content-Length": "0"}) as answer:
            if answer.status == 201 and mount_from:
                return None
            location = answer.headers.get("Location", "")
            if answer.status != 202 or not location:
                raise Refused("POST", path, answer.status, b"")
            return self.registry.absolute(location, str(answer.url))

    async def upload(self, location: str, digest: str, size_bytes: int, body: Body) -> None:
        """Send a blob to where `begin` said, and have the registry check it."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size_bytes)}
        if size_bytes:
            async with self.registry.request(
                "PATCH", location, scopes=self._scopes, headers=headers, body=body
            ) as answer:
                location = self.registry.absolute(answer.headers.get("Location", location), str(answer.url))
        separator = "&" if urlsplit(location).query else "?"
        last = f"{location}{separator}digest={quote(digest, safe='')}"
        async with self.registry.request("PUT", last, scopes=self._scopes, headers={"Content-Length": "0"}):
            return

    async def put_manifest(self, tag_or_digest: str, data: bytes, media_type: str) -> None:
        """Store a manifest under a tag or its digest."""
        path = f"/v2/{self.path}/manifests/{tag_or_digest}"
        headers = {"Content-Type": media_type}
        async with self.registry.request("PUT", path, scopes=self._scopes, headers=headers, body=data):
            return


def _media_type(data: bytes, told: str) -> str:
    """What a manifest is: by the header, which its own field must not contradict (CVE-2021-41190)."""
    try:
        head = msgspec.json.decode(data, type=_Head)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        raise InvalidArgument(f"invalid manifest: not the JSON of a manifest (content type {told[:100]!r})") from None
    if told in _SCHEMA1_TYPES or head.schema_version == 1 or bytes(head.fs_layers):
        raise InvalidArgument(
            "manifests of schema version 1 are not supported any more: push the image again with a current client"
        )
    own = head.media_type
    known = MANIFEST_TYPES | INDEX_TYPES
    if own and told in known and own != told:
        raise InvalidArgument(f"invalid manifest: its media type {own[:100]!r} is not the header's, {told!r}")
    for candidate in (told, own):
        if candidate in known:
            return candidate
    raise InvalidArgument(f"unsupported manifest media type {(own or told)[:100]!r}")
