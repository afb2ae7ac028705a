"""`cais images --tree`: images, and below each the platforms that there are of it."""

from __future__ import annotations

import os

from cais.cli.command import CommandError, Invocation
from cais.cli.output import STDOUT, printable, terminal_size, write_all
from cais.cli.units import human_size, short_id
from cais.client import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cais.client.model import ImageSummary, ManifestSummary, OciPlatform

_WARNING = "WARNING: This is an experimental feature. The output may change and shouldn't be depended on."
_COLUMNS = (("ID", 12, str.ljust), ("DISK USAGE", 10, str.rjust), ("CONTENT SIZE", 12, str.rjust))
_GAP = "   "
_EXTRA_COLUMNS = 5
_OTHER_COLUMNS = sum(len(_GAP) + width for _, width, _ in _COLUMNS) + len(_GAP) + _EXTRA_COLUMNS
_DEFAULT_COLUMNS = 80
_LEAST_NAME_COLUMNS = 5
_NOT_WITH_TREE = (("no-trunc", "no-trunc"), ("quiet", "quiet"), ("digests", "show-digest"), ("format", "format"))
_RESET, _BOLD, _NAME, _FAINT = "\x1b[0m", "\x1b[1m", "\x1b[34m\x1b[1m", "\x1b[2m"
_WARNED, _CHIP, _BADGE = "\x1b[93m", "\x1b[38;5;0m\x1b[48;5;14m", "\x1b[1m\x1b[106m\x1b[30mi\x1b[0m \x1b[96m"


class _Line:
    """One line: of an image, or of one of its platforms."""

    __slots__ = ("cells", "in_use", "name", "style")

    def __init__(self, name: str, style: str, cells: tuple[str, str, str] | None, *, in_use: bool = False) -> None:
        self.name = name
        self.style = style
        self.cells = cells
        self.in_use = in_use


def show_tree(call: Invocation) -> int:
    """Print the tree. Raises CommandError."""
    given = call.flags
    for flag, word in _NOT_WITH_TREE:
        if flag in given.given and (given.text(flag) if flag == "format" else given.on(flag)):
            raise CommandError(f"--{word} is not yet supported with --tree")
    filters = given.filters()
    if call.arguments:
        filters.setdefault("reference", []).append(call.arguments[0])
    everything = given.on("all")
    found = images.summaries(call.engine, everything=everything, filters=filters, manifests=True)
    spaced = any(_platforms(image) for image in found)
    lines = [line for image in found for line in _lines(image, everything=everything, spaced=spaced)]
    styled = os.isatty(STDOUT)
    size = terminal_size(STDOUT)
    text = _Screen(size[0] if size and size[0] else _DEFAULT_COLUMNS, styled=styled).text(lines)
    write_all(STDOUT, text.encode("utf-8", "replace"))
    return 0


def _platforms(image: ImageSummary) -> list[ManifestSummary]:
    return [one for one in image.get("Manifests") or [] if one.get("Kind") == "image"]


def _lines(image: ImageSummary, *, everything: bool, spaced: bool) -> Iterator[_Line | None]:
    """The lines of an image, and None for an empty one behind them where they are `spaced`."""
    names = [name for name in image.get("RepoTags") or [] if name != "<none>:<none>"]
    if not names and not everything:
        return
    platforms = _platforms(image)
    content = sum((one.get("Size") or {}).get("Content", 0) for one in image.get("Manifests") or [])
    in_use = image.get("Containers", 0) > 0 or any(map(_is_used, platforms))
    cells = (short_id(image["Id"]), human_size(image.get("Size", 0)), human_size(content))
    *before, last = names or ["<untagged>"]
    yield from (_Line(name, _NAME, None) for name in before)
    yield _Line(last, _NAME, cells, in_use=in_use)
    for number, one in enumerate(platforms, 1):
        yield _platform_line(one, "└─" if number == len(platforms) else "├─")
    if spaced:
        yield None


def _platform_line(manifest: ManifestSummary, branch: str) -> _Line:
    size = manifest.get("Size") or {}
    cells = (short_id(manifest["ID"]), human_size(size.get("Total", 0)), human_size(size.get("Content", 0)))
    platform = (manifest.get("ImageData") or {}).get("Platform") or {}
    style = "" if manifest.get("Available") else _FAINT
    return _Line(f"{branch} {_platform_text(platform)}", style, cells, in_use=_is_used(manifest))


def _is_used(manifest: ManifestSummary) -> bool:
    return bool((manifest.get("ImageData") or {}).get("Containers"))


def _platform_text(platform: OciPlatform) -> str:
    parts = (platform.get("os", ""), platform.get("architecture", ""), platform.get("variant", ""))
    return "/".join(part for part in parts if part) or "unknown"


class _Screen:
    """Lines laid out for so many columns, in colours if it is a terminal."""

    def __init__(self, columns: int, *, styled: bool) -> None:
        self._columns = columns
        self._styled = styled

    def text(self, lines: list[_Line | None]) -> str:
        longest = max((len(line.name) for line in lines if line), default=0)
        name_columns = max(min(longest, self._columns - _OTHER_COLUMNS), _LEAST_NAME_COLUMNS)
        return "\n".join([*self._head(name_columns), *(self._line(line, name_columns) for line in lines), ""])

    def _head(self, name_columns: int) -> Iterator[str]:
        yield self._in(_WARNED, _WARNING)
        legend = "i Info →   U  In Use " if self._styled else "Info ->  U In Use "
        margin = " " * (self._columns - len(legend))
        styled = f"{_BADGE}Info → {_RESET} {self._in(_CHIP, ' U ')} In Use "
        yield margin + (styled if self._styled else legend)
        yield ""
        titles = [self._in(_BOLD, "IMAGE") + " " * (name_columns - len("IMAGE"))]
        titles += [self._in(_BOLD, title) + " " * (width - len(title)) for title, width, _ in _COLUMNS]
        yield _GAP.join([*titles, self._in(_BOLD, "EXTRA")])

    def _line(self, line: _Line | None, name_columns: int) -> str:
        if line is None:
            return ""
        name = printable(line.name)
        if len(name) > name_columns:
            name = name[: name_columns - 1] + "…"
        if line.cells is None:
            return self._in(line.style, name)
        style = "" if line.style == _NAME else line.style
        shown = [self._in(line.style, name) + " " * (name_columns - len(name))]
        for cell, (_, width, align) in zip(line.cells, _COLUMNS, strict=True):
            shown.append(align(cell, width).replace(cell, self._in(style, cell)))
        chip = f"{self._in(_CHIP, ' U ')}  " if self._styled else "U".ljust(_EXTRA_COLUMNS)
        return _GAP.join([*shown, chip if line.in_use else " " * _EXTRA_COLUMNS])

    def _in(self, style: str, text: str) -> str:
        return f"{style}{text}{_RESET}" if self._styled and style else text
