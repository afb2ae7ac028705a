"""What the value of a flag may look like: one function a type, from the text on the command line to a value.

Each raises ValueError with the words that Docker's client uses, which are Go's own where it leaves them to Go.
"""

from __future__ import annotations

from cais.gotext import FALSE, TRUE, go_quote, scaled

_SIZE_UNITS = "bkmgtp"
_MOST_DOMAIN = 254
_INT64 = (-(1 << 63), (1 << 63) - 1)


class Mistyped(ValueError):
    """A word that nobody knows; `meant` is the one that was probably meant, "" where none is near."""

    def __init__(self, message: str, meant: str) -> None:
        super().__init__(message)
        self.meant = meant


def parse_bool(text: str) -> bool:
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise ValueError(f"strconv.ParseBool: parsing {go_quote(text)}: invalid syntax")


def _integer(text: str, function: str, lowest: int, highest: int, *, base: int = 0) -> int:
    digits = text.lstrip("+-") if lowest < 0 else text
    try:
        if not text.isascii() or text != text.strip() or len(text) - len(digits) > 1 or digits[:1] in {"+", "-"}:
            raise ValueError
        # As Go's base 0: 0x, 0o and 0b are understood, and a leading zero is octal.
        octal = not base and digits.isdigit() and len(digits) > 1 and digits[0] == "0"
        value = int(text, 8 if octal else base)
    except ValueError:
        raise ValueError(f"strconv.{function}: parsing {go_quote(text)}: invalid syntax") from None
    if not lowest <= value <= highest:
        raise ValueError(f"strconv.{function}: parsing {go_quote(text)}: value out of range")
    return value


def parse_int(text: str) -> int:
    return _integer(text, "ParseInt", *_INT64)


def parse_decimal(text: str) -> int:
    return _integer(text, "ParseInt", *_INT64, base=10)


def parse_uint16(text: str) -> int:
    return _integer(text, "ParseUint", 0, (1 << 16) - 1)


def parse_bytes(text: str) -> int:
    """A size in bytes: a number with an optional unit of 1024, such as 64m, 1.5GiB, 512."""
    lowered = text.lower().rstrip(" ")
    if lowered.endswith("ib"):
        lowered = lowered[:-2]
    elif lowered.endswith("b") and len(lowered) > 1 and lowered[-2] in _SIZE_UNITS:
        lowered = lowered[:-1]
    scale: int = 1
    if lowered and lowered[-1] in _SIZE_UNITS:
        scale = 1 << (10 * _SIZE_UNITS.index(lowered[-1]))
        lowered = lowered[:-1].removesuffix(" ")
    whole, _, fraction = lowered.partition(".")
    if lowered.count(".") > 1 and lowered.replace(".", "").isdigit():
        raise ValueError(f"strconv.ParseFloat: parsing {go_quote(lowered)}: invalid syntax")
    if not (whole + fraction).isdigit() or not lowered.isascii() or not whole:
        raise ValueError(f"invalid size: '{text}'")
    return scaled(whole, fraction, scale)


def parse_bytes_or_unlimited(text: str) -> int:
    return -1 if text == "-1" else parse_bytes(text)


def parse_nano_cpus(text: str) -> int:
    """A decimal number of CPUs, in units of a billionth."""
    digits = text.lstrip("+-")
    whole, _, fraction = digits.partition(".")
    if len(text) - len(digits) > 1 or not (whole + fraction).isdigit() or not digits.isascii():
        raise ValueError(f"failed to parse {text} as a rational number")
    fraction = fraction.rstrip("0")
    if len(fraction) > 9:
        raise ValueError("value is too precise")
    value = int(whole or "0") * 10**9 + int(fraction.ljust(9, "0"))
    return -value if text.startswith("-") else value


def parse_filter(text: str) -> str:
    """A filter NAME=VALUE; the name in lower case, both without the blanks around them."""
    name, separator, value = text.partition("=")
    if not separator:
        raise ValueError("bad format of filter (expected name=value)")
    return f"{name.strip().lower()}={value.strip()}"


def parse_env(text: str) -> str:
    if not text.partition("=")[0]:
        raise ValueError(f"invalid environment variable: {text}")
    return text


def parse_label(text: str) -> str:
    name, _, _ = text.partition("=")
    if not name.strip():
        raise ValueError(f"invalid label '{text}': empty name")
    if name != name.strip() or " " in name or "\t" in name:
        raise ValueError(f"label '{name}' contains whitespaces")
    return text


def parse_attach(text: str) -> str:
    if text.lower() not in {"stdin", "stdout", "stderr"}:
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return text.lower()


_SYSCTLS = frozenset(
    f"kernel.{name}" for name in "msgmax msgmnb msgmni sem shmall shmmax shmmni shm_rmid_forced".split()
)


