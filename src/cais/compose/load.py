"""From Compose files to one tree: each file is read, its variables replaced, checked, brought into the long form, and
its services extended; then the files are laid over one another, and what they include is taken in.
"""

from __future__ import annotations

import os
import sys

from cais.compose import paths
from cais.compose.document import copied
from cais.compose.documents import data_of, long_form, sources
from cais.compose.errors import ComposeError
from cais.compose.merge import merge, remove

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from cais.compose.document import Document, Path, Tree
    from cais.compose.documents import Source

_KINDS = ("services", "networks", "volumes", "secrets", "configs", "models")


class Loader:
    """Reads the files of one project directory. `warn` is told what is wrong but not fatal."""

    def __init__(
        self,
        directory: str,
        environment: Mapping[str, str],
        warn: Callable[[str], None],
        *,
        interpolates: bool = True,
        resolves_paths: bool = True,
        including: Sequence[str] = (),
    ) -> None:
        self._directory = directory
        self._environment = environment
        self._warn = warn
        self._interpolates = interpolates
        self._resolves_paths = resolves_paths
        self._including = including  # the files that include the ones that are read here, outermost first
        self._read: dict[str, list[tuple[Document, Tree]]] = {}
        self.documents: list[Document] = []

    def load(self, files: Sequence[str]) -> Tree:
        """The tree of all files together. Raises ComposeError and OSError."""
        result: Tree = {}
        for file in files:
            for document, data in self._documents(file):
                self.documents.append(document)
                for path in (*document.resets, *document.overrides):
                    remove(result, path)
                extended = self._with_extensions(document, data, file)
                result = merge(result, extended)
        includes = result.pop("include", None)
        if self._resolves_paths:
            paths.resolve(result, self._directory)
        for entry in includes or ():
            self._include(result, entry, files)
        return result

    def where(self, path: Path) -> str:
        """The place of a part of the project, as it stands in front of a message."""
        for document in reversed(self.documents):
            if line := document.lines.get(path):
                return f"{document.file}:{line}: "
        return f"{self.documents[-1].file}: " if self.documents and len(path) <= 1 else self._around(path)

    def _around(self, path: Path) -> str:
        return self.where(path[:-1]) if path else ""

    def _documents(self, file: str) -> list[tuple[Document, Tree]]:
        """The documents of a file with what they say, in the long form."""
        if file in self._read:
            return self._read[file]
        lengthen = self._long if self._interpolates else self._as_written
        found = sources(file, _text_of(file), lengthen, keeps=self._interpolates)
        self._read[file] = found
        return found

    def _long(self, source: Source) -> Tree:
        """The long form of a document, with its variables replaced."""
        if source.long is not None:
            if source.has_version:
                self._warn_of_version(source.document)
            return source.long
        from cais.compose.schema import validate  # noqa: PLC0415 -- what is kept is valid

        document = source.document
        data = data_of(document)
        data = self._interpolated(document, data)
        validate(document, data)
        if data.pop("version", None) is not None:
            self._warn_of_version(document)
        return long_form(document, data)

    def _as_written(self, source: Source) -> Tree:
        from cais.compose.schema import validate  # noqa: PLC0415 -- seldom needed
        from cais.compose.written import as_written  # noqa: PLC0415

        data = data_of(source.document)
        validate(source.document, data)
        if data.pop("version", None) is not None:
            self._warn_of_version(source.document)
        return as_written(source.document, data)

    def _warn_of_version(self, document: Document) -> None:
        self._warn(
            f"{document.file}: the attribute `version` is obsolete, it will be ignored, please remove it to avoid "
            "potential confusion"
        )

    def _interpolated(self, document: Document, data: Tree) -> Tree:
        from cais.compose.interpolate import interpolate  # noqa: PLC0415 -- seldom needed

        def unset(name: str) -> None:
            self._warn(f'The "{name}" variable is not set. Defaulting to a blank string.')

        result: Tree = interpolate(data, self._environment, unset)
        return result

    def _with_extensions(self, document: Document, data: Tree, file: str) -> Tree:
        services = data.get("services")
        if not services:
            return data
        extended = {
            name: self._extended(document, services, name, file, ()) if "extends" in service else service
            for name, service in services.items()
        }
        return {**data, "services": copied(extended)}

    def _extended(
        self, document: Document, services: Tree, name: str, file: str, trail: tuple[tuple[str, str], ...]
    ) -> Tree:
        """The service on top of the one that it extends."""
        own = dict(services[name])
        given = own.pop("extends", None)
        if given is None:
            return own
        path = ("services", name, "extends")
        if (file, name) in trail:
            circle = " -> ".join(each for _, each in (*trail, (file, name)))
            raise document.error(path, f"circular reference with extends: {circle}")
        trail = (*trail, (file, name))
        if isinstance(given, str):
            given = {"service": given}
        wanted = given["service"]
        other_file = given.get("file")
        if not other_file:
            if wanted not in services:
                raise document.error(path, f'cannot extend service "{name}" in {file}: service "{wanted}" not found')
            base = self._extended(document, services, wanted, file, trail)
        else:
            base = self._from_file(document, name, wanted, other_file, trail)
        base = copied(base)
        prefix = ("services", name)
        for each in (*document.resets, *document.overrides):
            if each[:2] == prefix and len(each) > 2:
                remove(base, each[2:])
        return merge(base, own, prefix)

    def _from_file(
        self, document: Document, name: str, wanted: str, other_file: str, trail: tuple[tuple[str, str], ...]
    ) -> Tree:
        target = paths.absolute(self._directory, other_file)
        path = ("services", name, "extends", "file")
        try:
            found = self._documents(target)
        except OSError as error:
            raise document.error(path, f"cannot read {target}: {error.strerror}") from None
        services: Tree = {}
        document_of = document
        for other, data in found:
            services = merge(services, data.get("services") or {}, ("services",))
            document_of = other
        if wanted not in services:
            raise document.error(
                path, f'cannot extend service "{name}" in {document.file}: service "{wanted}" not found in {target}'
            )
        base: Tree = copied(self._extended(document_of, services, wanted, target, trail))
        if self._resolves_paths:
            paths.resolve_service(base, os.path.dirname(target))
        return base

    def _include(self, result: Tree, entry: Any, files: Sequence[str]) -> None:
        given = {"path": entry} if isinstance(entry, str) else entry
        listed = given["path"] if isinstance(given["path"], list) else [given["path"]]
        targets = [paths.absolute(self._directory, path) for path in listed]
        for target in targets:
            if target in self._including or target in files:
                circle = "\n".join((*files[:1], f" includes {target}"))
                raise ComposeError(f"include cycle detected:\n{circle}")
        directory = paths.absolute(self._directory, given.get("project_directory") or os.path.dirname(targets[0]))
        environment = {**self._included_environment(given, directory), **self._environment}
        loader = Loader(
            directory,
            environment,
            self._warn,
            interpolates=self._interpolates,
            resolves_paths=self._resolves_paths,
            including=(*self._including, *files),
        )
        try:
            included = loader.load(targets)
        except OSError as error:
            raise ComposeError(f"cannot read {error.filename}: {error.strerror}") from None
        self.documents[:0] = loader.documents
        self._take_in(result, included)

    def _included_environment(self, given: Tree, directory: str) -> dict[str, str]:
        from cais.compose import dotenv  # noqa: PLC0415 -- for what is included alone

        listed = given.get("env_file")
        if not listed:
            default = os.path.join(directory, ".env")
            return dotenv.read_file(default, self._environment) if dotenv.is_file(default) else {}
        found: dict[str, str] = {}
        for path in listed if isinstance(listed, list) else [listed]:
            found.update(dotenv.read_file(paths.absolute(self._directory, path), self._environment, found))
        return found

    def _take_in(self, result: Tree, included: Tree) -> None:
        for kind in _KINDS:
            for name, value in (included.get(kind) or {}).items():
                known = result.setdefault(kind, {})
                if name in known and known[name] != value:
                    raise ComposeError(f"{self.where((kind, name))}{kind}.{name} conflicts with imported resource")
                known[name] = value
        for name, value in included.items():
            if name.startswith("x-"):
                result.setdefault(name, value)


def _text_of(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    with open(file, encoding="utf-8") as stream:
        return stream.read()
