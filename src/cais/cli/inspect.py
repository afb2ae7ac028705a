"""`cais inspect`: what the engine knows of an object, as it says it."""

from __future__ import annotations

from cais.cli.command import Command, CommandError, Invocation
from cais.cli.flags import FORMAT, Flag, switch
from cais.cli.formats import parsed_template
from cais.cli.output import err, out
from cais.cli.platform import platform_query
from cais.client import networks
from cais.client.errors import CannotConnect, ConnectionLost, EngineError
from cais.client.pretty import compact_json, indented_json
from cais.client.system import raw_object
from cais.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_KINDS = ("config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume")
_SEARCHED = ("container", "image", "network", "volume", "plugin")


def _inspect_each(call: Invocation, look_up: Callable[[str], tuple[str, bytes]]) -> int:
    """Print what was found, and then what was not. `look_up` gives the kind and the JSON of an object."""
    template = call.flags.text("format")
    apply = _applied(template) if template not in {"", "json"} else None
    found: list[bytes] = []
    shown: list[str] = []
    failed: list[str] = []
    for name in call.arguments:
        try:
            kind, data = look_up(name)
            if apply is None:
                found.append(data)
            else:
                shown.append(f"{apply(kind, data)}\n")
        except (EngineError, InvalidArgument, CommandError) as error:
            failed.append(str(error))
        except (CannotConnect, ConnectionLost) as error:
            failed.append(str(error))
            break
    if apply is None:
        whole = b"[" + b",".join(found) + b"]"
        out(compact_json(whole) if template else indented_json(whole))
    else:
        out("".join(shown) or "\n", end="", template=template)
    for message in failed:
        err(message)
    return 1 if failed else 0


def _applied(template: str) -> Callable[[str, bytes], str]:
    """What makes a text of an object's kind and JSON. Raises CommandError for a template that is not well formed."""
    from cais.cli.gotemplate import TemplateError  # noqa: PLC0415 -- only for templates
    from cais.cli.gotemplate.typed import inspected  # noqa: PLC0415

    parsed = parsed_template(template)

    def apply(kind: str, data: bytes) -> str:
        try:
            return inspected(parsed, kind, data)
        except TemplateError as error:
            raise CommandError(f"template parsing error: {error}") from None

    return apply


def _inspect(call: Invocation) -> int:
    kind, size = call.flags.text("type"), call.flags.on("size")
    if "type" in call.flags.given and kind not in _KINDS:
        known = ", ".join(f'"{name}"' for name in _KINDS)
        wrong = f'unknown type: "{kind}"' if kind else "type is empty"
        raise CommandError(f"{wrong}: must be one of {known}")
    kinds = (kind,) if kind else _SEARCHED

    def look_up(name: str) -> tuple[str, bytes]:
        for searched in kinds:
            try:
                return searched, raw_object(call.engine, searched, name, size=size)
            except EngineError as error:
                if kind or error.status not in {404, 501}:
                    raise
        raise CommandError(f"Error: No such object: {name}")

    return _inspect_each(call, look_up)


def _inspect_container(call: Invocation) -> int:
    size = call.flags.on("size")
    return _inspect_each(call, lambda name: ("container", raw_object(call.engine, "container", name, size=size)))


def _inspect_image(call: Invocation) -> int:
    query = platform_query(call.flags.text("platform"), "")
    return _inspect_each(call, lambda name: ("image", raw_object(call.engine, "image", name, query=query)))


def _inspect_volume(call: Invocation) -> int:
    return _inspect_each(call, lambda name: ("volume", raw_object(call.engine, "volume", name)))


def _inspect_network(call: Invocation) -> int:
    verbose = call.flags.on("verbose")
    return _inspect_each(call, lambda name: ("network", networks.raw_detail(call.engine, name, verbose=verbose)))


INSPECT = Command(
    "[OPTIONS] NAME|ID [NAME|ID...]",
    "",
    (
        FORMAT,
        switch("size", "Display total file sizes if the type is container", "s"),
        Flag("type", "Only inspect objects of the given type"),
    ),
    _inspect,
    1,
    completes="object",
)
INSPECT_CONTAINER = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "",
    (FORMAT, switch("size", "Display total file sizes", "s")),
    _inspect_container,
    1,
    completes="container",
)
INSPECT_IMAGE = Command(
    "[OPTIONS] IMAGE [IMAGE...]",
    "",
    (
        FORMAT,
        Flag(
            "platform",
            "Inspect a specific platform of the multi-platform image.\n"
            "If the image or the server is not multi-platform capable, the command will error out if the platform does "
            "not match.\n'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)",
        ),
    ),
    _inspect_image,
    1,
    completes="image",
)
INSPECT_VOLUME = Command("[OPTIONS] VOLUME [VOLUME...]", "", (FORMAT,), _inspect_volume, 1, completes="volume")
INSPECT_NETWORK = Command(
    "[OPTIONS] NETWORK [NETWORK...]",
    "",
    (FORMAT, switch("verbose", "Verbose output for diagnostics", "v")),
    _inspect_network,
    1,
    completes="network",
)
