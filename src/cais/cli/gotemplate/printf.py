"""`printf`: Go's format strings (package fmt)."""

from __future__ import annotations

from cais.cli.gotemplate.formatting import Spec, display, show
from cais.cli.gotemplate.values import indirect_interface

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.gotemplate.values import Value

_LARGEST = 1_000_000  # of a width, a precision and an index
_DIGITS = frozenset("0123456789")


def sprintf(template: str, arguments: list[Value]) -> str:
    """The template with its verbs replaced. What does not fit is said in the text: %!d(string=hi), %!d(MISSING)."""
    return _Format(template, [indirect_interface(argument) for argument in arguments]).run()


class _Format:
    def __init__(self, template: str, arguments: list[Value]) -> None:
        self.template = template
        self.arguments = arguments
        self.at = 0
        self.number = 0  # of the next argument
        self.parts: list[str] = []
        self.index_is_good = True
        self.was_reordered = False
        self.after_index = False

    def run(self) -> str:
        template = self.template
        while True:
            percent = template.find("%", self.at)
            if percent < 0:
                self.parts.append(template[self.at :])
                break
            self.parts.append(template[self.at : percent])
            self.at = percent + 1
            self._verb()
        if not self.was_reordered and self.number < len(self.arguments):
            self._extra()
        return "".join(self.parts)

    def _peek(self) -> str:
        return self.template[self.at : self.at + 1]

    def _extra(self) -> None:
        shown = (
            "<nil>" if argument.type.kind == "invalid" else f"{argument.type.name}={display(argument)}"
            for argument in self.arguments[self.number :]
        )
        self.parts.append(f"%!(EXTRA {', '.join(shown)})")

    def _verb(self) -> None:
        self.index_is_good = True
        self.after_index = False
        spec = self._flags()
        self._index()
        self._width(spec)
        self._precision(spec)
        if not self.after_index:
            self._index()
        verb = self._peek()
        self.at += 1
        if not verb:
            self.parts.append("%!(NOVERB)")
        elif verb == "%":
            self.parts.append("%")
        elif not self.index_is_good:
            self.parts.append(f"%!{verb}(BADINDEX)")
        elif self.number >= len(self.arguments):
            self.parts.append(f"%!{verb}(MISSING)")
        else:
            if verb in "vw":
                spec.take_v()
            self.parts.append(show(self.arguments[self.number], verb, spec))
            self.number += 1

    def _flags(self) -> Spec:
        spec = Spec()
        while self._peek() and self._peek() in "#0+- ":
            match self._peek():
                case "#":
                    spec.sharp = True
                case "0":
                    spec.zero = True
                case "+":
                    spec.plus = True
                case "-":
                    spec.minus = True
                case " ":
                    spec.space = True
            self.at += 1
        return spec

    def _count(self) -> int | None:
        """A number in digits; one that is too large counts as none, and ends the template."""
        start = self.at
        while self._peek() in _DIGITS:
            self.at += 1
        digits = self.template[start : self.at]
        if not digits:
            return None
        if _is_too_large(digits):
            self.at = len(self.template)
            return None
        return int(digits)

    def _starred(self) -> int | None:
        """The value of an argument that is a width or a precision."""
        self.at += 1
        self.after_index = False
        if self.number >= len(self.arguments):
            return None
        argument = self.arguments[self.number]
        self.number += 1
        fits = argument.type.kind in {"int", "uint"} and -_LARGEST <= argument.data <= _LARGEST
        return argument.data if fits else None

    def _width(self, spec: Spec) -> None:
        if self._peek() == "*":
            width = self._starred()
            if width is None:
                self.parts.append("%!(BADWIDTH)")
            elif width < 0:
                width, spec.minus, spec.zero = -width, True, False
            spec.width = width
            return
        spec.width = self._count()
        if self.after_index and spec.width is not None:
            self.index_is_good = False

    def _precision(self, spec: Spec) -> None:
        if self._peek() != ".":
            return
        self.at += 1
        if self.after_index:
            self.index_is_good = False
        self._index()
        if self._peek() != "*":
            spec.precision = self._count() or 0
            return
        precision = self._starred()
        if precision is None or precision < 0:
            self.parts.append("%!(BADPREC)")
            precision = None
        spec.precision = precision

    def _index(self) -> None:
        """[2]: which argument is next."""
        self.after_index = False
        if self._peek() != "[":
            return
        self.was_reordered = True
        closing = self.template.find("]", self.at)
        digits = self.template[self.at + 1 : closing]
        if closing < 0:
            self.index_is_good = False
            self.at += 1
            return
        self.at = closing + 1
        is_number = digits != "" and _DIGITS.issuperset(digits) and not _is_too_large(digits)
        if is_number and 1 <= int(digits) <= len(self.arguments):
            self.number = int(digits) - 1
            self.after_index = True
        else:
            self.index_is_good = False


def _is_too_large(digits: str) -> bool:
    """As Go sees it, which looks before it takes another digit."""
    before = digits.lstrip("0")[:-1]
    return len(before) > 7 or int(before or 0) > _LARGEST
