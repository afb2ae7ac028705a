"""RUN: a command in a container of its own, started through the runtime without a container of the engine's.

It is confined as any container is. Its root are the layers of the stage with the step's folder on top, where everything
that it writes stays when it is gone. The one place where its network is chosen is `network_mode`.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cais.build.options import BuildOptions
from cais.build.rootfs import StepFolder
from cais.engine import etcfiles, joining, names, network_requests, spec, starting, validation
from cais.engine.container import Container
from cais.engine.engine import Engine
from cais.engine.models import ContainerConfig, CreateRequest, HostConfig, Record
from cais.engine.text import reason
from cais.errors import InvalidArgument, Unavailable
from cais.runtime.client import Monitor
from cais.runtime.errors import StartFailed
from cais.runtime.messages import Attachment, Event, Exited, Lost, RootFilesystem, StartRequest
from cais.storage.trees import remove_tree

Json = dict[str, Any]
OnOutput = Callable[[str, bytes], None]
"""Is given `stdout` or `stderr`, and what was written there."""

_STREAMS: Final = {1: "stdout", 2: "stderr"}
_KILL: Final = 9
_LOST_EXIT_CODE: Final = 137
_END_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What is to be run. mounts: OCI mounts beside a container's own. network: `default`, `none` or `host`."""

    arguments: Sequence[str]
    environment: Sequence[str]
    user: str
    folder: str
    network: str = "default"
    mounts: Sequence[Json] = ()


def network_mode(wanted: str, options: BuildOptions) -> str:
    """The network of a command: what its RUN says, else what the whole build was given.

    Raises: InvalidArgument for a RUN that wants the host's, where whoever builds has not given it to the build.
    """
    given = options.network or "default"
    if wanted == "host" != given:
        raise InvalidArgument("granting entitlement network.host is not allowed by build daemon configuration")
    return given if wanted == "default" else wanted


