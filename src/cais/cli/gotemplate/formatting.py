"""Values as Go prints them: the verbs, flags, widths and complaints of package fmt."""

from __future__ import annotations

from cais.cli.gotemplate.floats import format_float
from cais.cli.gotemplate.literals import as_bytes, quote
from cais.cli.gotemplate.stringers import string_of
from cais.cli.gotemplate.types import INTEGERS, LISTS
from cais.cli.gotemplate.values import elements, entries, held, indirect_interface, make, struct_fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cais.cli.gotemplate.values import Value

_BASES = {"d": 10, "v": 10, "b": 2, "o": 8, "O": 8, "x": 16, "X": 16}
_PREFIXES = {"b": "0b", "x": "0x", "X": "0X"}
_COMPOSITES = frozenset(["array", "slice", "struct", "map"])
_TEXT_VERBS = frozenset("vsxXq")
_LAST_RUNE = 0x10FFFF


class Spec:
    """How one value is to be shown: flags, and width and precision where they are given."""

    __slots__ = ("minus", "plus", "plus_v", "precision", "sharp", "sharp_v", "space", "width", "zero")

    def __init__(self) -> None:
        self.plus = self.minus = self.sharp = self.space = self.zero = False
        self.plus_v = self.sharp_v = False  # %+v and %#v are verbs of their own
        self.width: int | None = None
        self.precision: int | None = None

    def take_v(self) -> None:
        self.sharp_v, self.sharp = self.sharp, False
        self.plus_v, self.plus = self.plus, False

    def pad(self, text: str) -> str:
        if self.width is None or len(text) >= self.width:
            return text
        if self.minus:
            return text.ljust(self.width)
        return text.rjust(self.width, "0" if self.zero else " ")


_PLAIN = Spec()


def display(value: Value) -> str:
    """As %v."""
    return _Printer(_PLAIN).argument(value, "v")


def display_all(values: Iterable[Value], *, as_line: bool = False) -> str:
    """Several values: blanks between those of which none is a text, or, as a line, between all."""
    printer = _Printer(_PLAIN)
    parts: list[str] = []
    was_text = True
    for number, value in enumerate(map(indirect_interface, values)):
        is_text = value.type.kind == "string"
        if number and (as_line or not (is_text or was_text)):
            parts.append(" ")
        parts.append(printer.argument(value, "v"))
        was_text = is_text
    return "".join(parts) + ("\n" if as_line else "")


def show(value: Value, verb: str, spec: Spec) -> str:
    """One value by a verb of printf."""
    return _Printer(spec).argument(value, verb)


