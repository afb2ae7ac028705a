"""/build: requests to build images and to prune the build cache."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from cais.api.build_answers import cache_record
from cais.api.build_extras import HEADER as EXTRAS_HEADER
from cais.api.build_extras import Extras, decode_extras
from cais.api.build_steps import StepStream
from cais.api.http import bool_query, decode, encode, filters_query, int_query, json_answer, text_query
from cais.api.progress import progress_answer
from cais.build import context
from cais.build.builder import Builder, Given, Receive
from cais.build.cachefilters import FIELDS, PruneOptions, record_filter
from cais.build.classic import ClassicStream, conclusion
from cais.build.events import Tell
from cais.build.options import BuildOptions, Limits, NamedContext
from cais.distribution.platforms import parse_platform
from cais.distribution.reference import Reference, parse
from cais.distribution.registry_auth import decode_all_credentials
from cais.engine.filters import Filters
from cais.engine.image import Image
from cais.engine.models import Ulimit
from cais.engine.progress import Progress
from cais.engine.times import parse_moment_ns
from cais.errors import CaisError, InvalidArgument, Unsupported

T = TypeVar("T")
Report = Callable[[Progress | bytes], None]

CONFIG_HEADER: Final = "X-Registry-Config"
MAX_MANIFEST_BYTES: Final = 1 << 28
_IMAGE: Final = "docker-image://"
_KEPT: Final = "kept:"
_DOCKERFILE_ALONE: Final = "client-session"
_SIZES: Final = ("keep-storage", "reserved-space", "max-used-space", "min-free-space")
_FILTERS: Final = FIELDS | {"until", "unused-for"}


class BuildHandlers:
    """The handlers of /build; `Building` has their routes."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self._running: dict[str, asyncio.Task[object]] = {}

    async def close(self) -> None:
        """Wait for what goes on beside builds."""
        await self._builder.close()

    async def cache_records(self) -> list[dict[str, object]]:
        """What is answered about the build cache, least recently used first."""
        return [cache_record(entry) for entry in await self._builder.cache.entries()]

    async def build(self, request: web.Request) -> web.StreamResponse:
        """POST /build"""
        _refuse(request)
        extras = decode_extras(request.headers.get(EXTRAS_HEADER, ""))
        options = build_options(request, extras)
        quiet = bool_query(request, "q")
        remote = text_query(request, "remote")
        identity = text_query(request, "buildid")

        async def receive(folder: Path) -> Given:
            if remote:
                return Given(Path(await context.fetch(remote, folder)))
            await context.receive(aiter(request.content.iter_any()), folder)
            return Given(folder)

        async def work(report: Report) -> Image:
            if extras.steps:
                return await self._build(extras, options, receive, StepStream(report).tell)
            held: list[Progress | bytes] = []
            tell: Report = held.append if quiet else report
            stream = ClassicStream(
                lambda text: tell(Progress(stream=text)), tell, removes=bool_query(request, "rm", default=True)
            )
            try:
                return await self._build(extras, options, receive, stream.tell)
            except CaisError:
                stream.finish()
                for message in held:
                    report(message)
                raise

        def end(image: Image) -> list[Progress | bytes]:
            if quiet and not extras.steps:
                return [Progress(stream=f"{image.id}\n")]
            tags = [reference.familiar for reference in options.tags]
            return [encode({"aux": {"ID": image.id}}), *(Progress(stream=text) for text in conclusion(image, tags))]

        task = asyncio.current_task()
        if identity and task is not None:
            self._running[identity] = task
        try:
            return await progress_answer(request, work, end)
        finally:
            self._running.pop(identity, None)

    async def _build(self, extras: Extras, options: BuildOptions, receive: Receive, tell: Tell) -> Image:
        """Build of the context that comes with the request, or of a kept one."""
        async with AsyncExitStack() as stack:
            named: dict[str, NamedContext] = {}
            for name, what in extras.contexts.items():
                named[name.lower()] = await self._named(what, stack)
            options = replace(options, contexts=named)
            if not extras.context:
                return await self._builder.build(options, receive, tell)
            kept = await stack.enter_async_context(self._builder.kept.use(extras.context))

            async def receive_dockerfile(folder: Path) -> Given:
                given = await receive(folder)
                text = await asyncio.to_thread(context.read_dockerfile, given.folder, options.dockerfile)
                return Given(kept.tree, text, kept.digests)

            return await self._builder.build(options, receive_dockerfile, tell)

    async def _named(self, what: str, stack: AsyncExitStack) -> NamedContext:
        if what.startswith(_IMAGE):
            return NamedContext(image=what.removeprefix(_IMAGE))
        if not what.startswith(_KEPT):
            raise InvalidArgument(f"unsupported context: {what[:200]}")
        kept = await stack.enter_async_context(self._builder.kept.use(what.removeprefix(_KEPT)))
        return NamedContext(folder=kept.tree, contents=kept.digests)

    async def offer_context(self, request: web.Request) -> web.StreamResponse:
        """POST /cais/build/context"""
        manifest = bytearray()
        async for piece in request.content.iter_any():
            manifest += piece
            if len(manifest) > MAX_MANIFEST_BYTES:
                raise InvalidArgument("the manifest of the context is too large")
        offer = await self._builder.kept.offer(text_query(request, "key"), bytes(manifest))
        return json_answer({"Id": offer.id, "Missing": offer.missing})

    async def fill_context(self, request: web.Request) -> web.StreamResponse:
        """PUT /cais/build/context/{id}"""
        body = aiter(request.content.iter_any())
        return json_answer({"Id": await self._builder.kept.fill(request.match_info["id"], body)})

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """POST /build/cancel"""
        identity = text_query(request, "id")
        if not identity:
            raise InvalidArgument("build ID not provided")
        task = self._running.pop(identity, None)
        if task is not None:
            task.cancel()
        return web.Response()

    async def prune(self, request: web.Request) -> web.StreamResponse:
        """POST /build/prune"""
        filters = filters_query(request)
        filters.validate(_FILTERS)
        freed = await self._builder.cache.prune(prune_options(request, filters))
        return json_answer({"CachesDeleted": freed.ids or None, "SpaceReclaimed": freed.size_bytes})


