"""`cais inspect`: what the engine knows of an object, as it says it."""

from __future__ import annotations

from cais.cli.command import Command, CommandError, Invocation
from cais.cli.flags import FORMAT, Flag, switch
from cais.cli.formats import wants_json
from cais.cli.output import err, out
from cais.client.errors import EngineError
from cais.client.pretty import compact_json, indented_json
from cais.client.system import raw_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_KINDS = ("config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume")
_SEARCHED = ("container", "image", "network", "volume", "plugin")


def _inspect_each(call: Invocation, look_up: Callable[[str], bytes]) -> int:
    """Print a JSON array of what was found, and then what was not."""
    one_line = wants_json(call.flags.text("format"))
    found, failed = [], []
    for name in call.arguments:
        try:
            found.append(look_up(name))
        except (EngineError, CommandError) as error:
            failed.append(str(error))
    data = b"[" + b",".join(found) + b"]"
    out(compact_json(data) if one_line else indented_json(data))
    for message in failed:
        err(message)
    return 1 if failed else 0


def _inspect(call: Invocation) -> int:
    kind, size = call.flags.text("type"), call.flags.on("size")
    if kind:
        if kind not in _KINDS:
            known = ", ".join(f'"{name}"' for name in _KINDS)
            raise CommandError(f'unknown type: "{kind}": must be one of {known}')
        return _inspect_each(call, lambda name: raw_object(call.engine, kind, name, size=size))

    def look_up(name: str) -> bytes:
        for kind in _SEARCHED:
            try:
                return raw_object(call.engine, kind, name, size=size)
            except EngineError as error:
                if error.status not in {404, 501}:
                    raise
        raise CommandError(f"Error: No such object: {name}")

    return _inspect_each(call, look_up)


def _inspect_container(call: Invocation) -> int:
    size = call.flags.on("size")
    return _inspect_each(call, lambda name: raw_object(call.engine, "container", name, size=size))


def _inspect_image(call: Invocation) -> int:
    return _inspect_each(call, lambda name: raw_object(call.engine, "image", name))


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
)
INSPECT_CONTAINER = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "",
    (FORMAT, switch("size", "Display total file sizes", "s")),
    _inspect_container,
    1,
)
INSPECT_IMAGE = Command("[OPTIONS] IMAGE [IMAGE...]", "", (FORMAT,), _inspect_image, 1)
