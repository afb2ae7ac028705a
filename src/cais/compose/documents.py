"""The documents of a Compose file, in the long form where that does not depend on variables.

Both follow from the text of the file alone, so they are kept (`kept`), with the lines that errors name; what an
environment could change never is. With them kept, neither YAML nor the schema has to be loaded. An entry has for each
document four texts of JSON:

    what it is          {"resets": […], "overrides": […], "version": whether it has one}
    its values          as they are in the file
    the long form       null where a variable is in it
    the lines           [[line, *path], …]
"""

from __future__ import annotations

import os
import sys

from cais.client.codec import dumps, loads
from cais.compose.digests import sha256_hex
from cais.compose.document import Document, copied
from cais.compose.kept import Kept, folder_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cais.compose.document import Tree

# What an entry follows from beside the text: this module, and those that it is worked out with.
_MODULES = (
    *("canonical", "digests", "document", "documents", "merge", "mounts", "ports", "reading", "schema", "units"),
    "compose-spec.schema",
)
_TEXTS = 4


class Source:
    """A document and what is known of it. `long`: its long form, where no variable is in it and it is known already."""

    __slots__ = ("document", "has_version", "long")

    def __init__(self, document: Document, long: Tree | None = None, *, has_version: bool = False) -> None:
        self.document = document
        self.long = long
        self.has_version = has_version


def sources(
    file: str, text: str, lengthen: Callable[[Source], Tree], *, keeps: bool = True
) -> list[tuple[Document, Tree]]:
    """The documents of a file with their long forms, which `lengthen` makes where they are not kept.

    `keeps`: what is made now is kept.

    Raises FileError, and what `lengthen` raises.
    """
    folder = folder_of(os.environ)
    key = _key(text) if folder else ""
    kept = Kept(folder) if key else None
    if kept is not None and (texts := kept.get(key)) is not None:
        return [(source.document, lengthen(source)) for source in _decoded(file, texts)]
    from cais.compose.reading import read  # noqa: PLC0415 -- seldom needed, with the package for YAML

    found = [(document, lengthen(Source(document))) for document in read(file, text)]
    if keeps and kept is not None and (texts := _encoded(found)):
        kept.put(key, texts)
    return found


def long_form(document: Document, data: Tree) -> Tree:
    """`data`, the document's with its variables replaced, valid by the schema, in the long form. Raises FileError."""
    from cais.compose.canonical import canonical  # noqa: PLC0415 -- seldom needed
    from cais.compose.merge import without_repetitions  # noqa: PLC0415

    long = canonical(document, data)
    for service in (long.get("services") or {}).values():
        service.update(without_repetitions(service))
    return long


def _key(text: str) -> str:
    """The key of a file's text, "" where that of the program is not known."""
    try:
        program = [sys.version.encode(), _yaml_version(), *map(_source_of, _MODULES)]
    except OSError:
        return ""
    parts = [*program, text.encode("utf-8", "surrogatepass")]
    return sha256_hex(b"".join(b"%d:%b" % (len(part), part) for part in parts))


def _source_of(module: str) -> bytes:
    suffix = "json" if module.endswith(".schema") else "py"
    with open(os.path.join(os.path.dirname(__file__), f"{module}.{suffix}"), "rb", 0) as file:
        return file.read()


def _yaml_version() -> bytes:
    """The module that says of which version the package for YAML is; it is found without being imported."""
    for folder in sys.path:
        try:
            with open(os.path.join(folder, "yaml", "__init__.py"), "rb", 0) as file:
                return file.read()
        except OSError:
            continue
    return b""


def _encoded(found: list[tuple[Document, Tree]]) -> list[str]:
    """The texts of an entry, none for documents with something in them that does not come back from JSON as it was."""
    texts = []
    for document, long in found:
        what = {
            "resets": [list(path) for path in document.resets],
            "overrides": [list(path) for path in document.overrides],
            "version": document.data.get("version") is not None,
        }
        lines = [[line, *path] for path, line in document.lines.items()]
        try:
            values = dumps(document.data)
            pieces = [what, document.data, None if b"$" in values else long, lines]
            for piece in pieces:
                encoded = dumps(piece)
                if loads(encoded) != piece:
                    return []
                texts.append(encoded.decode("ascii"))
        except (ValueError, TypeError, RecursionError):
            return []
    return texts


def _decoded(file: str, texts: list[str]) -> list[Source]:
    found = []
    for at in range(0, len(texts), _TEXTS):
        what, values, long, lines = texts[at : at + _TEXTS]
        described = loads(what)
        document = Document(file, values, lines)
        document.resets = [tuple(path) for path in described["resets"]]
        document.overrides = [tuple(path) for path in described["overrides"]]
        found.append(Source(document, loads(long), has_version=described["version"]))
    return found


def data_of(document: Document) -> Tree:
    """What a document says, without what it resets; to be changed by whoever asks for it."""
    from cais.compose.merge import remove  # noqa: PLC0415

    data: Tree = copied(document.data)
    for path in document.resets:
        remove(data, path)
    return data
