"""Downloading an archive that a user names by its address."""

from collections.abc import AsyncIterator
from typing import Final

from cais.distribution.registry_errors import unreachable
from cais.errors import InvalidArgument, Unavailable

_CONNECT_SECONDS: Final = 30
_SILENCE_SECONDS: Final = 60


async def download(address: str) -> AsyncIterator[bytes]:
    """The bytes behind an http or https address; without a scheme, http. As they come.

    Raises: InvalidArgument for an address of another kind; Unavailable when it cannot be had.
    """
    import aiohttp  # noqa: PLC0415

    if "://" not in address:
        address = f"http://{address}"
    if not address.startswith(("http://", "https://")):
        raise InvalidArgument(f"import {address[:200]!r}: only http and https addresses are supported")
    printed = address[:200]
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(address) as answer:
            if answer.status >= 400:
                raise Unavailable(f"failed to GET {printed} with status {answer.status} {answer.reason}")
            async for chunk in answer.content.iter_any():
                yield chunk
    except (aiohttp.ClientError, OSError) as error:
        raise Unavailable(str(unreachable("GET", printed, error))) from error
