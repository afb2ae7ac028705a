"""One stage of a build, from its FROM to its last instruction: each takes the state that the one before has left."""

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol, TypeVar

from msgspec import structs

from cais.build import instructions as kinds
from cais.build import mounting, rootfs, transfer, trees
from cais.build.cachemounts import CacheMounts
from cais.build.copying import Copying, Look
from cais.build.dockerfile import Dockerfile, parse_trigger
from cais.build.errors import WordError
from cais.build.events import Finished, Output, Started, Tell
from cais.build.expansion import PROXY_ARGS, declared, expand_instruction
from cais.build.failures import CommandFailed
from cais.build.graph import SCRATCH, StagePlan
from cais.build.instructions import Instruction
from cais.build.making import Made, Maker
from cais.build.mounting import Mounted, Mounting
from cais.build.options import BuildOptions
from cais.build.remote import Fetcher
from cais.build.rootfs import StepFolder
from cais.build.runmounts import Mount
from cais.build.running import Command, Runner, network_mode
from cais.build.sources import Source
from cais.build.state import State, apply, key_of, of_image, of_scratch, workdir
from cais.distribution.oci import ContainerConfig
from cais.engine.image import Image
from cais.engine.work import to_the_end
from cais.errors import CaisError, InvalidArgument, Unsupported

T = TypeVar("T")

LOG_BYTES: Final = 2 << 20
"""How much of the output of one command is told, as in BuildKit."""
_CLIPPED: Final = b"\n[output clipped, log limit 2MiB reached]\n"


class Surroundings(Protocol):
    """What a stage asks the whole build for."""

    async def state_of(self, index: int) -> State:
        """What another stage has come to."""

    async def base_image(self, name: str, platform: str, step: int) -> Image:
        """An image, fetched where it is not here."""

    async def source(self, name: str, before: int) -> Source:
        """The files of the context, of a stage before that index, or of an image."""

    def lower_dirs(self, state: State) -> list[str]:
        """The folders of a state's layers, topmost first."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What all stages of a build use."""

    dockerfile: Dockerfile
    options: BuildOptions
    build_args: dict[str, str]
    global_args: dict[str, str]
    maker: Maker
    runner: Runner
    caches: CacheMounts
    fetcher: Fetcher
    empty: Path
    tell: Tell
    init_layer: str
    platform: tuple[str, str]  # architecture and variant


