"""The user's folder of settings, which is Docker's own: ~/.docker/config.json and the contexts beside it.

So both commands know the same contexts, and use the same one.
"""

from __future__ import annotations

import os

from cais.cli.output import err

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_FILE = "config.json"


class Settings:
    """What a user has set. The file is read when it is first asked for, and need not exist."""

    __slots__ = ("_values", "folder")

    def __init__(self, folder: str = "") -> None:
        """`folder`: what --config says; else DOCKER_CONFIG, else the user's own."""
        self.folder = folder or os.environ.get("DOCKER_CONFIG", "") or os.path.expanduser("~/.docker")
        self._values: dict[str, Any] | None = None

    @property
    def path(self) -> str:
        return os.path.join(self.folder, _FILE)

    def text(self, name: str) -> str:
        """A setting that is a text, "" when there is none."""
        value = self._all().get(name)
        return value if isinstance(value, str) else ""

    def table(self, name: str) -> dict[str, Any]:
        """A setting that has names itself, empty when there is none."""
        value = self._all().get(name)
        return value if isinstance(value, dict) else {}

    def _all(self) -> dict[str, Any]:
        if self._values is None:
            self._values = self._read()
        return self._values

    def _read(self) -> dict[str, Any]:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return {}
        except OSError as error:
            err(f"WARNING: Error loading config file: {self.path}: {(error.strerror or str(error)).lower()}")
            return {}
        from cais.client.codec import loads  # noqa: PLC0415 -- most users have no such file

        with os.fdopen(descriptor, "rb") as file:
            data = file.read()
        try:
            return _settings(loads(data)) if data.strip() else {}
        except ValueError as error:
            err(f"WARNING: Error parsing config file ({self.path}): {error}")
            return {}

    def set_text(self, name: str, value: str) -> None:
        """Keep a setting, or forget it when it is "". Raises as `change` does."""

        def edit(values: dict[str, Any]) -> None:
            values.pop(name, None)
            if value:
                values[name] = value

        self.change(edit)

    def change(self, edit: Callable[[dict[str, Any]], None]) -> None:
        """Let `edit` change the settings as the file has them now, and keep them. What it leaves alone stays.

        Raises OSError, and ValueError for a file that is damaged and therefore left alone.
        """
        import json  # noqa: PLC0415 -- once in a long while

        target = os.path.realpath(self.path)  # a link stays one
        try:
            with open(target, "rb") as file:
                values = _settings(json.loads(file.read() or b"{}"))
        except FileNotFoundError:
            values = {"auths": {}}
        edit(values)
        self._values = values
        os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
        replace_file(target, json.dumps(values, indent="\t", ensure_ascii=False).encode())


def _settings(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def replace_file(path: str, data: bytes) -> None:
    """Put `data` in the place of a file, all of it or none, readable by its owner alone. Raises OSError."""
    temporary = f"{path}.{os.getpid()}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
