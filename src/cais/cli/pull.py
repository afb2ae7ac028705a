"""Pulling an image: by itself, or because another command needs it."""

from __future__ import annotations

from cais.cli.progress import show
from cais.client import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.reference import Reference
    from cais.cli.settings import Settings
    from cais.client.engine import Engine


def pull(engine: Engine, settings: Settings, reference: Reference, platform: str, descriptor: int | None) -> None:
    """Pull an image, all of a repository where there is no tag. The progress is shown at a descriptor, if at all.

    Raises CaisError and CommandError.
    """
    from cais.cli.credentials import authorization  # noqa: PLC0415 -- `run` seldom pulls

    name = f"{reference.domain}/{reference.path}"
    headers = authorization(settings, reference.domain)
    show(images.pull(engine, name, reference.digest or reference.tag, platform, headers), descriptor)
