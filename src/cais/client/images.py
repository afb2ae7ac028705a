"""The calls of the Engine API about images."""

from __future__ import annotations

from cais.client.engine import filters_text
from cais.client.http import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cais.client.engine import Engine
    from cais.client.http import Response
    from cais.client.model import ImageRemoval, ImageSummary


def summaries(engine: Engine, *, everything: bool, filters: Mapping[str, Iterable[str]]) -> list[ImageSummary]:
    query = {"all": "1"} if everything else {}
    if filters:
        query["filters"] = filters_text(filters)
    found: list[ImageSummary] = engine.fetch("GET", "/images/json", query)
    return found


def pull(engine: Engine, name: str, tag: str, platform: str) -> Response:
    """Pull an image; `tag` may be a digest. The answer is a stream of progress messages."""
    query = {"fromImage": name, "tag": tag}
    if platform:
        query["platform"] = platform
    return engine.call("POST", "/images/create", query)


def import_archive(engine: Engine, blocks: Iterable[bytes], query: Mapping[str, str]) -> Response:
    """Make an image of the archive of a root file system; the answer is a stream of progress messages."""
    return engine.send_blocks("POST", "/images/create", query, blocks, "application/x-tar")


def import_address(engine: Engine, query: Mapping[str, str]) -> Response:
    """The same with an archive that the engine fetches itself (`fromSrc` of the query)."""
    return engine.call("POST", "/images/create", query)


def load(engine: Engine, blocks: Iterable[bytes], *, quiet: bool) -> Response:
    """Take in the images of an archive; the answer is a stream of progress messages, or plain text."""
    query = {"quiet": "1" if quiet else "0"}
    return engine.send_blocks("POST", "/images/load", query, blocks, "application/x-tar")


def tag(engine: Engine, image: str, repository: str, tag_name: str) -> None:
    engine.call("POST", f"/images/{quote(image)}/tag", {"repo": repository, "tag": tag_name}).read()


def remove(engine: Engine, image: str, *, force: bool, prune: bool) -> list[ImageRemoval]:
    query = {}
    if force:
        query["force"] = "1"
    if not prune:
        query["noprune"] = "1"
    removed: list[ImageRemoval] = engine.fetch("DELETE", f"/images/{quote(image)}", query)
    return removed
