"""The engine: everything that a container engine does, without any HTTP.

    async with Engine(Settings(data_root, exec_root)) as engine:
        container, warnings = await engine.containers.create(request, "name")
        await engine.lifecycle.start(container)

Opening takes the lock on the state folder, reads what is stored, finds running containers again and sweeps
what a crash left. Closing lets running containers run.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from cais.distribution.reference import Reference
from cais.engine import attach, changes, export, logs, recovery, seccomp, starting
from cais.engine.adjust import Adjustments
from cais.engine.container import Condition, Container
from cais.engine.containers import Containers
from cais.engine.copying import Copying
from cais.engine.events import EventBus
from cais.engine.execs import Execs
from cais.engine.filters import Filters
from cais.engine.health import HealthChecks
from cais.engine.host import Host, read_host
from cais.engine.image import Image, ImageUser
from cais.engine.image_commit import CommitRequest, draft
from cais.engine.images import Images
from cais.engine.lifecycle import Lifecycle
from cais.engine.models import CreateRequest
from cais.engine.network_changes import NetworkChanges
from cais.engine.network_endpoints import Endpoints
from cais.engine.networks import Networks
from cais.engine.prune import Pruned, Pruning
from cais.engine.settings import Settings
from cais.engine.statefolder import StateFolder
from cais.engine.tasks import Tasks
from cais.engine.text import reason
from cais.engine.trash import Trash
from cais.engine.volume_backup import VolumeBackup
from cais.engine.volumes import Volumes
from cais.engine.work import to_the_end
from cais.errors import CaisError, Conflict, Forbidden, Internal, Unavailable, Unsupported
from cais.network.watch import Watch
from cais.runtime.cgroups import CgroupError, open_hierarchy
from cais.runtime.client import Runtime
from cais.runtime.errors import StartFailed
from cais.storage.database import Database

if TYPE_CHECKING:
    from cais.engine.explain import Sources
    from cais.engine.explain_models import Explanation, RunPlan
    from cais.engine.explain_run import RunOptions

_log = logging.getLogger("cais.engine")

# How long a closing engine waits for the starts that its clients have attached for, and how often it looks
_START_SECONDS, _START_PAUSE_SECONDS = 2.0, 0.01


class Engine:
    """One engine on one pair of folders, in one event loop; usable once, as an asynchronous context."""

    host: Host
    id: str

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.events = EventBus()
        self.database = Database()
        self.images = Images(self.database, settings.data_root, self.events, settings.registries)
        self.runtime = Runtime(settings.exec_root)
        self._tasks = Tasks()
        self._folder = StateFolder(settings)
        self._is_closing = False
        self._trash = Trash(settings.trash)
        self.volumes = Volumes(settings, self.database, self.events, self._trash)
        self._stack = AsyncExitStack()
        self.networks = Networks(settings, self.database, self.events)
        self.endpoints: Endpoints
        self.network_changes: NetworkChanges
        self.containers: Containers
        self.lifecycle: Lifecycle
        self.adjust: Adjustments
        self.copying: Copying
        self.backup: VolumeBackup
        self.execs: Execs
        self._health: HealthChecks

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def finish_starts(self) -> None:
        """Before it closes: gives those that have attached to what is yet to run a while to start it.

        They are known here alone; a client that comes from now on is told to ask the next engine.
        """
        deadline = time.monotonic() + _START_SECONDS
        while any(item.waiting_clients for item in self.containers) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_START_PAUSE_SECONDS)
        self._is_closing = True

    def check_attachable(self, container: Container, reference: str) -> None:
        """Raises Conflict, and Unavailable for what would wait for a start that this engine does not see any more."""
        if self._is_closing and not container.running:
            raise Unavailable("the engine is closing")
        attach.check_attachable(container, reference)

    async def settle(self) -> None:
        """Before it closes: begins nothing more by itself, and finishes what it has begun, such as removals.

        So whoever waits for an end is told it either by this engine or by the next.
        """
        self.lifecycle.close()
        await self._tasks.settle()

    def disown(self) -> None:
        """In a process that was forked from the one that opened it: leaves the state folder to that one alone."""
        self._folder.disown()

    async def rename(self, container: Container, name: str) -> None:
        """Gives a container another name, by which others on its networks find it.

        Raises InvalidArgument, Conflict, NotFound.
        """
        await self.containers.rename(container, name)
        self.endpoints.renamed(container)

    async def attach(self, container: Container, connection: socket.socket, options: attach.AttachOptions) -> None:
        """Serves a client on its connection, which is taken over."""
        history = None
        if options.logs:
            wanted = logs.LogOptions(stdout=options.stdout, stderr=options.stderr)
            framed = not (container.record.config.Tty or options.raw)
            history = logs.History(self._log_path(container), wanted, framed)
        try:
            await attach.attach(container, connection, options, self.events, history)
        finally:
            if history is not None:
                history.close()

    def logs(self, container: Container, options: logs.LogOptions) -> AsyncGenerator[bytes, None]:
        """The log of a container, framed unless it has a terminal. Raises Unsupported when it keeps none."""
        if container.record.host_config.log_config.Type == "none":
            raise Unsupported("configured logging driver does not support reading")
        framed = not container.record.config.Tty
        return logs.read(
            self._log_path(container), options, framed, ended=lambda: container.wait(Condition.NOT_RUNNING)
        )  # fmt: skip

    async def changes(self, container: Container) -> list[changes.Change]:
        """What the container has changed of its image's files. Raises Internal when it cannot be read."""
        try:
            return await asyncio.to_thread(changes.changes, self._upper(container), self._lower(container))
        except OSError as error:
            raise Internal(f"cannot read the changes of container {container.id}: {reason(error)}") from error

    async def export(self, container: Container) -> AsyncGenerator[bytes, None]:
        """The container's file system as a tar archive. Raises Internal when it cannot be begun."""
        archive = await export.export(self._upper(container), self._lower(container))
        self.events.emit("container", "export", container.id, container.event_attributes())
        return archive

    async def commit(self, container: Container, request: CommitRequest, reference: Reference | None) -> Image:
        """An image of what the container has changed, named where a name is given.

        Raises InvalidArgument for changes that make no sense, Conflict for a container that is being removed.
        """
        wanted = draft(request, container.record.config)
        base = self.images.get(container.record.image_id)

        def check() -> None:
            if container.removing or container.removed:  # half of its files may be missing
                raise Conflict(f"You cannot commit container {container.id} which is being removed")

        check()
        pausing = request.pause and container.running and not container.paused
        if pausing:
            await self.adjust.pause(container)
        try:
            image = await self.images.commit(wanted, base, self._upper(container), check)
        finally:
            if pausing and container.paused:
                with suppress(Conflict):  # it has ended
                    await to_the_end(self.adjust.unpause(container))
        if reference is not None:
            image = await self.images.tag(image, reference)
        attributes = container.event_attributes(
            comment=request.comment, imageID=image.id, imageRef=reference.familiar if reference else ""
        )
        self.events.emit("container", "commit", container.id, attributes)
        return image

    async def explain(self, container: Container) -> "Explanation":
        """What there is to say of a container. Raises NotFound when it is removed meanwhile."""
        from cais.engine import explain  # noqa: PLC0415  a megabyte that few engines ever need

        return await explain.explain(container, self._sources())

    async def explain_run(self, request: CreateRequest, options: "RunOptions") -> "RunPlan":
        """What running a container would do; nothing is changed, the request excepted. Raises InvalidArgument."""
        from cais.engine import explain_run  # noqa: PLC0415  as above

        return await explain_run.explain_run(request, options, self._sources())

    async def prune(self, filters: Filters) -> Pruned:
        """Removes the containers that don't run and that the filters let through. Raises InvalidArgument, Conflict."""
        return await self._pruning.prune(filters)

    def _sources(self) -> "Sources":
        from cais.engine.explain import Sources  # noqa: PLC0415  as above

        return Sources(self.settings, self.host, self.containers, self.images)

    def _upper(self, container: Container) -> Path:
        return self.containers.folder(container.id) / "rw" / "diff"

    def _lower(self, container: Container) -> list[str]:
        return list(self.containers.lower_dirs(self.images.get(container.record.image_id)))

    async def _open(self, stack: AsyncExitStack) -> None:
        if os.geteuid() != 0:
            raise Forbidden("the engine must run as root")
        settings = self.settings
        stack.enter_context(self._folder)  # first of all: those that wait for a folder ask again and again
        self.host = await asyncio.to_thread(read_host)
        self.id = self._folder.engine_id()
        stack.push_async_callback(self.database.close)
        await self.database.open(settings.database)
        self._trash.open()
        stack.push_async_callback(self._trash.close)
        stack.push_async_callback(self.images.close)
        await self.images.open()
        await self.networks.load(self.id)
        stack.push_async_callback(self._close_networks)
        self._wire()
        await self.volumes.open()
        stack.push_async_callback(self.containers.close)
        await self.containers.open()
        stack.push_async_callback(self.endpoints.close)
        stack.push_async_callback(asyncio.to_thread, _remove_empty_cgroup, settings.cgroup_parent)
        stack.push_async_callback(self._let_go)
        stack.push_async_callback(self._tasks.close)
        stack.push_async_callback(self.runtime.close)
        spawner = asyncio.create_task(self._open_runtime(), name="open the runtime")
        try:
            await recovery.recover(settings, self.containers, self.lifecycle, self.execs, self._trash)
            await self.volumes.settle()
        finally:
            await spawner
        await self.networks.open(self.endpoints.forwards)
        await self.endpoints.restore()
        watch = Watch(self._repair_network)
        stack.push_async_callback(watch.close)
        stack.push_async_callback(self._quiet)
        self.lifecycle.open()
        self._tasks.start(self._warm(), "compile the default seccomp policy")

    def _wire(self) -> None:
        self.containers = Containers(
            settings=self.settings, host=self.host, database=self.database, images=self.images,
            volumes=self.volumes, events=self.events, trash=self._trash, networks=self.networks,
        )  # fmt: skip
        self.endpoints = Endpoints(
            networks=self.networks, containers=self.containers, runtime=self.runtime, events=self.events,
            tasks=self._tasks,
        )  # fmt: skip
        self.execs = Execs(self.settings, self.host, self.containers, self.events, self.endpoints.link_variables)
        self._health = HealthChecks(self.containers, self.execs, self.events, self._tasks)
        self.lifecycle = Lifecycle(
            settings=self.settings, host=self.host, containers=self.containers, images=self.images,
            runtime=self.runtime, events=self.events, tasks=self._tasks, watcher=self._health,
            volumes=self.volumes, endpoints=self.endpoints,
        )  # fmt: skip
        self._health.on_unhealthy = self.lifecycle.restart_unhealthy
        self.adjust = Adjustments(
            settings=self.settings, host=self.host, containers=self.containers, events=self.events,
            watcher=self._health,
        )  # fmt: skip
        self.copying = Copying(
            settings=self.settings, containers=self.containers, images=self.images, events=self.events
        )
        scratch = str(self.settings.trash)
        self.backup = VolumeBackup(self.volumes, self.containers, self.adjust, self.events, scratch)
        self.images.users = self._users_of
        self.volumes.users = self._users_of_volume
        self.network_changes = NetworkChanges(self.networks, self.endpoints, self.containers, self.events)
        self._pruning = Pruning(self.containers, self.lifecycle, self.events)

    async def _open_runtime(self) -> None:
        try:
            await self.runtime.open()
        except StartFailed as error:
            raise Internal(f"the runtime does not start: {error.message}") from error

    async def _warm(self) -> None:
        try:
            await asyncio.to_thread(seccomp.warm, self.settings.exec_root)
        except CaisError as error:
            _log.warning("%s", error)

    async def _quiet(self) -> None:
        """Nothing is begun any more by itself: no restart, no health check."""
        self.lifecycle.close()
        await self._health.close()

    async def _repair_network(self, gone: set[str]) -> None:
        await self.networks.repair()
        if gone:
            await self.endpoints.repair(gone)

    async def _close_networks(self) -> None:
        await self.networks.close(any(network.members for network in self.networks))

    async def _let_go(self) -> None:
        """Drops the connections to monitors and waiting clients; the containers run on."""
        for container in self.containers:
            container.drop_waiting_clients()
            if container.monitor is not None:
                container.monitor.detach()

    def _users_of(self, image_id: str) -> list[ImageUser]:
        return [
            ImageUser(container.id, container.name, container.active)
            for container in self.containers
            if container.record.image_id == image_id
            or any(mount.options.image_id == image_id for mount in container.record.mounts)
        ]

    def _users_of_volume(self, name: str) -> list[str]:
        return [
            container.id
            for container in self.containers
            if any(mount.Type == "volume" and mount.Name == name for mount in container.record.mounts)
        ]

    def _log_path(self, container: Container) -> Path:
        return starting.log_file(self.containers.folder(container.id))


def _remove_empty_cgroup(parent: str) -> None:
    """Removes the group above all containers when none of them runs."""
    try:
        hierarchy = open_hierarchy()
        if not hierarchy.children(parent):
            hierarchy.open(parent).remove()
    except CgroupError as error:
        _log.info("the control group %s stays: %s", parent, error)