def parse_sysctl(text: str) -> str:
    name, separator, _ = text.partition("=")
    if not separator or not (name in _SYSCTLS or name.startswith(("net.", "fs.mqueue."))):
        raise ValueError(f"sysctl '{text}' is not allowed")
    return text


_ULIMITS = frozenset(
    "as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split()
)


def parse_ulimit(text: str) -> dict[str, object]:
    """NAME=SOFT[:HARD], as the API has it."""
    name, separator, limits = text.partition("=")
    if not separator:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in _ULIMITS:
        raise ValueError(f"invalid ulimit type: {name}")
    parts = limits.split(":")
    if len(parts) > 2:
        raise ValueError(f"too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`")
    soft = parse_decimal(parts[0])
    hard = parse_decimal(parts[-1])
    if hard != -1 and (soft == -1 or soft > hard):
        compared = f"soft: -1 (unlimited), hard: {hard}" if soft == -1 else f"{soft} > {hard}"
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {compared}")
    return {"Name": name, "Soft": soft, "Hard": hard}


def parse_device_rule(text: str) -> str:
    words = text.split(" ")
    numbers = words[1].split(":") if len(words) == 3 else []
    good = (
        len(words) == 3
        and words[0] in {"a", "c", "b"}
        and len(numbers) == 2
        and all(number == "*" or number.isdigit() for number in numbers)
        and 1 <= len(words[2]) <= 3
        and set(words[2]) <= set("rwm")
    )
    if not good:
        raise ValueError(f"invalid device cgroup format '{text}'")
    return text


def _device_and(text: str) -> tuple[str, str]:
    device, separator, value = text.partition(":")
    if not separator or not device or ":" in value:
        raise ValueError(f"bad format: {text}")
    if not device.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}")
    return device, value


def parse_device_weight(text: str) -> dict[str, object]:
    device, value = _device_and(text)
    if not value.isdigit() or (int(value) != 0 and not 10 <= int(value) <= 1000):
        raise ValueError(f"invalid weight for device: {text}")
    return {"Path": device, "Weight": int(value)}


def parse_device_bytes_rate(text: str) -> dict[str, object]:
    device, value = _device_and(text)
    try:
        rate = parse_bytes(value)
    except ValueError:
        raise ValueError(
            f"invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]. "
            "Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
        ) from None
    return {"Path": device, "Rate": rate}


def parse_device_rate(text: str) -> dict[str, object]:
    device, value = _device_and(text)
    if not value.isdigit():
        raise ValueError(
            f"invalid rate for device: {text}. The correct format is <device-path>:<number>. "
            "Number must be a positive integer"
        )
    return {"Path": device, "Rate": int(value)}


def parse_address(text: str) -> str:
    """An IPv4 or IPv6 address, in the form that the API takes."""
    import _socket  # noqa: PLC0415 -- seldom needed

    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            address = _socket.inet_ntop(family, _socket.inet_pton(family, text.strip()))
        except OSError:
            continue
        return address.removeprefix("::ffff:") if "." in address else address
    raise ValueError(f"IP address is not correctly formatted: {text}")


def parse_extra_host(text: str) -> str:
    """HOST:IP or HOST=IP, given back as HOST:IP."""
    name, separator, address = text.partition("=")
    if not separator:
        name, separator, address = text.partition(":")
    if not separator or not name:
        raise ValueError(f"bad format for add-host: {go_quote(text)}")
    if address != "host-gateway":
        bare = address[1:-1] if address[:1] == "[" and address[-1:] == "]" else address
        try:
            address = parse_address(bare)
        except ValueError:
            raise ValueError(f"invalid IP address in add-host: {go_quote(address)}") from None
    return f"{name}:{address}"


def parse_strings(text: str) -> list[str]:
    """Several values in one, with commas between them; a flag of such values may be given several times besides."""
    if "," not in text and '"' not in text:
        return [text] if text else []
    from cais.cli.mounts import split_fields  # noqa: PLC0415 -- seldom needed

    return split_fields(text)


def parse_link(text: str) -> str:
    """CONTAINER[:ALIAS]."""
    if not text:
        raise ValueError("empty string specified for links")
    if text.count(":") > 1:
        raise ValueError(f"bad format for links: {text}")
    return text


def parse_search_domain(text: str) -> str:
    """A domain without the dot at its end, or "." for none at all."""
    domain = text.strip(" ")
    if domain == ".":
        return domain
    bare = domain.removesuffix(".")
    letters_and_digits = all(
        label and label.isascii() and label.replace("-", "a").isalnum() and not label.startswith("-")
        and not label.endswith("-")
        for label in bare.split(".")
    )  # fmt: skip
    if not letters_and_digits or not any(character.isalpha() for character in bare) or len(bare) > _MOST_DOMAIN:
        raise ValueError(f"{domain} is not a valid domain")
    return bare
