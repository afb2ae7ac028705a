"""Containers: made, listed, and what can be done with one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self, Unpack

from cais.client.codec import loads
from cais.client.engine import filters_text
from cais.client.http import quote
from cais.errors import CaisError, Conflict, InvalidArgument, NotFound, Unavailable
from cais.library import model
from cais.library.errors import CommandFailed, Lost
from cais.library.images import Images
from cais.library.model import Change, ContainerInfo, ContainerSummary, Output, Result, Stats
from cais.library.options import ContainerOptions, Pull, creation, environment, size_bytes, words
from cais.library.streams import Attached, Collector, outputs
from cais.library.tasks import insist, whole
from cais.library.transport import Answer, Transport

Condition = Literal["not-running", "next-exit", "removed"]

_PAUSE_SECONDS = 0.02
_ATTEMPTS = 5


class Container:
    """One container. As a context manager it is removed at the end of the context, whether or not it runs.

    Each call raises NotFound when the container is gone, and Conflict when its state stands against it.
    """

    def __init__(self, transport: Transport, identifier: str, warnings: Sequence[str] = ()) -> None:
        self._transport = transport
        self.id = identifier
        self.warnings = tuple(warnings)

    def __repr__(self) -> str:
        return f"Container({self.id[:12]!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await insist(discard(self))

    async def start(self) -> None:
        """Start it. One that runs is left as it is. Raises InvalidArgument when its command cannot be executed."""
        await self._post("/start")

    async def stop(self, timeout: int | None = None, signal: str = "") -> None:  # noqa: ASYNC109  the engine's, in seconds
        """Ask it to end, and kill it after `timeout` seconds: None is its own time, 10 unless set; -1 is never."""
        await self._post("/stop", _ending(timeout, signal))

    async def restart(self, timeout: int | None = None, signal: str = "") -> None:  # noqa: ASYNC109
        """Stop it, as `stop` does, where it runs, and start it."""
        await self._post("/restart", _ending(timeout, signal))

    async def kill(self, signal: str = "SIGKILL") -> None:
        """Send a signal to its first process."""
        await self._post("/kill", {"signal": signal})

    async def pause(self) -> None:
        """Freeze all its processes."""
        await self._post("/pause")

    async def unpause(self) -> None:
        """Have its processes go on."""
        await self._post("/unpause")

    async def rename(self, name: str) -> None:
        """Give it another name."""
        await self._post("/rename", {"name": name})

    async def update(
        self,
        *,
        memory: int | str | None = None,
        cpus: float | None = None,
        pids_limit: int | None = None,
        host_config: Mapping[str, object] | None = None,
    ) -> list[str]:
        """Change its limits, also while it runs; `host_config` has further ones by the API's names. The warnings."""
        body: dict[str, object] = dict(host_config or {})
        if memory is not None:
            body["Memory"] = size_bytes(memory)
        if cpus is not None:
            body["NanoCpus"] = round(cpus * 1_000_000_000)
        if pids_limit is not None:
            body["PidsLimit"] = pids_limit
        answer = await self._transport.fetch("POST", self._path("/update"), content=body)
        return list(answer.get("Warnings") or ())

    async def remove(self, *, force: bool = False) -> None:
        """Remove it; `force` kills it first where it runs."""
        await self._transport.fetch("DELETE", self._path(), {"force": "1"} if force else None)

    async def wait(self, condition: Condition = "not-running") -> int:
        """Wait until it does not run (or ends the next time, or is removed); its exit code.

        An engine that goes away meanwhile makes no difference when another takes over its containers.
        """
        while True:
            try:
                answer = await self._transport.fetch("POST", self._path("/wait"), {"condition": condition})
                return int(answer["StatusCode"])
            except Lost:
                await asyncio.sleep(_PAUSE_SECONDS)

    @asynccontextmanager
    async def ending(self, condition: Condition = "not-running") -> AsyncIterator[Callable[[], Awaitable[int]]]:
        """As `wait`, in two steps: inside the context the engine watches for the end, so none is missed, however soon
        it comes; what the context gives waits for it."""
        async with self._watching("/wait", {"condition": condition}) as answer:

            async def exit_code() -> int:
                try:
                    return int(loads(await answer.read())["StatusCode"])
                except Lost:
                    pass
                try:
                    return await self.wait("removed" if condition == "removed" else "not-running")
                except NotFound:
                    raise Unavailable(f"the exit code of container {self.id[:12]} is lost with its engine") from None

            yield exit_code

    async def inspect(self) -> ContainerInfo:
        """What it is and how it does."""
        return model.container_info(await self._transport.fetch("GET", self._path("/json")))

    async def stats(self) -> Stats:
        """What it uses; takes a second, over which the use of processors is measured."""
        return model.stats(await self._transport.fetch("GET", self._path("/stats"), {"stream": "0"}))

    async def processes(self) -> list[dict[str, str]]:
        """Its processes, each as the columns of `ps`, with the pids of the host."""
        answer = await self._transport.fetch("GET", self._path("/top"))
        return [dict(zip(answer["Titles"], row, strict=False)) for row in answer["Processes"] or ()]

    async def changes(self) -> list[Change]:
        """What differs from the files of its image."""
        return [model.change(item) for item in await self._transport.fetch("GET", self._path("/changes")) or ()]

    async def logs(
        self,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        timestamps: bool = False,
        stdout: bool = True,
        stderr: bool = True,
    ) -> AsyncGenerator[Output, None]:
        """What it has written, from the log; with `follow` also what it writes until its end."""
        query = {name: "1" for name, wanted in (("stdout", stdout), ("stderr", stderr), ("follow", follow)) if wanted}
        query |= {"timestamps": "1"} if timestamps else {}
        query |= {"tail": str(tail)} if tail is not None else {}
        query |= {name: _seconds(moment) for name, moment in (("since", since), ("until", until)) if moment}
        async with self._transport.request("GET", self._path("/logs"), query) as answer:
            async for piece in outputs(answer.blocks(), multiplexed=answer.is_multiplexed):
                yield piece

    async def export(self) -> AsyncGenerator[bytes, None]:
        """Its files, as a tar archive in pieces."""
        async with self._transport.request("GET", self._path("/export")) as answer:
            async for block in answer.blocks():
                yield block

    @asynccontextmanager
    async def attach(self, *, stdin: bool = False, logs: bool = False) -> AsyncIterator[Attached]:
        """Its streams from now on; before `start` that is from the first byte. `logs`: what was written earlier comes
        first. Input reaches a container that was made with `stdin=True`."""
        query = {"stream": "1", "stdout": "1", "stderr": "1"}
        query |= {name: "1" for name, wanted in (("stdin", stdin), ("logs", logs)) if wanted}
        async with self._watching("/attach", query, upgrade=True) as answer:
            yield Attached(answer)

    async def exec(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        user: str = "",
        workdir: str = "",
        privileged: bool = False,
        tty: bool = False,
        input: bytes | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  it does more than to give up: the process is killed
        check: bool = False,
    ) -> Result:
        """Run a further command in it. When `timeout` is over, or the caller is cancelled, the command is killed.

        A command that cannot be executed ends with exit code 126 or 127 and the reason as its output, as in Docker.
        Raises CommandTimeout, and with `check` CommandFailed.
        """
        config: dict[str, Any] = {
            "Cmd": words(command),
            "Env": environment(env or {}),
            "User": user,
            "WorkingDir": workdir,
            "Privileged": privileged,
            "Tty": tty,
            "AttachStdin": input is not None,
            "AttachStdout": True,
            "AttachStderr": True,
        }
        path = f"/exec/{(await self._transport.fetch('POST', self._path('/exec'), content=config))['Id']}"
        collector, what = Collector(), f"command {list(command)} in container {self.id[:12]}"
        try:
            async with asyncio.timeout(timeout):
                start = {"Detach": False, "Tty": tty}
                async with self._transport.request("POST", f"{path}/start", content=start, upgrade=True) as answer:
                    await collector.communicate(Attached(answer), input)
                result = collector.result(await self._exec_exit_code(path))
        except BaseException as error:
            with suppress(CaisError):
                await insist(self._transport.fetch("POST", f"/cais{path}/kill"))
            if isinstance(error, TimeoutError) and timeout is not None:
                raise collector.timeout(what, timeout) from None
            raise
        if check and result.exit_code != 0:
            raise CommandFailed(what, result)
        return result

    async def _exec_exit_code(self, path: str) -> int:
        """The exit code of a command whose output has ended; it may have closed its output and gone on."""
        pause = _PAUSE_SECONDS
        while True:
            answer = await self._transport.fetch("GET", f"{path}/json")
            if not answer["Running"] and answer["ExitCode"] is not None:
                return int(answer["ExitCode"])
            await asyncio.sleep(pause)
            pause = min(2 * pause, 1.0)

    @asynccontextmanager
    async def _watching(self, verb: str, query: Mapping[str, str], *, upgrade: bool = False) -> AsyncIterator[Answer]:
        """A request that changes nothing: an engine that goes away before it has answered leaves it to the next."""
        attempts = 1
        while True:
            async with AsyncExitStack() as stack:
                asking = self._transport.request("POST", self._path(verb), query, upgrade=upgrade)
                try:
                    answer = await stack.enter_async_context(asking)
                except Unavailable:
                    if attempts == _ATTEMPTS:
                        raise
                else:
                    yield answer
                    return
            attempts += 1
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _post(self, verb: str, query: Mapping[str, str] | None = None) -> None:
        await self._transport.fetch("POST", self._path(verb), query)

    def _path(self, verb: str = "") -> str:
        return f"/containers/{self.id}{verb}"


