"""Images: listed, brought here, named and removed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from typing import Any, Final

from cais.client.engine import filters_text
from cais.client.http import quote
from cais.errors import InvalidArgument, Unavailable
from cais.library import model
from cais.library.model import Image
from cais.library.transport import Body, Transport

Archive = str | os.PathLike[str] | bytes | AsyncIterable[bytes]
"""A tar archive: the path of a file, its content, or its content in pieces."""

_BLOCK_BYTES: Final = 1 << 18
_LOADED: Final = ("Loaded image: ", "Loaded image ID: ")


class Images:
    """The images of an engine."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self, *, filters: Mapping[str, Sequence[str]] | None = None) -> list[Image]:
        """All of them; filters are Docker's: {"reference": ["busybox:*"]}."""
        query = {"filters": filters_text(filters)} if filters else {}
        return [model.image(item) for item in await self._transport.fetch("GET", "/images/json", query)]

    async def inspect(self, name: str) -> Image:
        """The image with this name or id. Raises NotFound."""
        return model.image(await self._transport.fetch("GET", f"{_path(name)}/json"))

    async def pull(self, name: str, *, platform: str = "") -> Image:
        """Get an image from where its name says. Raises NotFound, Unauthorized, Unavailable, Unsupported."""
        query = {"fromImage": name, **({"platform": platform} if platform else {})}
        await _progress(self._transport, "/images/create", query)
        return await self.inspect(name)

    async def load(self, archive: Archive) -> tuple[Image, ...]:
        """Take in the images of an archive that `docker save` has written."""
        said = await _progress(self._transport, "/images/load", {"quiet": "1"}, _blocks(archive))
        lines = "".join(str(message.get("stream", "")) for message in said).splitlines()
        names = [line.removeprefix(start) for line in lines for start in _LOADED if line.startswith(start)]
        return tuple([await self.inspect(name) for name in names])

    async def import_(self, archive: Archive, name: str = "", *, changes: Sequence[str] = ()) -> Image:
        """Make an image of the archive of a root file system; changes are instructions such as 'CMD ["sh"]'."""
        query = {"fromSrc": "-", **({"repo": name} if name else {})}
        query |= {"changes": "\n".join(changes)} if changes else {}
        said = await _progress(self._transport, "/images/create", query, _blocks(archive))
        return await self.inspect(said[-1]["status"])

    async def tag(self, image: str, name: str) -> None:
        """Give an image another name, NAME[:TAG]."""
        repository, colon, tag = name.rpartition(":")
        if not colon or "/" in tag:
            repository, tag = name, ""
        await self._transport.fetch("POST", f"{_path(image)}/tag", {"repo": repository, "tag": tag})

    async def remove(self, image: str, *, force: bool = False) -> None:
        """Take a name from an image, and with its last name the image. Raises Conflict while containers need it."""
        await self._transport.fetch("DELETE", _path(image), {"force": "1"} if force else None)


def _path(name: str) -> str:
    if not name.strip():
        raise InvalidArgument("invalid image name: value is empty")
    return f"/images/{quote(name)}"


async def _progress(
    transport: Transport, path: str, query: Mapping[str, str], body: Body = b""
) -> list[dict[str, Any]]:
    """All messages of an operation that reports its progress. Raises Unavailable for an error among them."""
    said = []
    async with transport.request("POST", path, query, body=body) as answer:
        async for message in answer.json_lines():
            if failure := message.get("error"):
                raise Unavailable(str(failure))
            said.append(message)
    return said


async def _blocks(archive: Archive) -> AsyncGenerator[bytes, None]:
    if isinstance(archive, bytes):
        for start in range(0, len(archive), _BLOCK_BYTES):
            yield archive[start : start + _BLOCK_BYTES]
    elif isinstance(archive, AsyncIterable):
        async for block in archive:
            yield block
    else:
        try:
            file = await asyncio.to_thread(open, archive, "rb")
        except OSError as error:
            raise InvalidArgument(f"cannot open {os.fspath(archive)!r}: {error.strerror}") from error
        with file:
            while block := await asyncio.to_thread(file.read, _BLOCK_BYTES):
                yield block