class StageRun:
    """Builds one stage."""

    def __init__(self, plan: StagePlan, tools: Tools, around: Surroundings) -> None:
        self._plan = plan
        self._tools = tools
        self._around = around
        stage = plan.stage
        names = {stage.name, str(stage.index)} - {""}
        self._fresh = tools.options.no_cache or bool(names & tools.options.fresh_stages)

    async def run(self) -> State:
        """What the stage comes to. Raises: CaisError."""
        step = self._plan.first
        self._tools.tell(Started(step))
        try:
            state = await self._begin(step)
        except CaisError as error:
            self._tools.tell(Finished(step, error=error.message))
            raise
        image_id = "" if self._plan.base.lower() == SCRATCH else state.image_id
        self._tools.tell(Finished(step, state=image_id, cached=state.base is not None, image=image_id))
        for number, line in enumerate(self._plan.instructions, self._plan.first + 1):
            state = await self._step(number, state, line)
        return state

    async def _begin(self, step: int) -> State:
        plan, tools = self._plan, self._tools
        if plan.base.lower() == SCRATCH:
            return of_scratch(*tools.platform)
        triggers: list[str]
        if plan.base_stage is not None:
            base = await self._around.state_of(plan.base_stage)
            triggers = base.config.on_build or []
            state = replace(base, cmd_is_set=False)
            if triggers:
                state = replace(state, config=_without_triggers(state))
        else:
            image = await self._around.base_image(plan.base, plan.platform, step)
            state, triggers = of_image(image), image.config.defaults.on_build or []
        if triggers:
            words = "trigger" if len(triggers) == 1 else "triggers"
            tools.tell(Output(step, "note", f"# Executing {len(triggers)} build {words}\n".encode()))
        for trigger in triggers:
            state, _ = await self._carry_out(step, state, parse_trigger(trigger, tools.dockerfile.escape))
        return state

    async def _step(self, number: int, state: State, line: Instruction) -> State:
        tools = self._tools
        container = tools.runner.new_id() if isinstance(line, kinds.Run) else ""
        if not container:
            tools.tell(Started(number))
        try:
            after, cached = await self._carry_out(number, state, line, container)
        except CaisError as error:
            tools.tell(Finished(number, error=error.message))
            raise
        tools.tell(Finished(number, state=after.image_id, cached=cached, container="" if cached else container))
        return after

    async def _carry_out(self, number: int, state: State, line: Instruction, container: str = "") -> tuple[State, bool]:
        """The state behind an instruction, and whether nothing had to be done."""
        tools = self._tools
        escape = tools.dockerfile.escape
        try:
            if isinstance(line, kinds.Arg):
                return self._arg(state, line)
            line = expand_instruction(line, state.variables, escape)
        except WordError as error:
            raise tools.dockerfile.error(str(error), line.first_line, line.last_line) from None
        if isinstance(line, kinds.Run):
            return await self._run(number, state, line, container or tools.runner.new_id())
        if isinstance(line, kinds.Transfer):
            return await self._transfer(state, line)
        after = apply(state, line)
        if isinstance(line, kinds.Workdir):
            made = await self._workdir(after, line)
        else:
            made = self._note(after, line)
        return after.noted(line.original, made.created_ns, made.layer), made.cached

    def _note(self, after: State, line: Instruction) -> Made:
        text = line.original
        return self._tools.maker.note(key_of("note", after.id, text), after, text, fresh=self._fresh)

    def _arg(self, state: State, line: kinds.Arg) -> tuple[State, bool]:
        tools = self._tools
        values = declared(line, state.variables, tools.build_args, tools.global_args, tools.dockerfile.escape)
        after = replace(state, arguments={**(state.arguments or {}), **values})
        made = self._note(after, line)
        return after.noted(line.original, made.created_ns), made.cached

    async def _workdir(self, after: State, line: kinds.Workdir) -> Made:
        """The working folder is made where it is missing, for the user that is set."""
        path, user = after.config.working_dir, after.config.user
        lower = self._around.lower_dirs(after)

        async def perform(step: StepFolder) -> None:
            await _in_thread(lambda: _make_folder(lower, step, path, user))

        key = key_of("workdir", after.top, path, user)
        return await self._tools.maker.make(key, after, line.original, perform, fresh=self._fresh)

    # -- COPY and ADD

    async def _transfer(self, state: State, line: kinds.Transfer) -> tuple[State, bool]:
        destination = _destination(state, line.destination)
        items = await self._items(line, destination)
        lower = [] if line.link else self._around.lower_dirs(state)
        tools = self._tools

        async def perform(step: StepFolder) -> None:
            work = transfer.Work(
                destination=destination, scratch=str(step.path), time_ns=tools.maker.epoch_ns, check=tools.maker.check
            )

            def copy() -> None:
                transfer.carry_out(lower, step, items, line, work)

            await _in_thread(copy)

        key = key_of("copy", state.top, line.link, *transfer.key(items, line, destination))
        made = await tools.maker.make(key, state, line.original, perform, fresh=self._fresh)
        return state.noted(line.original, made.created_ns, made.layer), made.cached

    async def _items(self, line: kinds.Transfer, destination: str) -> list[transfer.Item]:
        tools = self._tools
        if not isinstance(line, kinds.Add):
            name = line.source_from if isinstance(line, kinds.Copy) else ""
            source = await self._around.source(name, self._plan.stage.index)
            return await _in_thread(lambda: transfer.find(source, line, line.sources, destination, unpacks=False))
        found: list[transfer.Item] = []
        local = tuple(text for text in line.sources if not tools.fetcher.is_remote(text))
        if line.checksum and (local or len(line.sources) != 1):
            raise InvalidArgument("checksum requires HTTP(S) sources")
        if local:
            context = await self._around.source("", self._plan.stage.index)
            unpacks = line.unpack is not False
            found += await _in_thread(lambda: transfer.find(context, line, local, destination, unpacks))
        for text in line.sources:
            if tools.fetcher.is_remote(text):
                fetched = await tools.fetcher.fetch(text, line.checksum, keep_git_dir=bool(line.keep_git_dir))
                name, unpacks = fetched.name, line.unpack is True
                patterns = (name,)
                files = fetched.source
                found += await _in_thread(
                    lambda: transfer.find(files, line, patterns, destination, unpacks)  # noqa: B023  awaited at once
                )
        return found

    # -- RUN

    async def _run(self, number: int, state: State, line: kinds.Run, container: str) -> tuple[State, bool]:
        tools = self._tools
        if line.security == "insecure":
            raise InvalidArgument("granting entitlement security.insecure is not allowed by build daemon configuration")
        if line.security != "sandbox":
            raise Unsupported(f"the security mode {line.security} is not supported by Cais")
        arguments = [*state.shell, line.text] if line.shell else list(line.command)
        script = line.script.text if line.script is not None and line.script.text.startswith("#!") else ""
        given = {**{name: value for name, value in tools.build_args.items() if name in PROXY_ARGS}}
        environment = {**given, **state.variables}
        folder = state.config.working_dir or "/"
        network = network_mode(line.network, tools.options)
        mounts = [await self._mount_key(mount) for mount in line.mounts]
        shown = {name: value for name, value in environment.items() if name not in PROXY_ARGS}
        key = key_of(
            "run", state.top, arguments, sorted(shown.items()), state.config.user, folder, network, mounts,
            sorted(tools.options.extra_hosts),
        )  # fmt: skip

        async def perform(step: StepFolder) -> None:
            tools.tell(Started(number, container))
            async with AsyncExitStack() as stack:
                private = tools.runner.bundle(container)
                options = tools.options
                mounter = Mounting(self._find, tools.caches, options.secrets, options.ssh, step.path, private)
                mounted = await mounter.mount(line.mounts, folder, stack)
                command = Command(
                    arguments=arguments,
                    environment=[*(f"{name}={value}" for name, value in environment.items()), *mounted.environment],
                    user=state.config.user,
                    folder=folder,
                    network=line.network,
                    mounts=mounted.mounts,
                )
                if script:
                    command = _with_script(command, script, step, mounted)
                lower = self._around.lower_dirs(state)
                await self._execute(number, container, command=command, lower=lower, step=step, points=mounted.points)

        text = "RUN " + _shown_arguments(state) + " ".join(arguments)
        made = await tools.maker.make(key, state, text, perform, fresh=self._fresh)
        return state.noted(text, made.created_ns, made.layer), made.cached

    async def _execute(
        self, number: int, container: str, *, command: Command, lower: list[str], step: StepFolder, points: list[str]
    ) -> None:
        tools = self._tools
        below = [*lower, tools.init_layer]
        missing = await _in_thread(lambda: _missing(below, step, points)) if points else []

        left_bytes = LOG_BYTES

        def on_output(source: str, data: bytes) -> None:
            """A command that writes without end takes no memory: whoever is told may read slowly, or later."""
            nonlocal left_bytes
            if left_bytes > 0:
                tools.tell(Output(number, source, data[:left_bytes]))
                left_bytes -= len(data)
                if left_bytes <= 0:
                    tools.tell(Output(number, "note", _CLIPPED))

        exit_code = await tools.runner.run(container, command, lower, step, on_output)
        if exit_code:
            raise CommandFailed(" ".join(command.arguments), exit_code)
        if missing:
            await _in_thread(lambda: mounting.remove_points(step.diff, missing))

    async def _find(self, name: str) -> Source:
        return await self._around.source(name, self._plan.stage.index)

    async def _mount_key(self, mount: Mount) -> list[object]:
        """What the result of a command may depend on in a mount: of a bind mount, its content."""
        digest = ""
        if mount.type == "bind":
            source = await self._find(mount.source_from)
            path = trees.inside(mount.source)
            try:
                digest = await source.look(lambda root: trees.digest(root, path, contents=source.contents))
            except FileNotFoundError:
                raise InvalidArgument(f'failed to compute cache key: "/{path}": not found') from None
        return [mount.type, mount.target, mount.id, mount.readonly, digest]


