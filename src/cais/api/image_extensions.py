"""/cais/images and /cais/distribution: what this engine answers about images beyond Docker's API."""

from typing import Any

from aiohttp import web

from cais.api.containers import stream
from cais.api.http import bool_query, json_answer
from cais.api.registries import registry_credentials
from cais.distribution.reference import parse
from cais.engine.export import export_image
from cais.engine.images import Images
from cais.engine.layer_contents import LayerContent, LayerStep

Json = dict[str, Any]


class ImageExtensionHandlers:
    """The handlers that look into images."""

    def __init__(self, images: Images) -> None:
        self._images = images

    def routes(self) -> list[web.RouteDef]:
        """The routes, without a version prefix."""
        return [
            web.get("/cais/images/{name:.+}/files", self.files, allow_head=False),
            web.get("/cais/images/{name:.+}/layers", self.layers, allow_head=False),
            web.get("/cais/distribution/{name:.+}/manifest", self.manifest, allow_head=False),
        ]

    async def manifest(self, request: web.Request) -> web.StreamResponse:
        """GET /cais/distribution/{name}/manifest"""
        reference = parse(request.match_info["name"])
        insecure = bool_query(request, "insecure")
        registries = self._images.registries
        found = await registries.manifest(reference, registry_credentials(request), insecure=insecure)
        headers = {"Content-Type": found.media_type, "Docker-Content-Digest": found.digest}
        return web.Response(body=found.data, headers=headers)

    async def files(self, request: web.Request) -> web.StreamResponse:
        """GET /cais/images/{name}/files"""
        image = self._images.resolve(request.match_info["name"])
        return await stream(request, export_image(self._images.store, image), "application/x-tar")

    async def layers(self, request: web.Request) -> web.StreamResponse:
        """GET /cais/images/{name}/layers"""
        image = self._images.resolve(request.match_info["name"])
        steps = await self._images.layer_reports.steps(image)
        return json_answer(
            {
                "Id": image.id,
                "RepoTags": list(image.references),
                "Size": image.size_bytes,
                "Steps": [_step(step) for step in steps],
            }
        )


def _step(step: LayerStep) -> Json:
    said: Json = {"Created": step.created, "CreatedBy": step.created_by, "Comment": step.comment}
    if step.layer is None or step.content is None:
        return said
    layer = {"ChainId": step.layer.chain_id, "DiffId": step.layer.diff_id, "Size": step.layer.size_bytes}
    return said | layer | _content(step.content) | {"SharedWith": list(step.shared_with)}


def _content(content: LayerContent) -> Json:
    return {
        "Added": content.added,
        "Changed": content.changed,
        "Removed": content.removed,
        "Largest": [
            {"Path": big.path, "Kind": "added" if big.is_new else "changed", "Size": big.size_bytes}
            for big in content.largest
        ],
        "Gone": list(content.gone),
        "Complete": content.complete,
    }
