"""The calls of the Engine API about volumes."""

from __future__ import annotations

from cais.client.codec import loads
from cais.client.engine import filters_text
from cais.client.http import quote
from cais.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cais.client.engine import Engine
    from cais.client.http import Response
    from cais.client.model import VolumeDetail


def path(volume: str) -> str:
    """Where the API has a volume. Raises InvalidArgument for an empty name."""
    if not volume.strip():
        raise InvalidArgument("invalid volume name: value is empty")
    return f"/volumes/{quote(volume)}"


def create(engine: Engine, name: str, driver: str, options: dict[str, str], labels: dict[str, str]) -> VolumeDetail:
    content: dict[str, object] = {"Name": name, "Driver": driver}
    content |= {key: value for key, value in (("DriverOpts", options), ("Labels", labels)) if value}
    found: VolumeDetail = engine.fetch("POST", "/volumes/create", None, content)
    return found


def select(engine: Engine, filters: Mapping[str, Iterable[str]]) -> list[VolumeDetail]:
    query = {"filters": filters_text(filters)} if filters else None
    found: dict[str, list[VolumeDetail] | None] = engine.fetch("GET", "/volumes", query)
    return found.get("Volumes") or []


def remove(engine: Engine, name: str, *, force: bool) -> None:
    engine.call("DELETE", path(name), {"force": "1"} if force else None).read()


def export(engine: Engine, name: str, *, pause: bool) -> Response:
    """The content of a volume; the body is a tar archive, compressed with zstd."""
    return engine.call("GET", f"/cais{path(name)}/export", {"pause": "1"} if pause else None)


def import_archive(engine: Engine, name: str, blocks: Iterable[bytes]) -> VolumeDetail:
    """A volume with what is in an archive."""
    answer = engine.send_blocks("POST", f"/cais{path(name)}/import", {}, blocks, "application/octet-stream")
    found: VolumeDetail = loads(answer.read())
    return found


def clone(engine: Engine, name: str, target: str, *, pause: bool) -> Response:
    """The content of a volume in another one; the body is progress."""
    query = {"to": target, **({"pause": "1"} if pause else {})}
    return engine.call("POST", f"/cais{path(name)}/clone", query)