class _Printer:
    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._complains = False  # inside of a complaint values are shown without their own methods

    def argument(self, value: Value, verb: str) -> str:
        value = indirect_interface(value)
        if verb == "T":
            return self._text("<nil>" if value.type.kind == "invalid" else value.type.name, "s", value)
        if value.type.kind == "invalid":
            return self.spec.pad("<nil>") if verb == "v" else self._complain(value, verb)
        if verb == "p":
            return self._pointer(value, verb)
        if verb == "w":
            return self._complain(value, verb)
        return self._any(value, verb, 0)

    def _complain(self, value: Value, verb: str) -> str:
        if value.type.kind == "invalid":
            return f"%!{verb}(<nil>)"
        outer, self._complains = self._complains, True
        shown = self._any(value, "v", 0)
        self._complains = outer
        return f"%!{verb}({value.type.name}={shown})"

    def _any(self, value: Value, verb: str, depth: int) -> str:  # noqa: PLR0911 -- one for each kind of type
        own = self._by_method(value, verb)
        if own is not None:
            return own
        kind = value.type.kind
        if kind == "string":
            return self._text(value.data, verb, value)
        if kind == "bool":
            return self.spec.pad("true" if value.data else "false") if verb in "tv" else self._complain(value, verb)
        if kind in INTEGERS:
            return self._integer(value, verb)
        if kind in {"float", "complex"}:
            return self._number(value, verb)
        if kind == "map":
            return self._map(value, verb, depth)
        if kind == "struct":
            return self._struct(value, verb, depth)
        if kind in LISTS:
            return self._list(value, verb, depth)
        if kind == "interface":
            return self._interface(value, verb, depth)
        return self._pointer_or_target(value, verb, depth)

    def _by_method(self, value: Value, verb: str) -> str | None:
        """What the type's own String method says, where it has one."""
        if self._complains or self.spec.sharp_v or verb not in _TEXT_VERBS:
            return None
        text = string_of(value)
        return None if text is None else self._text(text, verb, value)

    # texts

    def _text(self, text: str, verb: str, value: Value) -> str:
        spec = self.spec
        if verb in "xX":
            return spec.pad(self._hexadecimal(as_bytes(text), verb))
        if verb not in "vsq":
            return self._complain(value, verb)
        if spec.precision is not None:
            text = text[: spec.precision]
        if verb != "q" and not (verb == "v" and spec.sharp_v):
            return spec.pad(text)
        if spec.sharp and "`" not in text and all(character.isprintable() or character == "\t" for character in text):
            return spec.pad(f"`{text}`")
        return spec.pad(quote(text, ascii_only=spec.plus))

    def _hexadecimal(self, data: bytes, verb: str) -> str:
        spec = self.spec
        if spec.precision is not None:
            data = data[: spec.precision]
        digits = data.hex(" ") if spec.space else data.hex()
        if spec.sharp and data:
            digits = f"0x{digits.replace(' ', ' 0x')}"
        return digits.upper() if verb == "X" else digits

    # numbers

    def _integer(self, value: Value, verb: str) -> str:
        spec, number = self.spec, value.data
        if verb == "v" and spec.sharp_v and value.type.kind == "uint":
            return self._digits(number, "x", sharp=True)
        if verb in _BASES:
            return self._digits(number, verb, sharp=spec.sharp)
        code = number if 0 <= number <= _LAST_RUNE and not 0xD800 <= number < 0xE000 else 0xFFFD
        if verb == "c":
            return spec.pad(chr(code))
        if verb == "q":
            return spec.pad(quote(chr(code), "'", ascii_only=spec.plus))
        if verb == "U":
            digits = f"{number & ((1 << 64) - 1):X}".rjust(max(4, spec.precision or 0), "0")
            shown = f" '{chr(number)}'" if spec.sharp and code == number and chr(code).isprintable() else ""
            width = Spec()
            width.width, width.minus = spec.width, spec.minus
            return width.pad(f"U+{digits}{shown}")
        return self._complain(value, verb)

    def _digits(self, number: int, verb: str, *, sharp: bool) -> str:
        spec = self.spec
        digits = _in_base(abs(number), _BASES[verb])
        if verb == "X":
            digits = digits.upper()
        sign = "-" if number < 0 else "+" if spec.plus else " " if spec.space else ""
        if spec.precision is not None:
            if spec.precision == 0 and number == 0:
                return " " * (spec.width or 0)
            digits = digits.rjust(spec.precision, "0")
        elif spec.zero and not spec.minus and spec.width is not None:
            digits = digits.rjust(spec.width - len(sign), "0")
        if sharp and verb in "oO" and not digits.startswith("0"):
            digits = f"0{digits}"
        prefix = "0o" if verb == "O" else _PREFIXES.get(verb, "") if sharp else ""
        return self._pad_with_blanks(sign + prefix + digits)

    def _pad_with_blanks(self, text: str) -> str:
        width = self.spec.width or 0
        return text.ljust(width) if self.spec.minus else text.rjust(width)

    def _number(self, value: Value, verb: str) -> str:
        if verb not in "vgGxXfFeE":
            return self._complain(value, verb)
        if value.type.kind == "float":
            return self._float(value.data, verb, plus=self.spec.plus)
        real = self._float(value.data.real, verb, plus=self.spec.plus)
        return f"({real}{self._float(value.data.imag, verb, plus=True)}i)"

    def _float(self, number: float, verb: str, *, plus: bool) -> str:
        spec = self.spec
        text = format_float(abs(number), "g" if verb == "v" else verb, spec.precision, sharp=spec.sharp)
        sign = "-" if str(number).startswith("-") else "+" if plus else " " if spec.space else ""
        if spec.zero and not spec.minus and spec.width is not None and text[:1].isdigit():
            return sign + text.rjust(spec.width - len(sign), "0")
        return self._pad_with_blanks(sign + text)

    # values of values

    def _map(self, value: Value, verb: str, depth: int) -> str:
        sharp = self.spec.sharp_v
        if sharp and value.data is None:
            return f"{value.type.name}(nil)"
        inner = (", " if sharp else " ").join(
            f"{self._any(key, verb, depth + 1)}:{self._any(item, verb, depth + 1)}" for key, item in entries(value)
        )
        return f"{value.type.name}{{{inner}}}" if sharp else f"map[{inner}]"

    def _struct(self, value: Value, verb: str, depth: int) -> str:
        spec = self.spec
        named = spec.plus_v or spec.sharp_v
        parts = []
        for field, item in _shown_fields(value):
            shown = self._any(indirect_interface(item) if item.data is not None else item, verb, depth + 1)
            parts.append(f"{field}:{shown}" if named else shown)
        return f"{value.type.name if spec.sharp_v else ''}{{{(', ' if spec.sharp_v else ' ').join(parts)}}}"

    def _list(self, value: Value, verb: str, depth: int) -> str:
        sharp = self.spec.sharp_v
        if sharp and value.data is None and value.type.kind == "slice":
            return f"{value.type.name}(nil)"
        inner = (", " if sharp else " ").join(self._any(item, verb, depth + 1) for item in elements(value))
        return f"{value.type.name}{{{inner}}}" if sharp else f"[{inner}]"

    def _interface(self, value: Value, verb: str, depth: int) -> str:
        if value.data is None:
            return "interface {}(nil)" if self.spec.sharp_v else "<nil>"
        return self._any(held(value.data), verb, depth + 1)

    def _pointer_or_target(self, value: Value, verb: str, depth: int) -> str:
        if depth == 0 and value.data is not None and value.type.elem.kind in _COMPOSITES:
            return "&" + self._any(make(value.type.elem, value.data), verb, depth + 1)
        return self._pointer(value, verb)

    def _pointer(self, value: Value, verb: str) -> str:
        if value.type.kind not in {"pointer", "map", "slice"}:
            return self._complain(value, verb)
        spec = self.spec
        address = _address(value)
        if verb == "v":
            if spec.sharp_v:
                return f"({value.type.name})({f'0x{address:x}' if address else 'nil'})"
            return spec.pad(f"0x{address:x}" if address else "<nil>")
        if verb == "p":
            return spec.pad(f"{address:x}" if spec.sharp else f"0x{address:x}")
        return self._digits(address, verb, sharp=spec.sharp) if verb in "bodxX" else self._complain(value, verb)


def _shown_fields(value: Value) -> Iterable[tuple[str, Value]]:
    if value.type.is_row:
        from cais.cli.gotemplate.rows import members  # noqa: PLC0415 -- a row is hardly ever printed as a whole

        return members(value)
    return ((field.name, item) for field, item in struct_fields(value))


def _address(value: Value) -> int:
    """An address as Go's heap has them; nothing is ever found there."""
    return 0 if value.data is None else 0xC000000000 + (id(value.data) & 0xFFFFFF)


def _in_base(number: int, base: int) -> str:
    return {10: "{:d}", 2: "{:b}", 8: "{:o}", 16: "{:x}"}[base].format(number)
