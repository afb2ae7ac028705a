"""Builds: from a Dockerfile and a context to an image with names."""

import asyncio
import logging
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from cais.build import context as contexts
from cais.build import graph
from cais.build.cache import BuildCache
from cais.build.cacheimages import cache_images, steps_of
from cais.build.cachemounts import CacheMounts
from cais.build.dockerfile import Dockerfile, parse
from cais.build.errors import DockerfileError
from cais.build.events import CacheExported, Finished, Pulling, Tell, Warned
from cais.build.expansion import PROXY_ARGS, global_scope, platform_args
from cais.build.graph import SCRATCH, Plan, StagePlan
from cais.build.instructions import Arg, Instruction, Label
from cais.build.kept import KeptContexts
from cais.build.making import Maker
from cais.build.options import BuildOptions
from cais.build.remote import Fetcher
from cais.build.running import Runner
from cais.build.sources import Source, folder_source, layers_source
from cais.build.squash import squashed
from cais.build.stage import StageRun, Tools
from cais.build.state import State, of_image, of_scratch
from cais.distribution.oci import Platform
from cais.distribution.platforms import host_platform, matches, parse_platform, platform_text
from cais.distribution.reference import parse as parse_reference
from cais.distribution.registry_auth import NOBODY
from cais.engine.engine import Engine
from cais.engine.image import Image
from cais.engine.image_archives import leased
from cais.engine.image_store import NewImage
from cais.engine.models import timestamp
from cais.engine.progress import Progress
from cais.engine.work import to_the_end
from cais.errors import CaisError, InvalidArgument, NotFound


@dataclass(frozen=True, slots=True)
class Given:
    """A context that was received. text: the Dockerfile, where it came beside the context, which is complete then.

    contents: digests of files that never change, by inode; they are added to.
    """

    folder: Path
    text: bytes | None = None
    contents: dict[int, bytes] | None = None


Receive = Callable[[Path], Awaitable[Given]]
"""Puts the context into a new folder, or says where it is."""

_EPOCH: Final = "SOURCE_DATE_EPOCH"
_log: Final = logging.getLogger("cais.build")


