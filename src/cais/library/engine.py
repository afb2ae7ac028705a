"""The engine as a library has it: the one that runs on this machine, or one opened in this process.

    async with Engine() as engine:
        result = await engine.run("cais.local/busybox", ["echo", "hi"])

Where a caisd, or another program with this library, has the state folder, its engine is used. Where none has, the
engine is opened here, and serves the socket that caisd would: `cais ps` in a shell, or a second program, joins it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from cais.cli.connect import with_scheme
from cais.client.engine import filters_text
from cais.engine.settings import Settings
from cais.errors import Conflict, InvalidArgument, Unavailable
from cais.library import hosting, model
from cais.library.containers import Containers
from cais.library.errors import CommandFailed
from cais.library.foreground import in_foreground
from cais.library.hosting import Hold
from cais.library.images import Images
from cais.library.model import EngineInfo, Event, Result, Version
from cais.library.options import ContainerOptions, PathLike, Pull
from cais.library.tasks import whole
from cais.library.transport import Transport


class Engine:
    """An engine, for use in one event loop, as an asynchronous context; usable again when that has ended.

    data_root, exec_root: the folders of the engine, both or none. What is not given is taken from CAIS_DATA_ROOT and
    CAIS_EXEC_ROOT, and else /var/lib/cais and /run/cais.
    host: the address of an engine, unix:///PATH or tcp://HOST:PORT. No engine is opened then. What is not given is
    taken from CAIS_HOST, unless folders are given.

    Raises InvalidArgument. Entering the context raises Forbidden (an engine would have to be opened, by another user
    than root), Conflict (the folder is in use by a process that does not answer) and Unavailable.
    """

    def __init__(
        self, *, data_root: PathLike | None = None, exec_root: PathLike | None = None, host: str | None = None
    ) -> None:
        if host is None and data_root is None and exec_root is None:
            host = os.environ.get("CAIS_HOST") or None
        elif host is not None and not (data_root is None and exec_root is None):
            raise InvalidArgument("an engine is found by its host or by its folders, not by both")
        self._settings = None if host is not None else _settings(data_root, exec_root)
        address = hosting.socket_path(self._settings) if self._settings is not None else host or ""
        self._transport = Transport(with_scheme(address), None if self._settings is None else self._find)
        self._finding = asyncio.Lock()
        self._hold: Hold | None = None
        self._is_open = False
        self.images = Images(self._transport)
        self.containers = Containers(self._transport, self.images)

    @property
    def url(self) -> str:
        """Where this engine answers, as CAIS_HOST and DOCKER_HOST take it."""
        return self._transport.url

    @property
    def is_here(self) -> bool:
        """Whether the engine is open in this process."""
        return self._hold is not None

    async def __aenter__(self) -> Self:
        if self._is_open:
            raise Conflict("the engine is open already")
        self._is_open = True
        try:
            if self._settings is not None:
                await self._reach(wait_for_successor=False)
            await self._check()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def run(
        self,
        image: str,
        command: Sequence[str] | None = None,
        *,
        input: bytes | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  it does more than to give up: the container is removed
        check: bool = False,
        remove: bool = True,
        pull: Pull = "missing",
        platform: str = "",
        **options: Unpack[ContainerOptions],
    ) -> Result:
        """Run a command in a new container to its end; its exit code and its output, which is kept in memory.

        input: what the command reads; without it, its standard input is empty.
        timeout: seconds that the container may run. Then, or when the caller is cancelled, it is killed and removed.
        check: raise CommandFailed for another exit code than 0.
        remove: remove the container at its end.
        pull: get the image when it is missing, always, or never.
        Raises NotFound (no such image), InvalidArgument (the command cannot be executed), CommandTimeout, ….
        """
        if input is not None:
            options["stdin"] = True
        if remove:
            options["auto_remove"] = True
        container = await self.containers.create(image, command, pull=pull, platform=platform, **options)
        what = f"container {container.id[:12]} of image {image}"
        result = await in_foreground(container, what, data=input, timeout_seconds=timeout, remove=remove)
        if check and result.exit_code != 0:
            raise CommandFailed(what, result)
        return result

    async def events(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        filters: Mapping[str, Sequence[str]] | None = None,
    ) -> AsyncGenerator[Event, None]:
        """What happens, as it happens, and what has happened `since`; without `until` it does not end by itself."""
        moments = (("since", since), ("until", until))
        query = {name: f"{moment.timestamp():.6f}" for name, moment in moments if moment is not None}
        if filters:
            query["filters"] = filters_text(filters)
        async with self._transport.request("GET", "/events", query) as answer:
            async for message in answer.json_lines():
                yield model.event(message)

    async def info(self) -> EngineInfo:
        """What the engine is and has."""
        return model.engine_info(await self._transport.fetch("GET", "/info"))

    async def version(self) -> Version:
        """Its versions."""
        return model.version(await self._transport.fetch("GET", "/version"))

    def keep(self) -> None:
        """Where the engine is open in this process, it stays open after the context, until `cais.close` or the end of
        the process. To open one takes half a second."""
        if self._settings is not None:
            hosting.REGISTER.keep(self._settings)

    async def _find(self) -> None:
        """Nobody listens any more: whoever had the folder is gone, and somebody else has it by now, or we."""
        if not self._is_open:
            raise Unavailable("the engine is not open: use it inside 'async with'")
        async with self._finding:
            if self._hold is None:
                await self._reach(wait_for_successor=True)

    async def _reach(self, *, wait_for_successor: bool) -> None:
        settings = self._settings
        if settings is not None:
            finding = asyncio.to_thread(hosting.reach, settings, wait_for_successor=wait_for_successor)
            self._hold = await whole(finding, _release)

    async def _check(self) -> None:
        """The engine at the socket must be that of the folder. Raises Conflict."""
        found = (await self.info()).data_root
        if self._settings is not None and found != (wanted := str(self._settings.data_root)):
            raise Conflict(f"the engine at {self.url} has the state folder {found!r}, not {wanted!r}")

    async def _close(self) -> None:
        self._is_open = False
        hold, self._hold = self._hold, None
        await _release(hold)


async def _release(hold: Hold | None) -> None:
    if hold is not None:
        await asyncio.to_thread(hold.release)


def _settings(data_root: PathLike | None, exec_root: PathLike | None) -> Settings:
    if (data_root is None) != (exec_root is None):
        raise InvalidArgument("data_root and exec_root are given together")
    data_root = data_root or os.environ.get("CAIS_DATA_ROOT")
    exec_root = exec_root or os.environ.get("CAIS_EXEC_ROOT")
    if (data_root is None) != (exec_root is None):
        raise InvalidArgument("CAIS_DATA_ROOT and CAIS_EXEC_ROOT are set together")
    if data_root is None or exec_root is None:
        return Settings()
    data, run = Path(data_root).absolute(), Path(exec_root).absolute()
    if data == run:
        raise InvalidArgument("the data root and the exec root must be two folders")
    return Settings(data_root=data, exec_root=run)
