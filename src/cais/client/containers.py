"""The calls of the Engine API about containers and what runs in them."""

from __future__ import annotations

from cais.client.engine import filters_text
from cais.client.http import quote
from cais.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cais.client.engine import Engine, Pending
    from cais.client.http import Response
    from cais.client.model import (
        Change,
        ContainerConfig,
        ContainerDetail,
        ContainerSummary,
        Created,
        ExecConfig,
        ExecDetail,
        PathStat,
        Processes,
        UpdateConfig,
        Updated,
        WaitResult,
    )


def _path(container: str, verb: str = "") -> str:
    """Where the API has a container, or what can be done with it. Raises InvalidArgument for an empty name."""
    if not container.strip():
        raise InvalidArgument("invalid container name or ID: value is empty")
    return f"/containers/{quote(container)}{verb}"


def create(engine: Engine, config: ContainerConfig, name: str = "", platform: str = "") -> Created:
    query = {key: value for key, value in (("name", name), ("platform", platform)) if value}
    created: Created = engine.fetch("POST", "/containers/create", query, config)
    return created


def start(engine: Engine, container: str) -> None:
    engine.call("POST", _path(container, "/start")).read()


def attach(engine: Engine, container: str, *, stdin: bool, stdout: bool, stderr: bool, detach_keys: str) -> Pending:
    """Ask for the container's streams; the answer is an upgraded connection."""
    query = {"stream": "1"}
    query.update((name, "1") for name, wanted in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)) if wanted)
    if detach_keys:
        query["detachKeys"] = detach_keys
    return engine.separately("POST", _path(container, "/attach"), query, upgrade=True)


def wait(engine: Engine, container: str, condition: str = "not-running") -> Pending:
    """Ask for the exit status. The engine answers at once that it listens, and with the status when there is one."""
    query = {"condition": condition} if condition != "not-running" else None  # that is what it waits for by itself
    return engine.separately("POST", _path(container, "/wait"), query)


def read_wait(answer: Response) -> WaitResult:
    """The exit status that the answer to `wait` ends with."""
    from cais.client.codec import loads  # noqa: PLC0415 -- only here

    result: WaitResult = loads(answer.read())
    return result


def begin_stop(engine: Engine, container: str, timeout_seconds: int | None, signal: str) -> Pending:
    return engine.separately("POST", _path(container, "/stop"), _ending(timeout_seconds, signal))


def begin_restart(engine: Engine, container: str, timeout_seconds: int | None, signal: str) -> Pending:
    return engine.separately("POST", _path(container, "/restart"), _ending(timeout_seconds, signal))


def _ending(timeout_seconds: int | None, signal: str) -> dict[str, str]:
    query = {"t": str(timeout_seconds)} if timeout_seconds is not None else {}
    if signal:
        query["signal"] = signal
    return query


def kill(engine: Engine, container: str, signal: str = "") -> None:
    engine.call("POST", _path(container, "/kill"), {"signal": signal} if signal else None).read()


def begin_kill(engine: Engine, container: str, signal: str) -> Pending:
    return engine.separately("POST", _path(container, "/kill"), {"signal": signal} if signal else None)


def begin_pause(engine: Engine, container: str) -> Pending:
    return engine.separately("POST", _path(container, "/pause"))


def begin_unpause(engine: Engine, container: str) -> Pending:
    return engine.separately("POST", _path(container, "/unpause"))


def begin_remove(engine: Engine, container: str, *, force: bool, volumes: bool, link: bool) -> Pending:
    query = {name: "1" for name, wanted in (("force", force), ("v", volumes), ("link", link)) if wanted}
    return engine.separately("DELETE", _path(container), query)


def rename(engine: Engine, container: str, name: str) -> None:
    engine.call("POST", _path(container, "/rename"), {"name": name}).read()


def update(engine: Engine, container: str, changes: UpdateConfig) -> list[str]:
    """Change limits and the restart policy; the engine's warnings."""
    answer: Updated = engine.fetch("POST", _path(container, "/update"), None, changes)
    return answer.get("Warnings") or []


def changes(engine: Engine, container: str) -> list[Change]:
    """What differs between the container's files and its image's."""
    found: list[Change] | None = engine.fetch("GET", _path(container, "/changes"))
    return found or []