def prune_options(request: web.Request, filters: Filters) -> PruneOptions:
    """What a prune is to leave. Raises: InvalidArgument."""
    sizes = {name: int_query(request, name, 0) for name in _SIZES}
    for name, size_bytes in sizes.items():
        if size_bytes < 0:
            raise InvalidArgument(f"{name} is in bytes and non-negative, not {size_bytes}")
    if filters.get("until") and filters.get("unused-for"):
        raise InvalidArgument('conflicting filters: "until" and "unused-for"')
    moments = [*filters.get("until"), *filters.get("unused-for")]
    if len(moments) > 1:
        raise InvalidArgument("filters expect only one value")
    return PruneOptions(
        everything=bool_query(request, "all"),
        reserved_bytes=max(sizes["keep-storage"], sizes["reserved-space"]),
        max_used_bytes=sizes["max-used-space"],
        min_free_bytes=sizes["min-free-space"],
        unused_since_ns=parse_moment_ns(moments[0], time.time_ns()) if moments else None,
        filters=tuple(record_filter(name, filters.get(name)) for name in filters.names if name in FIELDS),
    )


def build_options(request: web.Request, extras: Extras) -> BuildOptions:
    """The options of the query and the headers. Raises: InvalidArgument."""
    platform = text_query(request, "platform")
    parse_platform(platform)
    tags = tuple(dict.fromkeys(_tag(text) for text in request.query.getall("t", []) if text))
    return BuildOptions(
        tags=tags,
        dockerfile=text_query(request, "dockerfile"),
        target=text_query(request, "target"),
        build_args=_json(request, "buildargs", dict[str, str | None]) or {},
        labels=_json(request, "labels", dict[str, str]) or {},
        platform=platform,
        network=text_query(request, "networkmode"),
        extra_hosts=tuple(_extra_hosts(text_query(request, "extrahosts"))),
        limits=_limits(request),
        pull=bool_query(request, "pull"),
        no_cache=bool_query(request, "nocache"),
        fresh_stages=extras.no_cache_filter,
        cache_from=(*extras.cache_from, *(_json(request, "cachefrom", list[str]) or ())),
        exports_cache=extras.cache_to,
        squash=bool_query(request, "squash"),
        secrets=extras.secrets,
        ssh=extras.ssh,
        credentials=decode_all_credentials(request.headers.get(CONFIG_HEADER, "")),
    )


def _limits(request: web.Request) -> Limits:
    return Limits(
        memory_bytes=int_query(request, "memory", 0),
        memory_swap_bytes=int_query(request, "memswap", 0),
        cpu_shares=int_query(request, "cpushares", 0),
        cpu_period=int_query(request, "cpuperiod", 0),
        cpu_quota=int_query(request, "cpuquota", 0),
        cpuset_cpus=text_query(request, "cpusetcpus"),
        cpuset_mems=text_query(request, "cpusetmems"),
        shm_bytes=int_query(request, "shmsize", 0),
        ulimits=tuple(_json(request, "ulimits", list[Ulimit]) or ()),
        cgroup_parent=text_query(request, "cgroupparent"),
    )


def _refuse(request: web.Request) -> None:
    """Raises Unsupported for what is not done, by its name."""
    if text_query(request, "version", "1") not in {"", "1"}:
        raise Unsupported("BuildKit (version=2) is not supported by Cais")
    if text_query(request, "outputs"):
        raise Unsupported("outputs of BuildKit (outputs) are not supported by Cais")
    if text_query(request, "remote") == _DOCKERFILE_ALONE:
        raise Unsupported("BuildKit sessions (remote) are not supported by Cais")
    if text_query(request, "securityopt") not in {"", "null", "[]"}:
        raise Unsupported("security options of builds (securityopt) are not supported by Cais")


def _tag(text: str) -> Reference:
    reference = parse(text)
    if reference.digest:
        raise InvalidArgument("build tag cannot contain a digest")
    return reference.with_default_tag()


def _extra_hosts(text: str) -> list[str]:
    """The client sends them as JSON; Docker's manual describes a text with commas."""
    if text.startswith("["):
        return decode(text.encode(), list[str])
    return [item for item in text.split(",") if item and item != "null"]


def _json(request: web.Request, name: str, kind: type[T]) -> T | None:
    text = text_query(request, name)
    if not text or text == "null":
        return None
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidArgument(f"error reading {name}: {error}") from None
