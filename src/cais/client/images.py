"""The calls of the Engine API about images."""

from __future__ import annotations

from cais.client.engine import filters_text
from cais.client.http import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cais.client.engine import Engine, Query
    from cais.client.http import Response
    from cais.client.model import (
        DistributionAnswer,
        HistoryStep,
        ImageLayers,
        ImageRemoval,
        ImageSummary,
        LoginAnswer,
        SearchResult,
    )


def summaries(
    engine: Engine, *, everything: bool, filters: Mapping[str, Iterable[str]], manifests: bool = False
) -> list[ImageSummary]:
    """`manifests`: with the platforms of each, where the engine has several of an image."""
    query = {"all": "1"} if everything else {}
    if filters:
        query["filters"] = filters_text(filters)
    if manifests:
        query["manifests"] = "1"
    found: list[ImageSummary] = engine.fetch("GET", "/images/json", query)
    return found


def pull(engine: Engine, name: str, tag: str, platform: str, authorization: Mapping[str, str]) -> Response:
    """Pull an image; `tag` may be a digest, and "" is all of them. The answer is a stream of progress messages."""
    query = {"fromImage": name, "tag": tag, "platform": platform}
    given = {key: value for key, value in query.items() if value}
    return engine.call("POST", "/images/create", given, headers=authorization)


def push(engine: Engine, name: str, query: Mapping[str, str], authorization: Mapping[str, str]) -> Response:
    """Push an image, all its tags if the query names none. The answer is a stream of progress messages."""
    return engine.call("POST", f"/images/{quote(name)}/push", query, headers=authorization)


def log_in(engine: Engine, credentials: Mapping[str, str]) -> LoginAnswer:
    """Have the engine try credentials at their registry."""
    found: LoginAnswer = engine.fetch("POST", "/auth", content=dict(credentials))
    return found


def search(engine: Engine, query: Mapping[str, str], authorization: Mapping[str, str]) -> list[SearchResult]:
    found: list[SearchResult] | None = engine.fetch("GET", "/images/search", query, headers=authorization)
    return found or []


def distribution(engine: Engine, name: str, authorization: Mapping[str, str]) -> DistributionAnswer:
    """What a registry says of an image: the descriptor of its manifest or index, and its platforms."""
    found: DistributionAnswer = engine.fetch("GET", f"/distribution/{quote(name)}/json", headers=authorization)
    return found


def manifest(engine: Engine, name: str, query: Mapping[str, str], authorization: Mapping[str, str]) -> Response:
    """A manifest as its registry has it, byte for byte, with its media type and digest in the head.

    An extension of Cais: Docker's engine tells no more than its descriptor.
    """
    return engine.call("GET", f"/cais/distribution/{quote(name)}/manifest", query, headers=authorization)


def layers(engine: Engine, image: str) -> ImageLayers:
    """What each layer of an image adds, changes and removes. An extension of Cais."""
    found: ImageLayers = engine.fetch("GET", f"/cais/images/{quote(image)}/layers")
    return found


def import_archive(engine: Engine, blocks: Iterable[bytes], query: Query) -> Response:
    """Make an image of the archive of a root file system; the answer is a stream of progress messages."""
    return engine.send_blocks("POST", "/images/create", query, blocks, "application/x-tar")


def import_address(engine: Engine, query: Query) -> Response:
    """The same with an archive that the engine fetches itself (`fromSrc` of the query)."""
    return engine.call("POST", "/images/create", query)


def load(engine: Engine, blocks: Iterable[bytes], query: Mapping[str, str]) -> Response:
    """Take in the images of an archive; the answer is a stream of progress messages, or plain text."""
    return engine.send_blocks("POST", "/images/load", query, blocks, "application/x-tar")


def save(engine: Engine, images: Sequence[str], query: Mapping[str, str]) -> Response:
    """The archive of images, with all their names."""
    return engine.call("GET", "/images/get", {"names": images, **query})


def files(engine: Engine, image: str) -> Response:
    """The archive of all files of an image, its layers merged; what a Cais has."""
    return engine.call("GET", f"/cais/images/{quote(image)}/files")


def commit(engine: Engine, query: Query) -> str:
    """Make an image of a container; the image's id."""
    identity: str = engine.fetch("POST", "/commit", query)["Id"]
    return identity


def history(engine: Engine, image: str, query: Mapping[str, str]) -> list[HistoryStep]:
    """The steps that made an image, newest first."""
    found: list[HistoryStep] = engine.fetch("GET", f"/images/{quote(image)}/history", query)
    return found


def tag(engine: Engine, image: str, repository: str, tag_name: str) -> None:
    engine.call("POST", f"/images/{quote(image)}/tag", {"repo": repository, "tag": tag_name}).read()


def remove(
    engine: Engine, image: str, *, force: bool, prune: bool, platforms: Sequence[str] = ()
) -> list[ImageRemoval]:
    """`platforms`: only these variants of the image, each the JSON of an OCI platform."""
    query: dict[str, str | Sequence[str]] = {}
    if force:
        query["force"] = "1"
    if not prune:
        query["noprune"] = "1"
    if platforms:
        query["platforms"] = platforms
    removed: list[ImageRemoval] = engine.fetch("DELETE", f"/images/{quote(image)}", query)
    return removed
