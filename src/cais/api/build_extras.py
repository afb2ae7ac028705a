"""What our own command asks of a build beyond Docker's parameters: a header with JSON in base64.

Secrets are in it, which no address of a request may show.
"""

import base64
import binascii
from typing import Final

import msgspec

from cais.errors import InvalidArgument

HEADER: Final = "X-Cais-Build"


class Extras(msgspec.Struct, rename="pascal", forbid_unknown_fields=True, frozen=True):
    """steps: tell what happens step by step, and not as the classic builder's text.

    secrets: contents by id, base64. no_cache_filter: stages that no cache is used for. context: the id of a kept
    context; the body then has the Dockerfile alone. contexts: by name, `docker-image://REFERENCE` or `kept:ID`.
    ssh: paths of the sockets of agents on this machine, by id. cache_from: images with the cache of another build.
    cache_to: make such images.
    """

    steps: bool = False
    secrets: dict[str, bytes] = {}
    no_cache_filter: frozenset[str] = frozenset()
    context: str = ""
    contexts: dict[str, str] = {}
    ssh: dict[str, str] = {}
    cache_from: list[str] = []
    cache_to: bool = False


def decode_extras(header: str) -> Extras:
    """Those of a header, "" for none. Raises: InvalidArgument."""
    if not header:
        return Extras()
    try:
        return msgspec.json.decode(base64.b64decode(header, altchars=b"-_", validate=True), type=Extras)
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise InvalidArgument(f"invalid {HEADER}: {error}") from None
