"""Changes to an image's configuration, written as Dockerfile instructions: `import -c 'CMD ["sh"]'`.

CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR.
"""

import ipaddress
import posixpath
import re
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from cais.distribution.oci import ContainerConfig, Healthcheck
from cais.engine.image_words import expand, split_words
from cais.engine.signals import parse_signal
from cais.engine.times import parse_duration_ns
from cais.errors import InvalidArgument

SHELL: Final = ("/bin/sh", "-c")

_PORT: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/([a-z]+))?", re.ASCII)
_HOST_PORT: Final = re.compile(r"\d{1,5}(?:-\d{1,5})?", re.ASCII)
_PROTOCOLS: Final = ("tcp", "udp", "sctp")
_MIN_INTERVAL_NS: Final = 1_000_000


def apply_changes(config: ContainerConfig, changes: Sequence[str]) -> ContainerConfig:
    """The configuration with the instructions applied in order. Raises: InvalidArgument in Docker's words."""
    applied = _Changes(config)
    for change in changes:
        for line in _lines(change):
            name, _, rest = line.partition(" ")
            applied.apply(name, rest.strip())
    return applied.config


def _lines(text: str) -> list[str]:
    """The instructions of a text: without comments and empty lines, continued lines joined."""
    joined = re.sub(r"\\[ \t]*\n", "", text.replace("\r\n", "\n"))
    lines = (line.strip().replace("\t", " ") for line in joined.split("\n"))
    return [line for line in lines if line and not line.startswith("#")]


_ONE_ARGUMENT: Final = frozenset({"stopsignal", "user", "workdir"})


