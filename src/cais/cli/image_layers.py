"""`cais image layers`: a picture of an image's layers, the newest on top."""

from __future__ import annotations

import os

from cais.cli.command import Command, Invocation
from cais.cli.flags import FORMAT, switch
from cais.cli.formats import parsed_template
from cais.cli.output import STDOUT, out, printable, terminal_size, write_all
from cais.cli.units import ellipsis, human_size, short_id
from cais.client import images
from cais.client.codec import dumps_readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cais.client.model import ImageLayers, LayerStep

_BAR_COLUMNS = 20
_SHOWN_PATHS = 3
_SHOWN_IMAGES = 5
_WIDE = 1 << 20
_COLOURS = {"+": "\x1b[32m", "~": "\x1b[33m", "-": "\x1b[31m", "█": "\x1b[36m"}
_BOLD, _FAINT, _RESET = "\x1b[1m", "\x1b[2m", "\x1b[0m"


def _layers(call: Invocation) -> int:
    template = call.flags.text("format")
    found = images.layers(call.engine, call.arguments[0])
    if template == "json":
        out(dumps_readable(found))
    elif template:
        from cais.cli.gotemplate.values import held  # noqa: PLC0415 -- only for templates

        out(parsed_template(template).apply(held(found), strict=True), template=template)
    else:
        size = terminal_size(STDOUT)
        picture = _Picture(size[0] if size and size[0] else _WIDE, whole=call.flags.on("no-trunc"))
        text = "".join(f"{line}\n" for line in picture.lines(found))
        write_all(STDOUT, text.encode("utf-8", "replace"))
    return 0


class _Picture:
    """Draws for a width of so many columns, with colours if standard output is a terminal.

    `whole`: nothing is cut, and all that the engine says of a layer is shown.
    """

    def __init__(self, columns: int, *, whole: bool) -> None:
        self._columns = _WIDE if whole else columns
        self._whole = whole
        self._styled = os.isatty(STDOUT) and not os.environ.get("NO_COLOR")

    def lines(self, image: ImageLayers) -> Iterator[str]:
        steps = image.get("Steps", [])
        layers = [step for step in steps if "ChainId" in step]
        names = ", ".join(image.get("RepoTags", [])) or "<none>"
        count = "1 layer" if len(layers) == 1 else f"{len(layers)} layers"
        identity = image["Id"] if self._whole else short_id(image["Id"])
        yield self._in(_BOLD, self._cut(f"{names}  {identity}  {count}, {human_size(image.get('Size', 0))}"))
        biggest = max((step["Size"] for step in layers), default=0)
        number = len(layers)
        for step in reversed(steps):
            if "ChainId" not in step:
                yield self._in(_FAINT, self._cut(f"    ○  {self._instruction(step)}"))
                continue
            yield from self._layer(step, number, biggest)
            number -= 1

    def _layer(self, step: LayerStep, number: int, biggest: int) -> Iterator[str]:
        yield self._in(_BOLD, self._cut(f"{number:>3} ●  {self._instruction(step)}"))
        filled = -(-step["Size"] * _BAR_COLUMNS // biggest) if biggest else 0
        bar = self._in(_COLOURS["█"], "█" * filled) + "░" * (_BAR_COLUMNS - filled)
        counts = "  ".join(
            self._in(_COLOURS[sign], f"{sign}{step[name]}") + f" {name.lower()}"  # type: ignore[literal-required]
            for sign, name in (("+", "Added"), ("~", "Changed"), ("-", "Removed"))
        )
        more = "" if step.get("Complete", True) else "  (counted in part: the layer has too many files)"
        yield f"    │  {human_size(step['Size']):>8}  {bar}  {counts}{more}"
        shown = None if self._whole else _SHOWN_PATHS
        for path in step.get("Largest", [])[:shown]:
            yield self._path("+" if path["Kind"] == "added" else "~", human_size(path["Size"]), path["Path"])
        for gone in step.get("Gone", [])[:shown]:
            yield self._path("-", "", gone)
        others = step.get("SharedWith", [])
        if others:
            hidden = 0 if self._whole else max(len(others) - _SHOWN_IMAGES, 0)
            names = ", ".join(others[: len(others) - hidden])
            yield self._cut(f"    │  shared with {names}" + (f" and {hidden} more" if hidden else ""))

    def _path(self, sign: str, size: str, path: str) -> str:
        text = self._cut(f"    │  {sign} {size:>8}  {path}")
        return text.replace(sign, self._in(_COLOURS[sign], sign), 1)

    def _instruction(self, step: LayerStep) -> str:
        text = step.get("CreatedBy", "") or step.get("Comment", "") or "(no word of how it was made)"
        return " ".join(text.removeprefix("/bin/sh -c #(nop) ").replace("/bin/sh -c ", "RUN ", 1).split())

    def _cut(self, text: str) -> str:
        """What an image says, without anything that a terminal would obey, in one line of the screen."""
        return ellipsis(printable(text).replace("\n", " ").replace("\t", " "), self._columns)

    def _in(self, style: str, text: str) -> str:
        return f"{style}{text}{_RESET}" if self._styled and text else text


LAYERS = Command(
    "[OPTIONS] IMAGE",
    "",
    (FORMAT, switch("no-trunc", "Don't truncate output")),
    _layers,
    1,
    1,
    completes="image",
    long_help="Show what each layer of an image adds, changes and removes, the newest layer first",
)
