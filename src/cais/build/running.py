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
from cais.engine import etcfiles, names, spec, starting, validation
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
        self._host_configs = {wanted: self._host_config(wanted) for wanted in ("default",)}

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
        bundle = self.bundle(container_id)
        try:
            request = await asyncio.to_thread(self._prepare, container_id, command, lower, step)
            return await self._run(request, on_output)
        finally:
            await asyncio.shield(asyncio.to_thread(remove_tree, bundle))

    async def _run(self, request: StartRequest, on_output: OnOutput) -> int:
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
            try:
                await _read_frames(mine, on_output)
                return await ended
            except BaseException:
                await asyncio.shield(_kill(monitor, ended))
                raise

    def _prepare(self, container_id: str, command: Command, lower: Sequence[str], step: StepFolder) -> StartRequest:
        """Write what the runtime reads. Blocks. Raises: InvalidArgument, Unavailable."""
        engine = self._engine
        record = self._record(container_id, command)
        layers = (*lower, str(engine.settings.init_layer))
        bundle = self.bundle(container_id)
        try:
            bundle.mkdir(mode=0o700, parents=True, exist_ok=True)
            etc = etcfiles.write(record, step.path)
            config = spec.build(record, engine.host, etc, engine.settings.cgroup_parent)
            taken = {mount["destination"] for mount in command.mounts}
            config["mounts"] = [m for m in config["mounts"] if m["destination"] not in taken] + [*command.mounts]
            (bundle / "config.json").write_bytes(spec.encode(config))
        except OSError as error:
            raise Unavailable(f"prepare a command of the build: {reason(error)}") from error
        return StartRequest(
            id=container_id,
            bundle=str(bundle),
            rootfs=RootFilesystem(lower=layers, upper=str(step.diff), work=str(step.work), volatile=True),
            exit_file=str(step.path / "exit.json"),
            seccomp=starting.seccomp_program(record.host_config, engine.host, engine.settings),
        )

    def _record(self, container_id: str, command: Command) -> Record:
        hostname = container_id[:12]
        host_config = self._host_configs.get(command.network)
        if host_config is None:
            host_config = self._host_configs[command.network] = self._host_config(command.network)
        if host_config.NetworkMode == "host":
            hostname = self._engine.host.hostname
        path, *arguments = command.arguments
        return Record(
            id=container_id,
            name=container_id,
            created_ns=0,
            image_id="",
            path=path,
            args=arguments,
            config=ContainerConfig(
                Hostname=hostname, Env=list(command.environment), WorkingDir=command.folder, User=command.user
            ),
            host_config=host_config,
        )

    def _host_config(self, wanted: str) -> HostConfig:
        """How commands with that network are confined and limited."""
        options, limits = self._options, self._options.limits
        mode = network_mode(wanted, options)
        if mode.startswith("container:"):
            raise InvalidArgument(f"the network {mode} is not supported for builds by Cais")
        request = CreateRequest(
            Image="build",
            host_config=HostConfig(
                NetworkMode=mode,
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
        return request.host_config


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
