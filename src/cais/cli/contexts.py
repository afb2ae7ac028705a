"""The store of contexts: names for engines, kept where Docker keeps them.

    contexts/meta/HASH/meta.json      {"Name": …, "Metadata": {"Description": …}, "Endpoints": {"docker": {"Host": …}}}
    contexts/tls/HASH/docker/*.pem    ca.pem, cert.pem and key.pem, where an engine is reached through TLS

HASH is the SHA-256 of the name. The context "default" is not kept: it is what the environment says.
"""

from __future__ import annotations

import os

from cais.cli.command import CommandError
from cais.cli.settings import replace_file
from cais.client.codec import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT = "default"
_ENDPOINT = "docker"
_NAME_PATTERN = "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$"
_ALPHANUMERIC = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_TLS_FILES = ("ca.pem", "cert.pem", "key.pem")


class NoSuchContext(CommandError):
    """No context has the name."""


class Context:
    """One context. `metadata` and `endpoints` are kept as they are found: other tools add their own."""

    __slots__ = ("endpoints", "metadata", "name")

    def __init__(self, name: str, metadata: dict[str, Any], endpoints: dict[str, Any]) -> None:
        self.name = name
        self.metadata = metadata
        self.endpoints = endpoints

    @property
    def description(self) -> str:
        text = self.metadata.get("Description")
        return text if isinstance(text, str) else ""

    @property
    def endpoint(self) -> dict[str, Any]:
        found = self.endpoints.get(_ENDPOINT)
        return found if isinstance(found, dict) else {}

    @property
    def host(self) -> str:
        """The address of the engine, "" where the context leaves it to the environment."""
        text = self.endpoint.get("Host")
        return text if isinstance(text, str) else ""

    def as_json(self) -> dict[str, Any]:
        return {"Name": self.name, "Metadata": self.metadata, "Endpoints": self.endpoints}


class Store:
    """The contexts of a folder of settings."""

    __slots__ = ("_root",)

    def __init__(self, folder: str) -> None:
        self._root = os.path.join(folder, "contexts")

    def meta_folder(self, name: str) -> str:
        return os.path.join(self._root, "meta", _hash(name))

    def tls_folder(self, name: str) -> str:
        return os.path.join(self._root, "tls", _hash(name))

    def get(self, name: str) -> Context:
        """Raises NoSuchContext."""
        path = os.path.join(self.meta_folder(name), "meta.json")
        try:
            return _read(path)
        except OSError as error:
            reason = f"open {path}: {(error.strerror or str(error)).lower()}"
            raise NoSuchContext(f'context "{name}": context not found: {reason}') from None
        except ValueError as error:
            raise NoSuchContext(f'context "{name}": {path}: {error}') from None

    def all(self) -> list[Context]:
        """All of them, by name. What cannot be read is left out."""
        found = []
        try:
            folders = os.listdir(os.path.join(self._root, "meta"))
        except OSError:
            return []
        for folder in folders:
            try:
                found.append(_read(os.path.join(self._root, "meta", folder, "meta.json")))
            except (OSError, ValueError):
                continue
        return sorted(found, key=lambda context: context.name)

    def exists(self, name: str) -> bool:
        return os.path.exists(os.path.join(self.meta_folder(name), "meta.json"))

    def save(self, context: Context, tls: dict[str, bytes] | None = None) -> None:
        """Keep a context, and the TLS files by name, or, None, those that it has. Raises OSError."""
        folder = self.meta_folder(context.name)
        os.makedirs(folder, 0o755, exist_ok=True)
        replace_file(os.path.join(folder, "meta.json"), dumps(context.as_json()))
        if tls is None:
            return
        self._remove_tls(context.name)
        if tls:
            folder = os.path.join(self.tls_folder(context.name), _ENDPOINT)
            os.makedirs(folder, 0o700, exist_ok=True)
            for name, data in tls.items():
                replace_file(os.path.join(folder, name), data)

    def remove(self, name: str) -> None:
        """Forget a context. Raises OSError."""
        _remove_tree(self.meta_folder(name))
        self._remove_tls(name)

    def _remove_tls(self, name: str) -> None:
        _remove_tree(self.tls_folder(name))

    def tls_files(self, name: str) -> dict[str, str]:
        """The TLS files that a context has: path by name."""
        folder = os.path.join(self.tls_folder(name), _ENDPOINT)
        paths = {file: os.path.join(folder, file) for file in _TLS_FILES}
        return {file: path for file, path in paths.items() if os.path.exists(path)}


def check_name(name: str) -> None:
    """Raises CommandError for a name that no context may have."""
    if not name:
        raise CommandError("context name cannot be empty")
    if name == DEFAULT:
        raise CommandError(f'"{DEFAULT}" is a reserved context name')
    if len(name) < 2 or name[0] not in _ALPHANUMERIC or not _ALPHANUMERIC.union("_.+-").issuperset(name):
        raise CommandError(f'context name "{name}" is invalid, names are validated against regexp "{_NAME_PATTERN}"')


def _read(path: str) -> Context:
    with open(path, "rb") as file:
        value = loads(file.read())
    name = value.get("Name") if isinstance(value, dict) else None
    if not isinstance(name, str):
        raise ValueError("not a context")
    metadata, endpoints = (
        value.get(key) if isinstance(value.get(key), dict) else {} for key in ("Metadata", "Endpoints")
    )
    return Context(name, metadata, endpoints)


def _hash(name: str) -> str:
    from hashlib import sha256  # noqa: PLC0415 -- only where contexts are used

    return sha256(name.encode()).hexdigest()


def _remove_tree(path: str) -> None:
    from shutil import rmtree  # noqa: PLC0415 -- once in a long while

    try:
        rmtree(path)
    except FileNotFoundError:
        return
