"""`cais build --check`: what BuildKit's rules say of a Dockerfile, without building anything."""

from __future__ import annotations

import os

from cais.build.checks import check as check_dockerfile
from cais.build.dockerfile import parse
from cais.build.errors import DockerfileError
from cais.cli.build_flags import build_args
from cais.cli.command import CommandError
from cais.cli.output import out
from cais.client import system
from cais.client.codec import loads
from cais.errors import CaisError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.build_context import Context
    from cais.cli.command import Invocation


def check(call: Invocation, context: Context) -> int:
    """Print what was found; 1 where something was. Raises CommandError for a Dockerfile that cannot be read."""
    if context.text is None:
        raise CommandError("--check needs a context whose Dockerfile can be read here: not an archive")
    given = {name: value for name, value in build_args(call.flags, call.settings, "").items() if value is not None}

    def environment(image: str) -> dict[str, str] | None:
        return _environment(call, image)

    try:
        result = check_dockerfile(parse(context.text, _shown_name(call)), given, environment, context.ignore)
    except DockerfileError as error:
        raise CommandError(error.detailed) from None
    count = len(result.findings)
    found = "no warnings found." if not count else f"{count} warning{'s have' if count > 1 else ' has'} been found!"
    out(f"Check complete, {found}")
    for finding in result.findings:
        out(f"\nWARNING: {finding.rule} - {finding.url}\n{finding.message}\n{result.excerpt(finding)}", end="")
    return 1 if count else 0


def _shown_name(call: Invocation) -> str:
    name = call.flags.text("file")
    return os.path.basename(name) if name and name != "-" else "Dockerfile"


def _environment(call: Invocation, image: str) -> dict[str, str] | None:
    """The variables of a base image, where the engine runs and has it; nothing is pulled, nor started, for a check."""
    try:
        found = loads(system.raw_object(call.engine.aside(), "image", image))
    except (CaisError, OSError, ValueError):
        return None
    pairs = (found.get("Config") or {}).get("Env") or []
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}