class Builder:
    """Builds images for one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._caches = CacheMounts(engine.settings.data_root / "buildcache")
        self.kept = KeptContexts(engine.settings.data_root / "buildcontexts")
        self.cache = BuildCache(engine, self._caches, self.kept)

    async def close(self) -> None:
        """Wait for what goes on beside builds."""
        await self.kept.close()

    async def build(self, options: BuildOptions, receive: Receive, tell: Tell) -> Image:
        """Build an image and name it. Cancelled, it ends what runs, and leaves nothing but what is cached.

        Raises: DockerfileError, CommandFailed and other InvalidArgument; NotFound, Unavailable.
        """
        store = self._engine.images.store
        async with store.temporary_folder("build") as folder, leased(store) as lease:
            given = await receive(folder / "context")
            text = given.text
            if text is None:
                text = await asyncio.to_thread(contexts.read_dockerfile, given.folder, options.dockerfile)
                await asyncio.to_thread(contexts.leave_out, given.folder, options.dockerfile)
            dockerfile = _parsed(text, options.dockerfile or contexts.DOCKERFILE)
            build_args = {name: value for name, value in options.build_args.items() if value is not None}
            maker = Maker(store, lease, folder, _epoch_ns(build_args.get(_EPOCH, "")))
            one = _Build(
                self._engine, self._caches, options, dockerfile=dockerfile, context=given, maker=maker, tell=tell
            )
            try:
                image = await one.run(build_args)
            finally:
                maker.stop()
                await to_the_end(_keep(maker))
        for reference in options.tags:
            image = await self._engine.images.tag(image, reference)
        self._engine.events.emit("image", "build", image.id, {"name": image.id, **image.labels})
        try:
            await self.cache.collect()
        except CaisError as error:
            _log.error("the build cache could not be brought down to its size: %s", error)
        return image


def _parsed(text: bytes, path: str) -> Dockerfile:
    """The Dockerfile of that path in the context. Raises: DockerfileError."""
    if not text:
        raise DockerfileError(f"the Dockerfile ({path}) cannot be empty", path)
    name = os.path.basename(path)
    try:
        return parse(text, name)
    except DockerfileError as error:
        if not error.is_syntax:
            raise
        shown = DockerfileError(f"failed to parse {name}: {error.message}", name, error.first_line, error.last_line)
        shown.excerpt = error.excerpt
        raise shown from None


async def _keep(maker: Maker) -> None:
    """Keep what was made for the next build; without that the image, or the error, is as good."""
    try:
        await maker.flush()
    except CaisError as error:
        _log.error("the steps of a build could not be kept: %s", error)


class _Build:
    """One build, while it goes on."""

    def __init__(
        self, engine: Engine, caches: CacheMounts, options: BuildOptions, *, dockerfile: Dockerfile, context: Given,
        maker: Maker, tell: Tell,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._caches = caches
        self._options = options
        self._dockerfile = dockerfile
        self._context = context
        self._maker = maker
        self._tell = tell
        self._store = engine.images.store
        self._empty = maker.new_folder("empty")
        self._empty.mkdir(mode=0o755)
        self._stages: dict[int, asyncio.Task[State]] = {}
        self._images: dict[tuple[str, str], asyncio.Task[Image]] = {}
        self._platform = parse_platform(options.platform) or host_platform()

    async def run(self, build_args: dict[str, str]) -> Image:
        """Build the stages that are needed, and keep the image."""
        target = platform_text(self._platform)
        platforms = platform_args(platform_text(host_platform()), target, self._options.target or "default")
        scope = global_scope(self._dockerfile, build_args, platforms)
        plan = graph.plan(self._dockerfile, self._options.target, scope, _labels(self._options.labels))
        tools = Tools(
            dockerfile=self._dockerfile,
            options=self._options,
            build_args=build_args,
            global_args=scope,
            maker=self._maker,
            runner=Runner(self._engine, self._options),
            caches=self._caches,
            fetcher=Fetcher(self._maker.new_folder, self._empty),
            empty=self._empty,
            tell=self._tell,
            init_layer=str(self._engine.settings.init_layer),
            platform=(self._platform.architecture, self._platform.variant),
        )
        for name in self._options.cache_from:
            self._take_cache(name)
        for text in _warnings_of(self._dockerfile):
            self._tell(Warned(text, source="stderr"))
        self._tell(plan.planned)
        for number, _ in enumerate(self._dockerfile.global_args, 1):
            self._tell(Finished(number))
        state = await self._run_stages(plan, tools)
        if unused := _unused(self._dockerfile, build_args):
            self._tell(Warned(f"[Warning] One or more build-args [{' '.join(unused)}] were not consumed\n"))
        if self._options.exports_cache:
            await self._export_cache(state)
        if self._options.squash:
            state = await self._squash(plan.target, state)
        return await self._keep(state)

    async def _squash(self, target: StagePlan, state: State) -> State:
        """The layers that the target stage has added, as one."""
        if target.base_stage is not None:
            below = await self.state_of(target.base_stage)
        elif target.base.lower() == SCRATCH:
            below = of_scratch(state.architecture, state.variant)
        else:
            below = of_image(await self.base_image(target.base, target.platform, 0))
        count = len(below.diff_ids)
        if len(state.diff_ids) - count < 2:
            return state
        layers = self.lower_dirs(state)
        made = await self._maker.squash(layers[::-1][count:], layers[len(layers) - count :], below.top)
        return squashed(state, below, made)

    def _take_cache(self, name: str) -> None:
        """Use the cache that an image has. One that is not here, or has none, is no help, and no error."""
        try:
            image = self._engine.images.resolve(name)
        except CaisError:
            return
        if steps := steps_of(image):
            self._maker.take_cache(image, steps)

    async def _export_cache(self, state: State) -> None:
        states = [state, *(done for task in self._stages.values() if (done := task.result()) is not state)]
        images = []
        for new in cache_images(states, self._maker.used.values()):
            images.append(await self._store.store(new, timestamp(state.created_ns)))
        self._tell(CacheExported(tuple(image.id for image in images)))

    async def _run_stages(self, plan: Plan, tools: Tools) -> State:
        """All stages at once: each waits for those that it needs. The first failure ends the others."""
        for stage in plan.stages:
            run = StageRun(stage, tools, self)
            name = f"build stage {stage.stage.index}"
            self._stages[stage.stage.index] = asyncio.create_task(run.run(), name=name)
        tasks = list(self._stages.values())
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            failed = [error for task in done if (error := task.exception()) is not None]
            if failed:
                raise failed[0]
            return self._stages[plan.target.stage.index].result()
        finally:
            self._maker.stop()
            everything = [*tasks, *self._images.values()]
            for task in everything:
                task.cancel()
            await asyncio.gather(*everything, return_exceptions=True)

    async def _keep(self, state: State) -> Image:
        if state.base is not None:
            return state.base
        config = state.image()
        return await self._store.store(NewImage(msgspec.json.encode(config), config), timestamp(state.created_ns))

    # -- what stages ask for

    async def state_of(self, index: int) -> State:
        """What another stage has come to. Raises: InvalidArgument for one that nothing has said to be needed."""
        if index not in self._stages:
            name = self._dockerfile.stages[index].name or str(index)
            raise InvalidArgument(f"the stage {name} is not built, since only a trigger of a base image names it")
        return await asyncio.shield(self._stages[index])

    async def base_image(self, name: str, platform: str, step: int) -> Image:
        """An image, fetched where it is not here, once for all stages. Raises: NotFound, Unavailable."""
        named = self._options.contexts.get(name.lower())
        if named is not None:
            if named.folder is not None:
                raise InvalidArgument(f"the context {name} is a folder: a stage cannot begin with it")
            name = named.image
        key = (name, platform)
        if key not in self._images:
            work = self._fetch(name, platform, step)
            self._images[key] = asyncio.create_task(work, name=f"base image {name[:60]}")
        return await asyncio.shield(self._images[key])

    async def _fetch(self, name: str, platform: str, step: int) -> Image:
        images = self._engine.images
        wanted = parse_platform(platform) or (self._platform if self._options.platform else None)
        image = None if self._options.pull else _local(images.resolve, name, wanted)
        if image is None:
            reference = parse_reference(name)
            credentials = self._options.credentials.get(reference.domain, NOBODY)

            def report(progress: Progress) -> None:
                self._tell(Pulling(step, progress))

            image = await images.pull(reference, wanted, report, credentials)
        if not self._maker.hold(image):
            raise NotFound(f"No such image: {name}")
        return image

    async def source(self, name: str, before: int) -> Source:
        """The files of the context, of a stage before that index, or of an image."""
        if not name:
            return folder_source(self._context.folder, self._empty, self._context.contents)
        named = self._options.contexts.get(name.lower())
        if named is not None and named.folder is not None:
            return folder_source(named.folder, self._empty, named.contents)
        stage = self._dockerfile.stage(name, before=before) if named is None else None
        if stage is not None:
            state = await self.state_of(stage.index)
            return layers_source(name, self.lower_dirs(state), self._empty)
        image = await self.base_image(name, "", 0)
        return layers_source(name, self.lower_dirs(of_image(image)), self._empty)

    def lower_dirs(self, state: State) -> list[str]:
        """The folders of a state's layers, topmost first."""
        return [str(self._store.layers.path(chain_id)) for chain_id in reversed(state.chain)]