class _Changes:
    def __init__(self, config: ContainerConfig) -> None:
        self.config = config
        self._cmd_set = False

    def apply(self, name: str, rest: str) -> None:
        instruction = _INSTRUCTIONS.get(name.lower())
        if instruction is None:
            raise InvalidArgument(f"{name.lower()[:100]} is not a valid change command")
        if not rest and name.lower() not in ("cmd", "entrypoint"):
            wanted = "exactly" if name.lower() in _ONE_ARGUMENT else "at least"
            raise InvalidArgument(f"{name.upper()} requires {wanted} one argument")
        self.config = instruction(self, rest)

    def cmd(self, rest: str) -> ContainerConfig:
        self._cmd_set = True
        return replace(self.config, cmd=_command(rest) or None)

    def entrypoint(self, rest: str) -> ContainerConfig:
        cmd = self.config.cmd if self._cmd_set else None  # what the old entry point was given means nothing to it
        return replace(self.config, entrypoint=_command(rest) or None, cmd=cmd)

    def env(self, rest: str) -> ContainerConfig:
        env = list(self.config.env or ())
        for name, value in self._pairs("ENV", rest):
            item = f"{name}={value}"
            at = next((i for i, known in enumerate(env) if known.partition("=")[0] == name), None)
            if at is None:
                env.append(item)
            else:
                env[at] = item
        return replace(self.config, env=env)

    def label(self, rest: str) -> ContainerConfig:
        return replace(self.config, labels={**(self.config.labels or {}), **dict(self._pairs("LABEL", rest))})

    def expose(self, rest: str) -> ContainerConfig:
        ports = dict(self.config.exposed_ports or {})
        for word in self._words(rest):
            ports |= {port: {} for port in exposed_ports(word)}
        return replace(self.config, exposed_ports=ports)

    def volume(self, rest: str) -> ContainerConfig:
        listed = _json_list(rest)
        paths = [self._expand(path) for path in listed] if listed is not None else self._words(rest)
        if not all(path.strip() for path in paths):
            raise InvalidArgument("VOLUME specified can not be an empty string")
        return replace(self.config, volumes={**(self.config.volumes or {}), **{path: {} for path in paths}})

    def user(self, rest: str) -> ContainerConfig:
        return replace(self.config, user=self._expand(rest))

    def workdir(self, rest: str) -> ContainerConfig:
        path = posixpath.normpath(posixpath.join("/", self.config.working_dir, self._expand(rest)))
        return replace(self.config, working_dir="/" + path.lstrip("/"))

    def stopsignal(self, rest: str) -> ContainerConfig:
        signal = self._one("STOPSIGNAL", rest)
        parse_signal(signal)
        return replace(self.config, stop_signal=signal)

    def onbuild(self, rest: str) -> ContainerConfig:
        trigger = rest.split(" ", 1)[0].upper()
        if trigger == "ONBUILD":
            raise InvalidArgument("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
        if trigger in ("MAINTAINER", "FROM"):
            raise InvalidArgument(f"{trigger} isn't allowed as an ONBUILD trigger")
        return replace(self.config, on_build=[*(self.config.on_build or ()), rest])

    def healthcheck(self, rest: str) -> ContainerConfig:
        return replace(self.config, healthcheck=_healthcheck(rest))

    # -- values

    def _expand(self, word: str) -> str:
        variables = dict(item.partition("=")[::2] for item in self.config.env or ())
        return expand(word, variables)

    def _words(self, rest: str) -> list[str]:
        """The words of an instruction; a variable may stand for several."""
        return [part for word in split_words(rest) for part in self._expand(word).split()]

    def _one(self, name: str, rest: str) -> str:
        words = split_words(rest)
        if len(words) != 1:
            raise InvalidArgument(f"{name} requires exactly one argument")
        return self._expand(words[0])

    def _pairs(self, instruction: str, rest: str) -> list[tuple[str, str]]:
        """NAME=VALUE ..., or the older NAME VALUE with the rest of the line as one value."""
        words = split_words(rest)
        if "=" not in words[0]:
            name, _, value = rest.partition(" ")
            if not value.strip():
                raise InvalidArgument(f"{instruction} must have two arguments")
            return [(self._name(instruction, name), self._expand(value.strip()))]
        pairs = []
        for word in words:
            name, equals, value = word.partition("=")
            if not equals:
                raise InvalidArgument(f'Syntax error - can\'t find = in "{word}". Must be of the form: name=value')
            pairs.append((self._name(instruction, name), self._expand(value)))
        return pairs

    def _name(self, instruction: str, name: str) -> str:
        expanded = self._expand(name)
        if not expanded:
            raise InvalidArgument(f"{instruction} names can not be blank")
        return expanded


def _json_list(text: str) -> list[str] | None:
    """The strings of a JSON list; None when it is something else."""
    if not text.startswith("["):
        return None
    try:
        return msgspec.json.decode(text, type=list[str])
    except (msgspec.MsgspecError, RecursionError):
        return None


def _command(text: str) -> list[str]:
    """A program with its arguments, from a JSON list or from what a shell is to run; nothing from nothing."""
    if not text:
        return []
    listed = _json_list(text)
    return [*SHELL, text] if listed is None else listed


def exposed_ports(word: str) -> list[str]:
    """ "80", "80/udp" or "80-82/tcp" as the configuration has them: "80/tcp" …

    An address and a port of the host before it, as in "127.0.0.1:8080:80", have to be right, and mean nothing.
    Raises: InvalidArgument.
    """
    front, _, port = word.rpartition(":")
    found = _PORT.fullmatch(port.lower())
    if found is None:
        raise InvalidArgument(f"invalid containerPort: {port}")
    _check_published(*front.rpartition(":")[::2])
    protocol = found[3] or "tcp"
    first, last = int(found[1]), int(found[2] or found[1])
    if protocol not in _PROTOCOLS:
        raise InvalidArgument(f"invalid proto: {protocol}")
    if not 0 < first <= last <= 65535:
        raise InvalidArgument(f"invalid containerPort: {port}")
    return [f"{number}/{protocol}" for number in range(first, last + 1)]


def _check_published(address: str, ports: str) -> None:
    """Raises: InvalidArgument for what is no address and no port, or range of ports, of a host; "" is one."""
    if ports and not _HOST_PORT.fullmatch(ports):
        raise InvalidArgument(f"invalid hostPort: {ports}")
    try:
        ipaddress.ip_address(address.removeprefix("[").removesuffix("]") or "::")
    except ValueError:
        raise InvalidArgument(f"invalid IP address: {address}") from None


def _healthcheck(text: str) -> Healthcheck:
    options: dict[str, str] = {}
    while found := re.match(r"--([a-z-]+)=(\S+)\s*", text):
        options[found[1]] = found[2]
        text = text[found.end() :]
    kind, _, rest = text.partition(" ")
    if kind.upper() == "NONE":
        if rest.strip() or options:
            raise InvalidArgument("HEALTHCHECK NONE takes no arguments")
        return Healthcheck(test=["NONE"])
    if kind.upper() != "CMD":
        raise InvalidArgument(f'Unknown type "{kind}" in HEALTHCHECK (try CMD)')
    if not rest.strip():
        raise InvalidArgument("Missing command after HEALTHCHECK CMD")
    listed = _json_list(rest.strip())
    check = Healthcheck(
        test=["CMD-SHELL", rest.strip()] if listed is None else ["CMD", *listed],
        interval=_period(options, "interval"),
        timeout=_period(options, "timeout"),
        start_period=_period(options, "start-period"),
        start_interval=_period(options, "start-interval"),
        retries=_retries(options.pop("retries", "0")),
    )
    if options:
        raise InvalidArgument(f"Unknown flag: {next(iter(options))}")
    return check


def _period(options: dict[str, str], name: str) -> int:
    text = options.pop(name, "0s")
    period_ns = parse_duration_ns(text)
    if period_ns < 0 or 0 < period_ns < _MIN_INTERVAL_NS:
        raise InvalidArgument(f'Interval "{name}" cannot be less than 1ms')
    return period_ns


def _retries(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidArgument(f"--retries must be at least 0 (not {text})")
    return int(text)


_INSTRUCTIONS: Final[dict[str, Callable[[_Changes, str], ContainerConfig]]] = {
    "cmd": _Changes.cmd,
    "entrypoint": _Changes.entrypoint,
    "env": _Changes.env,
    "expose": _Changes.expose,
    "healthcheck": _Changes.healthcheck,
    "label": _Changes.label,
    "onbuild": _Changes.onbuild,
    "stopsignal": _Changes.stopsignal,
    "user": _Changes.user,
    "volume": _Changes.volume,
    "workdir": _Changes.workdir,
}