class Containers:
    """The containers of an engine."""

    def __init__(self, transport: Transport, images: Images) -> None:
        self._transport = transport
        self._images = images

    async def create(
        self,
        image: str,
        command: Sequence[str] | None = None,
        *,
        pull: Pull = "missing",
        platform: str = "",
        **options: Unpack[ContainerOptions],
    ) -> Container:
        """Make a container, which does not run yet. The image is pulled when it is missing, always, or never.

        Raises NotFound when there is no such image, Conflict when the name is taken.
        """
        if pull not in {"missing", "always", "never"}:
            raise InvalidArgument(f"invalid pull option: {pull!r}: must be one of 'always', 'missing' or 'never'")
        body = creation(image, command, options)
        query = {key: value for key, value in (("name", options.get("name", "")), ("platform", platform)) if value}
        if pull == "always":
            await self._images.pull(image, platform=platform)
        try:
            return await self._create(query, body)
        except NotFound:
            if pull != "missing":
                raise
        await self._images.pull(image, platform=platform)
        return await self._create(query, body)

    async def get(self, reference: str) -> Container:
        """The container with this name, id or beginning of an id. Raises NotFound."""
        if not reference.strip():
            raise InvalidArgument("invalid container name or ID: value is empty")
        found = await self._transport.fetch("GET", f"/containers/{quote(reference)}/json")
        return Container(self._transport, found["Id"])

    async def list(
        self, *, all: bool = False, filters: Mapping[str, Sequence[str]] | None = None
    ) -> list[ContainerSummary]:
        """Those that run, or all; filters are Docker's: {"label": ["app=web"], "status": ["exited"]}."""
        query = {"all": "1"} if all else {}
        if filters:
            query["filters"] = filters_text(filters)
        return [model.container_summary(item) for item in await self._transport.fetch("GET", "/containers/json", query)]

    async def _create(self, query: Mapping[str, str], body: object) -> Container:
        return await whole(self._post(query, body), discard)

    async def _post(self, query: Mapping[str, str], body: object) -> Container:
        made = await self._transport.fetch("POST", "/containers/create", query, content=body)
        return Container(self._transport, made["Id"], made["Warnings"] or ())


async def discard(container: Container) -> None:
    """Remove a container unless it is gone, or just going."""
    with suppress(NotFound, Conflict):
        await container.remove(force=True)


def _ending(timeout_seconds: int | None, signal: str) -> dict[str, str]:
    query = {"t": str(timeout_seconds)} if timeout_seconds is not None else {}
    return {**query, "signal": signal} if signal else query


def _seconds(moment: datetime) -> str:
    return f"{moment.timestamp():.6f}"