def _local(resolve: Callable[[str], Image], name: str, wanted: Platform | None) -> Image | None:
    """An image that is here, if it is for the platform."""
    try:
        image = resolve(name)
    except NotFound:
        return None
    return image if matches(wanted, image.config.os, image.config.architecture) else None


def _warnings_of(dockerfile: Dockerfile) -> list[str]:
    """What is to be told of the file itself."""
    found = [
        f"[WARNING]: Empty continuation line found in: {node.original}\n"
        for node in dockerfile.lexed.nodes
        if node.has_empty_continuation
    ]
    end = "[WARNING]: Empty continuation lines will become errors in a future release.\n"
    return [*found, end] if found else []


def _unused(dockerfile: Dockerfile, build_args: Iterable[str]) -> list[str]:
    """The arguments that were given and that no ARG names; those that mean something anyway are none."""
    lines: list[Instruction] = [*dockerfile.global_args]
    for stage in dockerfile.stages:
        lines += stage.instructions
    named = {name for line in lines if isinstance(line, Arg) for name, _ in line.values}
    return sorted(
        name for name in build_args if name not in named | PROXY_ARGS | {_EPOCH} and not name.startswith("BUILDKIT_")
    )


def _labels(labels: Mapping[str, str]) -> tuple[Instruction, ...]:
    """The instructions that labels given with a build amount to, as Docker appends them."""
    return tuple(
        Label(values=((_literal(name), _literal(value)),), original=f"LABEL {name}={value}", keyword="LABEL")
        for name, value in sorted(labels.items())
    )


def _literal(text: str) -> str:
    """A text in which no variable is seen."""
    return re.sub(r"([\\$'\"`])", r"\\\1", text)


def _epoch_ns(text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 11:
        raise InvalidArgument(f"invalid {_EPOCH}: {text[:40]}")
    return int(text) * 1_000_000_000