async def _in_thread(work: Callable[[], T]) -> T:
    """Do what blocks; it has ended when this is cancelled, so that nothing writes any more where it wrote."""
    return await to_the_end(asyncio.to_thread(work))


def _without_triggers(state: State) -> ContainerConfig:
    return structs.replace(state.config, on_build=None)


def _destination(state: State, path: str) -> str:
    """Where COPY copies to, from the root; a slash at the end stays."""
    whole = workdir(state.config.working_dir, path)
    is_folder = path.endswith(("/", "/.")) or path in {".", ""}
    return f"{whole.rstrip('/')}/" if is_folder else whole


def _make_folder(lower: list[str], step: StepFolder, path: str, user: str) -> None:
    with rootfs.writable(lower, step) as root:
        owner = transfer.owner_of(root, user) if user else (0, 0)
        os.close(Copying(root, Look(owner=owner)).folder(path))


def _missing(below: list[str], step: StepFolder, points: list[str]) -> list[list[str]]:
    with rootfs.merged(below, step.empty) as root:
        return [missing for point in points if (missing := mounting.missing_parts(root, point))]


def _with_script(command: Command, script: str, step: StepFolder, mounted: Mounted) -> Command:
    """A heredoc that names its interpreter is a file of its own, which the command sees and the layer does not have."""
    path = step.path / "script"
    path.write_text(script, encoding="utf-8", errors="surrogateescape")
    path.chmod(0o755)
    target = "/dev/pipes/EOF"
    shown = {"destination": target, "type": "bind", "source": str(path), "options": ["bind", "rprivate", "ro"]}
    return replace(command, arguments=[target], mounts=[*mounted.mounts, shown])


def _shown_arguments(state: State) -> str:
    """The build's arguments, as the history shows them before a command."""
    arguments = [f"{name}={value}" for name, value in (state.arguments or {}).items() if name not in PROXY_ARGS]
    return f"|{len(arguments)} {' '.join(arguments)} " if arguments else ""
