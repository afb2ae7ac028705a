"""`cais build --check`: what BuildKit's rules say of a Dockerfile, without building anything."""

from __future__ import annotations

import os

from cais.build.checks import KnownImage
from cais.build.checks import check as check_dockerfile
from cais.build.dockerfile import parse
from cais.build.errors import DockerfileError
from cais.cli.build_flags import build_args
from cais.cli.command import CommandError
from cais.cli.output import err, out
from cais.cli.platform import parse_platform
from cais.client import system
from cais.client.codec import loads
from cais.errors import CaisError, InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.build.checks import Result
    from cais.cli.build_context import Context
    from cais.cli.command import Invocation


def check(call: Invocation, context: Context) -> int:
    """Print what was found; 1 where something was. Raises CommandError for a Dockerfile that cannot be read."""
    if context.text is None:
        raise CommandError("--check needs a context whose Dockerfile can be read here: not an archive")
    text = context.text.decode("utf-8", "replace")
    try:
        result = _checked(call, context, text)
    except DockerfileError as error:
        _show_above(call, context, text, error)
        raise CommandError(error.detailed) from None
    count = len(result.findings)
    found = "no warnings found." if not count else f"{count} warning{'s have' if count > 1 else ' has'} been found!"
    out(f"Check complete, {found}")
    _show(result)
    if result.error:
        err(f"ERROR: {result.error}")
    return 1 if count else 0


def refuse_findings(call: Invocation, context: Context) -> None:
    """Before a build: what the rules find ends it where the Dockerfile or a build argument says `error=true`.

    Raises: CommandError. A Dockerfile that cannot be read is left to the engine.
    """
    if context.text is None:
        return
    try:
        result = _checked(call, context, context.text.decode("utf-8", "replace"))
    except DockerfileError:
        return
    if result.error:
        first = result.findings[0]
        raise CommandError(f"{result.excerpt(first)}failed to solve: {result.error}")


def _checked(call: Invocation, context: Context, text: str) -> Result:
    given = {name: value for name, value in build_args(call.flags, call.settings, "").items() if value is not None}
    machine = f"linux/{parse_platform('linux')['architecture']}"  # this one's: an engine elsewhere may have another
    platforms = (machine, call.flags.text("platform") or machine)
    dockerfile = parse(text, _shown_name(call))
    try:
        return check_dockerfile(dockerfile, given, lambda image: _image(call, image), context.ignore, platforms)
    except DockerfileError:
        raise
    except InvalidArgument as error:
        raise CommandError(str(error)) from None


def _show(result: Result) -> None:
    for finding in result.findings:
        out(f"\nWARNING: {finding.rule} - {finding.url}\n{finding.message}\n{result.excerpt(finding)}", end="")


def _show_above(call: Invocation, context: Context, text: str, error: DockerfileError) -> None:
    """What was found before the line that cannot be read."""
    above = "\n".join(text.split("\n")[: max(error.first_line - 1, 0)])
    try:
        _show(_checked(call, context, above))
    except DockerfileError:
        return  # there is not even a stage


def _shown_name(call: Invocation) -> str:
    name = call.flags.text("file")
    return os.path.basename(name) if name and name != "-" else "Dockerfile"


def _image(call: Invocation, image: str) -> KnownImage | None:
    """A base image, where the engine runs and has it; nothing is pulled, nor started, for a check."""
    try:
        found = loads(system.raw_object(call.engine.aside(), "image", image))
    except (CaisError, OSError, ValueError):
        return None
    config = found.get("Config") or {}
    pairs = (pair.partition("=") for pair in config.get("Env") or [])
    return KnownImage(
        environment={name: value for name, _, value in pairs},
        platform=f"{found.get('Os', '')}/{found.get('Architecture', '')}",
        has_shell=bool(config.get("Shell")),
    )