class Runner:
    """Runs the commands of one build."""

    def __init__(self, engine: Engine, options: BuildOptions) -> None:
        """Raises: InvalidArgument, Unsupported for limits that make no sense, or that this host does not have."""
        self._engine = engine
        self._options = options
        self._requests = {"default": self._request("default")}

    def new_id(self) -> str:
        """An id for a container."""
        return names.new_id()

    def bundle(self, container_id: str) -> Path:
        """The run folder of a container, which does not survive."""
        return self._engine.settings.bundles / container_id

    async def run(
        self, container_id: str, command: Command, lower: Sequence[str], step: StepFolder, on_output: OnOutput
    ) -> int:
        """Run a command to its end; returns its exit code. Cancelled, it kills it, and nothing is left.

        lower: the layers, topmost first. Raises: what starting a container does.
        """
        engine = self._engine
        container = Container(self._record(container_id, command))
        try:
            joined = joining.join(container, engine.containers, engine.images.folders_of)
            network = engine.endpoints.begin(container)
            around = engine.endpoints.surroundings(container)
            seccomp = await asyncio.to_thread(self._prepare, container.record, command, step, around, joined)
            request = StartRequest(
                id=container_id,
                bundle=str(self.bundle(container_id)),
                rootfs=RootFilesystem(
                    lower=(*lower, str(engine.settings.init_layer)), upper=str(step.diff), work=str(step.work),
                    volatile=True,
                ),
                exit_file=str(step.path / "exit.json"),
                seccomp=seccomp,
                network=None if network is None else network.to_json(),
            )  # fmt: skip
            return await self._run(container, request, on_output)
        finally:
            engine.endpoints.end(container)
            await asyncio.shield(asyncio.to_thread(remove_tree, self.bundle(container_id)))

    async def _run(self, container: Container, request: StartRequest, on_output: OnOutput) -> int:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[int] = loop.create_future()

        def on_event(_: Monitor, event: Event) -> None:
            if isinstance(event, Exited | Lost) and not ended.done():
                ended.set_result(event.exit_code if isinstance(event, Exited) else _LOST_EXIT_CODE)

        mine, theirs = socket.socketpair()
        mine.setblocking(False)
        with mine:
            with theirs:
                try:
                    client = Attachment(theirs.fileno(), stdin=False, framed=True)
                    monitor = await self._engine.runtime.start(request, [client], on_event)
                except StartFailed as error:
                    raise starting.translate(error) from error
            container.monitor = monitor
            self._engine.endpoints.started(container)
            try:
                await _read_frames(mine, on_output)
                return await ended
            except BaseException:
                await asyncio.shield(_kill(monitor, ended))
                raise

    def _prepare(
        self, record: Record, command: Command, step: StepFolder, around: etcfiles.Surroundings, joined: spec.Joined
    ) -> str | None:
        """Write what the runtime reads; returns the policy of system calls. Blocks.

        Raises: InvalidArgument, Unavailable.
        """
        engine = self._engine
        bundle = self.bundle(record.id)
        try:
            bundle.mkdir(mode=0o700, parents=True, exist_ok=True)
            if joined.etc is None:
                etcfiles.write(record, step.path, around)
            etc = etcfiles.locations(joined.etc or step.path)
            config = spec.build(record, engine.host, etc, engine.settings.cgroup_parent, joined)
            taken = {mount["destination"] for mount in command.mounts}
            config["mounts"] = [m for m in config["mounts"] if m["destination"] not in taken] + [*command.mounts]
            (bundle / "config.json").write_bytes(spec.encode(config))
        except OSError as error:
            raise Unavailable(f"prepare a command of the build: {reason(error)}") from error
        return starting.seccomp_program(record.host_config, engine.host, engine.settings)

    def _record(self, container_id: str, command: Command) -> Record:
        request = self._requests.get(command.network)
        if request is None:
            request = self._requests[command.network] = self._request(command.network)
        host_config = request.host_config
        on_host = host_config.NetworkMode == "host"
        path, *arguments = command.arguments
        return Record(
            id=container_id,
            name=f"build-{container_id[:12]}",
            created_ns=0,
            image_id="",
            path=path,
            args=arguments,
            config=ContainerConfig(
                Hostname=self._engine.host.hostname if on_host else container_id[:12],
                Env=list(command.environment), WorkingDir=command.folder, User=command.user,
            ),
            host_config=host_config,
            endpoints=network_requests.endpoints(request, self._engine.networks),
        )  # fmt: skip

    def _request(self, wanted: str) -> CreateRequest:
        """How commands with that network are confined and limited."""
        options, limits = self._options, self._options.limits
        request = CreateRequest(
            Image="build",
            host_config=HostConfig(
                NetworkMode=network_mode(wanted, options),
                ExtraHosts=list(options.extra_hosts) or None,
                Memory=limits.memory_bytes,
                MemorySwap=limits.memory_swap_bytes,
                CpuShares=limits.cpu_shares,
                CpuPeriod=limits.cpu_period,
                CpuQuota=limits.cpu_quota,
                CpusetCpus=limits.cpuset_cpus,
                CpusetMems=limits.cpuset_mems,
                ShmSize=limits.shm_bytes or self._engine.settings.shm_size_bytes,
                Ulimits=list(limits.ulimits) or None,
                CgroupParent=limits.cgroup_parent,
                AutoRemove=True,
            ),
        )
        validation.normalise(request, self._engine.host)
        joining.resolve(request.host_config, self._engine.containers)
        return request


async def _read_frames(stream: socket.socket, on_output: OnOutput) -> None:
    """Pass on what the command writes, until it has ended."""
    loop = asyncio.get_running_loop()
    waiting = bytearray()
    while data := await loop.sock_recv(stream, 1 << 16):
        waiting += data
        while len(waiting) >= 8:
            end = 8 + int.from_bytes(waiting[4:8])
            if len(waiting) < end:
                break
            on_output(_STREAMS.get(waiting[0], "stdout"), bytes(waiting[8:end]))
            del waiting[:end]


async def _kill(monitor: Monitor, ended: "asyncio.Future[int]") -> None:
    """End a command whose build is given up, and wait until it has."""
    with contextlib.suppress(StartFailed):
        await monitor.signal(_KILL)
    await asyncio.wait({ended}, timeout=_END_SECONDS)
