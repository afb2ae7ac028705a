"""How the images of a project come to the engine: pulled with the user's credentials, or built."""

from __future__ import annotations

from cais.cli.command import CommandError
from cais.cli.progress import show
from cais.cli.reference import Reference
from cais.client import images
from cais.compose.errors import ComposeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.compose.call import Call
    from cais.compose.model import Project


class Sources:
    def __init__(self, call: Call, *, quiet_build: bool = False) -> None:
        self._call = call
        self._quiet_build = quiet_build
        self.build_flags: dict[str, str] = {}
        self.build_args: list[str] = []

    def pull(self, image: str, platform: str) -> None:
        from cais.cli.credentials import authorization  # noqa: PLC0415 -- seldom needed

        reference = Reference(image)
        headers = authorization(self._call.settings, reference.domain)
        name = f"{reference.domain}/{reference.path}"
        with self._call.engines.one() as engine:
            tag = reference.digest or reference.tag or "latest"
            try:
                show(images.pull(engine, name, tag, platform, headers), None)
            except CommandError as error:
                raise ComposeError(error.message) from None

    def build(self, project: Project, service: str, tags: list[str]) -> None:
        from cais.compose.building import build_image  # noqa: PLC0415 -- most services are not built

        output = None if self._quiet_build else 2
        build_image(
            self._call.engines, project, service, tags, output, query=self.build_flags, arguments=self.build_args
        )