def export(engine: Engine, container: str) -> Response:
    """The container's files; the body is a tar archive."""
    return engine.call("GET", _path(container, "/export"))


def path_stat(engine: Engine, container: str, path: str) -> PathStat:
    """What a path of the container is; links are not followed."""
    answer = engine.call("HEAD", _path(container, "/archive"), {"path": path})
    return _path_stat(answer)


def copy_out(engine: Engine, container: str, path: str) -> tuple[Response, PathStat]:
    """The tar archive of a path of the container, and what the path is."""
    answer = engine.call("GET", _path(container, "/archive"), {"path": path})
    return answer, _path_stat(answer)


def _path_stat(answer: Response) -> PathStat:
    from binascii import a2b_base64  # noqa: PLC0415 -- only here

    from cais.client.codec import loads  # noqa: PLC0415 -- only here

    found: PathStat = loads(a2b_base64(answer.headers.get("x-docker-container-path-stat", "")))
    return found


def copy_in(engine: Engine, container: str, path: str, blocks: Iterable[bytes], *, as_user: bool) -> None:
    """Unpack a tar archive into a folder of the container; `as_user`: the container's user gets the files."""
    query = {"path": path, "noOverwriteDirNonDir": "true"}
    if as_user:
        query["copyUIDGID"] = "true"
    engine.send_blocks("PUT", _path(container, "/archive"), query, blocks, "application/x-tar").read()


def begin_stats(engine: Engine, container: str, *, stream: bool) -> Pending:
    """Ask for the use of resources: one reading, or, as a stream, one a second."""
    return engine.separately("GET", _path(container, "/stats"), {"stream": "1" if stream else "0"})


def resize(engine: Engine, container: str, rows: int, columns: int) -> None:
    engine.call("POST", _path(container, "/resize"), {"h": str(rows), "w": str(columns)}).read()


def summaries(
    engine: Engine, *, everything: bool, limit: int, size: bool, filters: Mapping[str, Iterable[str]]
) -> list[ContainerSummary]:
    query = {}
    if everything:
        query["all"] = "1"
    if limit > 0:
        query["limit"] = str(limit)
    if size:
        query["size"] = "1"
    if filters:
        query["filters"] = filters_text(filters)
    found: list[ContainerSummary] = engine.fetch("GET", "/containers/json", query)
    return found


def detail(engine: Engine, container: str) -> ContainerDetail:
    found: ContainerDetail = engine.fetch("GET", _path(container, "/json"))
    return found


def processes(engine: Engine, container: str, ps_arguments: str) -> Processes:
    query = {"ps_args": ps_arguments} if ps_arguments else None
    found: Processes = engine.fetch("GET", _path(container, "/top"), query)
    return found


def logs(engine: Engine, container: str, query: Mapping[str, str]) -> Response:
    return engine.call("GET", _path(container, "/logs"), query)


def exec_create(engine: Engine, container: str, config: ExecConfig) -> str:
    """The id of a command that can be started in a running container."""
    created: Created = engine.fetch("POST", _path(container, "/exec"), None, config)
    return created["Id"]


def exec_start(engine: Engine, exec_id: str, *, tty: bool, size: list[int] | None) -> Pending:
    """Start the command; the answer is an upgraded connection that carries its streams."""
    content: dict[str, object] = {"Detach": False, "Tty": tty}
    if size is not None:
        content["ConsoleSize"] = size
    return engine.separately("POST", f"/exec/{exec_id}/start", None, content, upgrade=True)


def exec_start_detached(engine: Engine, exec_id: str, *, tty: bool) -> None:
    engine.call("POST", f"/exec/{exec_id}/start", None, {"Detach": True, "Tty": tty}).read()


def exec_resize(engine: Engine, exec_id: str, rows: int, columns: int) -> None:
    engine.call("POST", f"/exec/{exec_id}/resize", {"h": str(rows), "w": str(columns)}).read()


def exec_detail(engine: Engine, exec_id: str) -> ExecDetail:
    found: ExecDetail = engine.fetch("GET", f"/exec/{exec_id}/json")
    return found
