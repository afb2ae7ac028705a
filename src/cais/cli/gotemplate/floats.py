"""Floating-point numbers in digits, as Go writes them (packages strconv and encoding/json)."""

from __future__ import annotations

_INFINITY = float("inf")
_LARGE_EXPONENT = 6  # from which on %v and %g without a precision use an exponent
_JSON_SMALLEST, _JSON_LARGEST = 1e-6, 1e21  # outside of which JSON does


def format_float(number: float, verb: str, precision: int | None, *, sharp: bool = False) -> str:
    """A number that is not negative, by one of the verbs e E f F g G x X; without a precision all digits it needs.

    `sharp` is the flag "#": a point and all zeros after it stay.
    """
    if number != number:  # noqa: PLR0124 -- not a number
        return "NaN"
    if number == _INFINITY:
        return "+Inf"
    lower = verb.lower()
    if lower == "x":
        text = _hexadecimal(number)
    elif lower == "g" and precision is None and not sharp:
        text = _shortest(number)
    else:
        text = f"{number:{'#' if sharp else ''}.{6 if precision is None else precision}{lower}}"
    return text.upper() if verb in "EGX" else text


def json_float(number: float) -> str:
    digits, place = _digits(abs(number))
    sign = "-" if number < 0 else ""
    if number and not _JSON_SMALLEST <= abs(number) < _JSON_LARGEST:
        return f"{sign}{_scientific(digits)}e{place - 1:+d}"
    return sign + _positional(digits, place)


def _digits(number: float) -> tuple[str, int]:
    """The fewest digits that tell a number from its neighbours, and the place of the point: 0.DIGITS e place."""
    mantissa, _, exponent = repr(number).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = whole + fraction
    stripped = digits.lstrip("0")
    place = len(whole) + int(exponent or 0) - (len(digits) - len(stripped))
    stripped = stripped.rstrip("0")
    return (stripped, place) if stripped else ("0", 1)


def _shortest(number: float) -> str:
    digits, place = _digits(number)
    if -4 <= place - 1 < _LARGE_EXPONENT or not number:
        return _positional(digits, place)
    return f"{_scientific(digits)}e{place - 1:+03d}"


def _scientific(digits: str) -> str:
    return f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits


def _positional(digits: str, place: int) -> str:
    if place <= 0:
        return f"0.{'0' * -place}{digits}"
    if place >= len(digits):
        return digits.ljust(place, "0")
    return f"{digits[:place]}.{digits[place:]}"


def _hexadecimal(number: float) -> str:
    mantissa, _, exponent = number.hex().partition("p")
    return f"{mantissa.rstrip('0').rstrip('.') if number else '0x0'}p{int(exponent):+03d}"
