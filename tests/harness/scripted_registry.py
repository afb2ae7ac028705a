"""A registry of the tests' own, in the test's event loop, that serves what it is given, and fails and lies as told.

Everything it was asked is in `requests`, with the credentials that came along.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from cais.distribution.oci import digest_of
from cais.distribution.platforms import host_platform

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"

Hook = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request."""

    method: str
    path: str
    authorization: str
    range: str


@dataclass
class ScriptedRegistry:
    """`hooks` see every request first, in order; the first answer of one counts. `name`: host and port."""

    name: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    hooks: list[Hook] = field(default_factory=list)
    requests: list[Asked] = field(default_factory=list)
    sent_bytes: int = 0

    def add_blob(self, data: bytes) -> str:
        digest = digest_of(data)
        self.blobs[digest] = data
        return digest

    def add_manifest(self, document: object, *names: str, media_type: str = MANIFEST) -> str:
        """A manifest under its digest, and under tags."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        digest = digest_of(data)
        for name in (digest, *names):
            self.manifests[name] = (data, media_type)
        return digest

    def add_image(
        self,
        *layers: tuple[bytes, bytes],
        tag: str = "1",
        architecture: str = "",
        change: Callable[[Any], None] | None = None,
    ) -> str:
        """An image of layers, each its archive and what is sent of it; returns the digest of its manifest."""
        config = self.add_blob(
            json.dumps(
                {
                    "os": "linux",
                    "architecture": architecture or host_platform().architecture,
                    "config": {"Cmd": ["/program"]},
                    "rootfs": {"type": "layers", "diff_ids": [digest_of(plain) for plain, _ in layers]},
                }
            ).encode()
        )
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": config, "size": len(self.blobs[config])},
            "layers": [{"mediaType": LAYER, "digest": self.add_blob(sent), "size": len(sent)} for _, sent in layers],
        }
        if change is not None:
            change(manifest)
        return self.add_manifest(manifest, tag)

    def asked(self, part: str) -> list[Asked]:
        """The requests whose path has `part` in it."""
        return [request for request in self.requests if part in request.path]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = request.headers
        self.requests.append(
            Asked(request.method, request.path_qs, headers.get("Authorization", ""), headers.get("Range", ""))
        )
        for hook in self.hooks:
            answer = await hook(request)
            if answer is not None:
                return answer
        if request.path in ("/v2/", "/v1/_ping"):
            return web.json_response({})
        kind, _, name = request.path.rpartition("/")
        if kind.endswith("/manifests") and name in self.manifests:
            data, media_type = self.manifests[name]
            return web.Response(body=data, headers={"Content-Type": media_type})
        if kind.endswith("/blobs") and name in self.blobs:
            return self.send(request, self.blobs[name])
        code = "MANIFEST_UNKNOWN" if kind.endswith("/manifests") else "BLOB_UNKNOWN"
        return web.json_response({"errors": [{"code": code, "message": code.lower().replace("_", " ")}]}, status=404)

    def send(self, request: web.Request, data: bytes) -> web.Response:
        """A blob, or the part of it that is asked for."""
        wanted = request.headers.get("Range", "")
        start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        self.sent_bytes += len(data) - start
        if not start:
            return web.Response(body=data)
        span = f"bytes {start}-{len(data) - 1}/{len(data)}"
        return web.Response(body=data[start:], status=206, headers={"Content-Range": span})


async def cut(request: web.Request, data: bytes, length: int) -> web.StreamResponse:
    """The head of an answer for all of `data` and its first bytes; then the connection breaks."""
    response = web.StreamResponse(headers={"Content-Length": str(len(data))})
    await response.prepare(request)
    await response.write(data[:length])
    await asyncio.sleep(0.05)
    assert request.transport is not None
    request.transport.abort()
    return response


@asynccontextmanager
async def scripted_registry() -> AsyncIterator[ScriptedRegistry]:
    """A registry on loopback for the time of the block."""
    registry = ScriptedRegistry()
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", registry.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    registry.name = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield registry
    finally:
        await runner.cleanup()
