"""/images: requests about images, parsed, passed on, and answered."""

from collections.abc import AsyncIterator

import msgspec
from aiohttp import web

from cais.api import image_answers
from cais.api.containers import stream
from cais.api.http import api_version, bool_query, empty_answer, filters_query, json_answer, text_query
from cais.api.progress import progress_answer
from cais.api.registries import registry_credentials
from cais.distribution.download import download
from cais.distribution.oci import Platform
from cais.distribution.platforms import matches, parse_platform, platform_text
from cais.distribution.reference import Reference, parse_parts
from cais.engine.filters import Filters
from cais.engine.image import Image
from cais.engine.images import Images
from cais.engine.progress import Progress, Report
from cais.errors import InvalidArgument, NotFound

NAMED = "/images/{name:.+}"
_BODY = "-"


def routes(images: Images) -> list[web.RouteDef]:
    """The routes, without a version prefix."""
    handlers = ImageHandlers(images)
    return [
        web.get("/images/json", handlers.list, allow_head=False),
        web.post("/images/create", handlers.create),
        web.post("/images/load", handlers.load),
        web.post("/images/prune", handlers.prune),
        web.get("/images/get", handlers.save, allow_head=False),
        web.get(f"{NAMED}/get", handlers.save, allow_head=False),
        web.get(f"{NAMED}/json", handlers.inspect, allow_head=False),
        web.get(f"{NAMED}/history", handlers.history, allow_head=False),
        web.post(f"{NAMED}/tag", handlers.tag),
        web.post(f"{NAMED}/push", handlers.push),
        web.delete(NAMED, handlers.remove),
    ]


class ImageHandlers:
    """The handlers of /images."""

    def __init__(self, images: Images) -> None:
        self._images = images

    async def list(self, request: web.Request) -> web.StreamResponse:
        """GET /images/json"""
        filters = filters_query(request)
        if old := text_query(request, "filter"):  # how it was before API 1.41
            filters = Filters({**{key: filters.get(key) for key in ("label", "dangling")}, "reference": [old]})
        version = api_version(request)
        shared = self._images.shared_sizes() if bool_query(request, "shared-size") else {}
        chosen = self._images.select(filters, everything=bool_query(request, "all"))
        return json_answer([image_answers.summary(image, version, shared.get(image.id)) for image in chosen])

    async def inspect(self, request: web.Request) -> web.StreamResponse:
        """GET /images/{name}/json"""
        image = self._find(request)
        return json_answer(image_answers.inspection(image, self._images.lower_dirs(image), api_version(request)))

    async def history(self, request: web.Request) -> web.StreamResponse:
        """GET /images/{name}/history"""
        return json_answer([image_answers.history_item(item) for item in self._images.history(self._find(request))])

    async def tag(self, request: web.Request) -> web.StreamResponse:
        """POST /images/{name}/tag"""
        reference = parse_parts(text_query(request, "repo"), text_query(request, "tag"))
        await self._images.tag(self._images.resolve(request.match_info["name"]), reference)
        return empty_answer(201)

    async def remove(self, request: web.Request) -> web.StreamResponse:
        """DELETE /images/{name}"""
        removed = await self._images.remove(
            request.match_info["name"], force=bool_query(request, "force"), prune=not bool_query(request, "noprune")
        )
        return json_answer([image_answers.removal(item) for item in removed])

    async def create(self, request: web.Request) -> web.StreamResponse:
        """POST /images/create: a pull, or an import"""
        platform = parse_platform(text_query(request, "platform"))
        if text_query(request, "fromImage"):
            return await self._pull(request, platform)
        return await self._import(request, platform)

    async def load(self, request: web.Request) -> web.StreamResponse:
        """POST /images/load"""
        platform = _json_platform(request)
        quiet = bool_query(request, "quiet")

        async def work(report: Report) -> None:
            def tell(message: Progress) -> None:
                if message.stream or not quiet:
                    report(message)

            await self._images.load(_body(request), platform, tell)

        return await progress_answer(request, work, errors_are_told=True)

    async def prune(self, request: web.Request) -> web.StreamResponse:
        """POST /images/prune"""
        pruned = await self._images.prune(filters_query(request))
        removed = [image_answers.removal(item) for item in pruned.removed]
        return json_answer({"ImagesDeleted": removed or None, "SpaceReclaimed": pruned.freed_bytes})

    async def save(self, request: web.Request) -> web.StreamResponse:
        """GET /images/get and /images/{name}/get"""
        name = request.match_info.get("name")
        names = request.query.getall("names", []) if name is None else [name]
        if not names:
            raise InvalidArgument("no image is named")
        return await stream(request, await self._images.save(names, _json_platform(request)), "application/x-tar")

    async def push(self, request: web.Request) -> web.StreamResponse:
        """POST /images/{name}/push"""
        reference = parse_parts(request.match_info["name"], text_query(request, "tag"))
        platform = _json_platform(request)
        credentials = registry_credentials(request)

        async def work(report: Report) -> None:
            await self._images.push(reference, platform, report, credentials)

        return await progress_answer(request, work)

    async def _pull(self, request: web.Request, platform: Platform | None) -> web.StreamResponse:
        reference = parse_parts(text_query(request, "fromImage"), text_query(request, "tag"))
        credentials = registry_credentials(request)
        pull = self._images.pull if reference.tag or reference.digest else self._images.pull_all

        async def work(report: Report) -> None:
            await pull(reference, platform, report, credentials)

        return await progress_answer(request, work)

    async def _import(self, request: web.Request, platform: Platform | None) -> web.StreamResponse:
        source = text_query(request, "fromSrc")
        if not source:
            raise InvalidArgument("create an image: neither fromImage nor fromSrc is given")
        reference = _import_reference(text_query(request, "repo"), text_query(request, "tag"))

        async def work(report: Report) -> Image:
            if source != _BODY:
                report(Progress(f"Downloading from {source}"))
            return await self._images.import_(
                _body(request) if source == _BODY else download(source),
                reference=reference,
                changes=request.query.getall("changes", []),
                message=text_query(request, "message"),
                source=source,
                platform=platform,
            )

        return await progress_answer(request, work, lambda image: [Progress(image.id)])

    def _find(self, request: web.Request) -> Image:
        """The image that the path names, for the platform of the query, if one is given."""
        name = request.match_info["name"]
        image = self._images.resolve(name)
        platform = _json_platform(request)
        if not matches(platform, image.config.os, image.config.architecture):
            raise NotFound(
                f"image with reference {name} was found but does not provide the specified platform "
                f"({platform_text(platform or Platform())})"
            )
        return image


def _body(request: web.Request) -> AsyncIterator[bytes]:
    return aiter(request.content.iter_any())


def _import_reference(repository: str, tag: str) -> Reference | None:
    if not repository:
        return None
    reference = parse_parts(repository, tag)
    if reference.digest:
        raise InvalidArgument("cannot import digest reference")
    return reference


def _json_platform(request: web.Request) -> Platform | None:
    """The platform of the query: the JSON of an OCI platform."""
    text = text_query(request, "platform")
    if not text:
        return None
    try:
        platform = msgspec.json.decode(text, type=Platform)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidArgument(f"failed to parse platform: {error}") from None
    if not platform.os or not platform.architecture:
        raise InvalidArgument(f"failed to parse platform: both OS and Architecture must be provided: {text[:200]}")
    return platform
