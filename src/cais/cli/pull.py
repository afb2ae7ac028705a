"""Pulling an image that a command needs."""

from __future__ import annotations

from cais.cli.progress import show
from cais.client import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.reference import Reference
    from cais.client.engine import Engine


def pull(engine: Engine, reference: Reference, platform: str, descriptor: int | None) -> None:
    """Pull an image; the progress is shown at a descriptor, if at all. Raises CaisError and CommandError."""
    name = f"{reference.domain}/{reference.path}" if reference.domain != "docker.io" else reference.familiar_name
    show(images.pull(engine, name, reference.digest or reference.tag or "latest", platform), descriptor)
