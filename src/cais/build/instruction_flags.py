"""The flags of an instruction, as in `COPY --chown=1000 --link`."""

from collections.abc import Mapping, Sequence
from typing import Final

from cais.build.errors import WordError, with_suggestion

SWITCH: Final = "switch"
TEXT: Final = "text"
TEXTS: Final = "texts"  # may be given several times


class FlagValues:
    """The flags that were given. Raises: WordError in BuildKit's words."""

    def __init__(self, given: Sequence[str], known: Mapping[str, str]) -> None:
        self._values: dict[str, list[str]] = {}
        for flag in given:
            self._take(flag, known)

    def _take(self, flag: str, known: Mapping[str, str]) -> None:
        shown, equals, value = flag.partition("=")
        name = shown[2:]
        kind = known.get(name)
        if kind is None:
            raise WordError(with_suggestion(f"unknown flag: {shown}", name, known))
        if name in self._values and kind != TEXTS:
            raise WordError(f"duplicate flag specified: {shown}")
        if kind == SWITCH:
            if equals and not value:
                raise WordError(f"missing a value on flag: {shown}")
            value = value.lower() or "true"
            if value not in ("true", "false"):
                raise WordError(f"expecting boolean value for flag {shown}, not: {flag.partition('=')[2]}")
        elif not equals:
            raise WordError(f"missing a value on flag: {shown}")
        self._values.setdefault(name, []).append(value)

    def text(self, name: str, default: str = "") -> str:
        return self._values.get(name, [default])[0]

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(self._values.get(name, ()))

    def on(self, name: str) -> bool:
        return self.switch(name) is True

    def switch(self, name: str) -> bool | None:
        """None where it was not given."""
        given = self._values.get(name)
        return None if given is None else given[0] == "true"
