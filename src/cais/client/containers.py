"""The calls of the Engine API about containers and what runs in them."""

from __future__ import annotations

from cais.client.engine import filters_text
from cais.client.http import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cais.client.engine import Engine, Pending
    from cais.client.http import Response
    from cais.client.model import (
        ContainerConfig,
        ContainerDetail,
        ContainerSummary,
        Created,
        ExecConfig,
        ExecDetail,
        Processes,
        WaitResult,
    )


def create(engine: Engine, config: ContainerConfig, name: str = "", platform: str = "") -> Created:
    query = {key: value for key, value in (("name", name), ("platform", platform)) if value}
    created: Created = engine.fetch("POST", "/containers/create", query, config)
    return created


def start(engine: Engine, container: str) -> None:
    engine.call("POST", f"/containers/{quote(container)}/start").read()


def attach(engine: Engine, container: str, *, stdin: bool, stdout: bool, stderr: bool, detach_keys: str) -> Pending:
    """Ask for the container's streams; the answer is an upgraded connection."""
    query = {"stream": "1"}
    query.update((name, "1") for name, wanted in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)) if wanted)
    if detach_keys:
        query["detachKeys"] = detach_keys
    return engine.separately("POST", f"/containers/{quote(container)}/attach", query, upgrade=True)


def wait(engine: Engine, container: str, condition: str = "not-running") -> Pending:
    """Ask for the exit status. The engine answers at once that it listens, and with the status when there is one."""
    return engine.separately("POST", f"/containers/{quote(container)}/wait", {"condition": condition})


def read_wait(answer: Response) -> WaitResult:
    """The exit status that the answer to `wait` ends with."""
    from cais.client.codec import loads  # noqa: PLC0415 -- only here

    result: WaitResult = loads(answer.read())
    return result


def stop(engine: Engine, container: str, timeout_seconds: int | None, signal: str) -> None:
    query = {"t": str(timeout_seconds)} if timeout_seconds is not None else {}
    if signal:
        query["signal"] = signal
    engine.call("POST", f"/containers/{quote(container)}/stop", query).read()


def kill(engine: Engine, container: str, signal: str = "") -> None:
    engine.call("POST", f"/containers/{quote(container)}/kill", {"signal": signal} if signal else None).read()


def remove(engine: Engine, container: str, *, force: bool, volumes: bool, link: bool) -> None:
    query = {name: "1" for name, wanted in (("force", force), ("v", volumes), ("link", link)) if wanted}
    engine.call("DELETE", f"/containers/{quote(container)}", query).read()


def resize(engine: Engine, container: str, rows: int, columns: int) -> None:
    engine.call("POST", f"/containers/{quote(container)}/resize", {"h": str(rows), "w": str(columns)}).read()


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
    found: ContainerDetail = engine.fetch("GET", f"/containers/{quote(container)}/json")
    return found


def processes(engine: Engine, container: str, ps_arguments: str) -> Processes:
    query = {"ps_args": ps_arguments} if ps_arguments else None
    found: Processes = engine.fetch("GET", f"/containers/{quote(container)}/top", query)
    return found


def logs(engine: Engine, container: str, query: Mapping[str, str]) -> Response:
    return engine.call("GET", f"/containers/{quote(container)}/logs", query)


def exec_create(engine: Engine, container: str, config: ExecConfig) -> str:
    """The id of a command that can be started in a running container."""
    created: Created = engine.fetch("POST", f"/containers/{quote(container)}/exec", None, config)
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
