"""`cais build`: an image of a Dockerfile and its context."""

from __future__ import annotations

import os

from cais.cli.build_context import Context, open_context
from cais.cli.build_flags import FLAGS, engine_query
from cais.cli.build_output import export, parse_outputs
from cais.cli.build_view import Live, Plain, View, failure_log
from cais.cli.command import Command, CommandError, Invocation
from cais.cli.output import STDERR, STDOUT, err, out
from cais.client import builds
from cais.client.engine import json_lines
from cais.client.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cais.cli.build_output import Output
    from cais.client.http import Response
    from cais.client.model import ProgressMessage

_MOST_STATUS = 255
_DEFAULT, _GENERATED = "Dockerfile", ".dockerfile."


def _build(call: Invocation) -> int:
    given = call.flags
    outputs = parse_outputs(given) if given.on("push") or given.texts("output") else []
    _check_supported(call, outputs)
    context = open_context(call.arguments[0], given.text("file"))
    try:
        if given.on("check"):
            from cais.cli.build_check import check  # noqa: PLC0415 -- loads the whole language

            return check(call, context)
        if _has_rules(call, context):
            from cais.cli.build_check import refuse_findings  # noqa: PLC0415 -- loads the whole language

            refuse_findings(call, context)
        view = _built_with_cache(call, context)
        if outputs:
            export(call, view.identity, outputs)
        return _report(call, view, to_stdout=any(output.is_stdout for output in outputs))
    finally:
        context.close()


def _has_rules(call: Invocation, context: Context) -> bool:
    """Whether a Dockerfile is perhaps to be checked before it is built."""
    asked = any(text.startswith("BUILDKIT_DOCKERFILE_CHECK") for text in call.flags.texts("build-arg"))
    return asked or b"check" in (context.text or b"").partition(b"\nFROM")[0]


def _check_supported(call: Invocation, outputs: list[Output]) -> None:
    """Refuse what only a Cais can do where the engine is another one."""
    given = call.flags
    if given.on("load") and given.on("push"):
        raise CommandError("push and load may not be set together at the moment")
    wanted = [name for name in ("secret", "ssh", "build-context", "no-cache-filter", "cache-to") if given.texts(name)]
    wanted += ["cache-from"] if any("=" in text for text in given.texts("cache-from")) else []
    wanted += [f"output type={output.kind}" for output in outputs if output.kind in ("local", "tar")]
    if wanted and not call.engine.is_cais():
        raise CommandError(f"--{wanted[0]} is not supported by this engine, which is not a Cais")


def _built_with_cache(call: Invocation, context: Context) -> View:
    given = call.flags
    if not (given.texts("cache-from") or given.texts("cache-to")) or not call.engine.is_cais():
        return _built(call, context, [])
    from cais.cli.build_cache import ImportedCache, export_cache, parse_places  # noqa: PLC0415 -- seldom needed

    sources, places = parse_places(given, "cache-from"), parse_places(given, "cache-to")
    imported = ImportedCache(call)
    try:
        for source in sources:
            imported.fetch(source)
        view = _built(call, context, imported.names)
    finally:
        imported.close()
    if places:
        export_cache(call, view.cache, places)
    return view


def _built(call: Invocation, context: Context, cache_from: list[str]) -> View:
    given = call.flags
    query = engine_query(given, call.settings, call.engine.endpoint.url, context.dockerfile)
    view = _view(call)
    try:
        if call.engine.is_cais():
            from cais.cli.build_cais import begin  # noqa: PLC0415 -- what other engines don't have

            answer = begin(call, context, view, query, _registries(call), cache_from=cache_from)
        else:
            answer = builds.build(call.engine, query, context.blocks(view.sent), _registries(call))
        _watch(answer, view)
    except EngineError as error:
        _explain(context, error)
        raise
    except CommandError as error:
        view.close(error.message)
        if given.on("quiet"):
            err("".join(view.text) + failure_log(view.steps), end="")
        _show_instruction(context, view)
        raise
    view.close("")
    return view


def _view(call: Invocation) -> View:
    mode = "quiet" if call.flags.on("quiet") else call.flags.text("progress")
    if mode == "quiet":
        return View()
    if mode == "tty" or (mode == "auto" and os.isatty(STDERR)):
        return Live(STDERR)
    return Plain(STDERR, STDOUT)


def _watch(answer: Response, view: View) -> None:
    """Show what the engine tells, to the end. Raises CommandError with the status of what failed."""
    messages: Iterator[ProgressMessage] = json_lines(answer)
    if isinstance(view, Live):
        from cais.cli.build_ticks import with_ticks  # noqa: PLC0415 -- needs threads

        messages = with_ticks(messages, view.tick)
    for message in messages:
        failure = message.get("errorDetail") or {}
        if text := failure.get("message") or message.get("error"):
            code = failure.get("code", 0)
            raise CommandError(text, code if 0 < code <= _MOST_STATUS else 1)
        view.take(message)


def _registries(call: Invocation) -> dict[str, str]:
    """The credentials that the user has, which any FROM may need."""
    from cais.cli.credentials import all_authorizations  # noqa: PLC0415

    return all_authorizations(call.settings)


def _explain(context: Context, error: EngineError) -> None:
    """Show the lines of the Dockerfile that an error is about."""
    if context.text is None or not ("ockerfile" in error.message or "failed to parse" in error.message):
        return
    from cais.build.dockerfile import parse  # noqa: PLC0415 -- only where something is wrong
    from cais.build.errors import DockerfileError  # noqa: PLC0415

    name = os.path.basename(context.dockerfile)
    try:
        parse(context.text, _DEFAULT if name.startswith(_GENERATED) else name)
    except DockerfileError as found:
        if found.excerpt and found.excerpt not in error.message:
            err(found.excerpt, end="")


def _show_instruction(context: Context, view: View) -> None:
    """Show the lines of the instruction that has failed, where the Dockerfile says it once."""
    step = view.steps.failed
    if step is None or context.text is None:
        return
    from cais.build.errors import DockerfileError, excerpt  # noqa: PLC0415 -- only where something is wrong
    from cais.build.lexer import lex  # noqa: PLC0415

    name = os.path.basename(context.dockerfile)
    try:
        lexed = lex(context.text.decode("utf-8", "replace"), _DEFAULT if name.startswith(_GENERATED) else name)
    except DockerfileError:
        return
    nodes = [node for node in lexed.nodes if " ".join(node.original.split()) == step.text]
    if len(nodes) == 1:
        err(excerpt(lexed.name, lexed.lines, nodes[0].first_line, nodes[0].last_line), end="")


def _report(call: Invocation, view: View, *, to_stdout: bool) -> int:
    given = call.flags
    identity = view.identity
    if given.on("quiet") and not to_stdout:
        out(identity or "".join(view.text).strip())
    if path := given.text("iidfile"):
        _write(path, identity.encode())
    if path := given.text("metadata-file"):
        from cais.client.codec import dumps  # noqa: PLC0415

        metadata: dict[str, object] = {"containerimage.config.digest": identity, "containerimage.digest": identity}
        if given.texts("tag"):
            metadata["image.name"] = ",".join(given.texts("tag"))
        _write(path, dumps(metadata))
    return 0


def _write(path: str, data: bytes) -> None:
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        raise CommandError(f"open {path}: {(error.strerror or str(error)).lower()}") from error


BUILD = Command(
    "[OPTIONS] PATH | URL | -",
    "image build, build, builder build",
    FLAGS,
    _build,
    1,
    1,
    completes="file",
)
