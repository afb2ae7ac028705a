"""How a container is to be: the keyword arguments of `run` and `create`, and what the API is sent for them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypedDict

from cais.cli.values import parse_bytes
from cais.client.model import ContainerConfig
from cais.errors import InvalidArgument

PathLike = str | os.PathLike[str]
Pull = Literal["missing", "always", "never"]

_NANO: Final = 1_000_000_000


class ContainerOptions(TypedDict, total=False):
    """Each is what the flag of the same name is to `docker run`; what is left out is the image's or the engine's."""

    name: str
    env: Mapping[str, str]
    volumes: Mapping[PathLike, str]
    """Of the host: {"/data": "/data", "/etc/app": "/config:ro"}."""
    tmpfs: Mapping[str, str]
    """{"/run": "size=16m,mode=755"}; the options may be empty."""
    user: str
    workdir: str
    hostname: str
    entrypoint: Sequence[str]
    labels: Mapping[str, str]
    network: str
    """none, host, or container:NAME."""
    memory: int | str
    """In bytes, or as text: "64m"."""
    cpus: float
    pids_limit: int
    shm_size: int | str
    ulimits: Mapping[str, int | tuple[int, int]]
    """{"nofile": 1024} or {"nofile": (1024, 4096)}: the soft and the hard limit."""
    sysctls: Mapping[str, str]
    cap_add: Sequence[str]
    cap_drop: Sequence[str]
    security_opt: Sequence[str]
    privileged: bool
    read_only: bool
    init: bool
    tty: bool
    """A terminal: its output is one stream, with carriage returns."""
    stdin: bool
    """Standard input stays open, for `attach`. `run` sees to it itself."""
    restart: str
    """no, always, unless-stopped, on-failure or on-failure:COUNT."""
    stop_signal: str
    stop_timeout: int
    """In seconds."""
    auto_remove: bool
    """The engine removes the container at its end. `run` has an argument of its own for it."""
    config: Mapping[str, object]
    """Further fields of the API's ContainerConfig (Healthcheck, say), under the API's names."""
    host_config: Mapping[str, object]
    """Further fields of the API's HostConfig (Devices, LogConfig …), under the API's names."""


def creation(image: str, command: Sequence[str] | None, options: ContainerOptions) -> ContainerConfig:
    """The body of the request that creates a container.

    Raises TypeError for an option that does not exist and for a command that is no list of words, InvalidArgument
    for a value that cannot be understood.
    """
    for name in options:
        if name not in ContainerOptions.__annotations__:
            raise TypeError(f"unexpected keyword argument {name!r}")
    body: dict[str, Any] = {
        "Image": image,
        "AttachStdout": True,
        "AttachStderr": True,
        "Cmd": None if command is None else words(command),
        "Entrypoint": words(options["entrypoint"]) if "entrypoint" in options else None,
    }
    plain = {"user": "User", "workdir": "WorkingDir", "hostname": "Hostname", "tty": "Tty"}
    plain |= {"stop_signal": "StopSignal", "stop_timeout": "StopTimeout"}
    body |= _taken(options, plain)
    if "env" in options:
        body["Env"] = environment(options["env"])
    if "labels" in options:
        body["Labels"] = dict(options["labels"])
    if options.get("stdin"):
        body |= {"OpenStdin": True, "StdinOnce": True, "AttachStdin": True}
    config: ContainerConfig = {**body, **options.get("config", {})}  # type: ignore[typeddict-item]
    config["HostConfig"] = {**_host_config(options), **options.get("host_config", {})}
    return config


def words(command: Sequence[str]) -> list[str]:
    """A command as the API has it. Raises TypeError for a text: nobody divides it into words."""
    if isinstance(command, str | bytes):
        raise TypeError(f"a command is a list of words: [{command!r}]")
    return [os.fspath(word) for word in command]


def environment(variables: Mapping[str, str]) -> list[str]:
    """Variables as the API has them. Raises TypeError for a value that is no text."""
    for name, value in variables.items():
        if not isinstance(value, str):
            raise TypeError(f"the value of the environment variable {name!r} is no str")
    return [f"{name}={value}" for name, value in variables.items()]


def size_bytes(size: int | str) -> int:
    """A size in bytes: a number, or a text such as "64m". Raises InvalidArgument."""
    if isinstance(size, int):
        return size
    try:
        return parse_bytes(size)
    except ValueError as error:
        raise InvalidArgument(str(error)) from None


def _host_config(options: ContainerOptions) -> dict[str, Any]:
    plain = {"network": "NetworkMode", "pids_limit": "PidsLimit", "privileged": "Privileged", "init": "Init"}
    plain |= {"read_only": "ReadonlyRootfs", "auto_remove": "AutoRemove"}
    host = _taken(options, plain)
    lists = {"cap_add": "CapAdd", "cap_drop": "CapDrop", "security_opt": "SecurityOpt"}
    host |= {field: words(values) for field, values in _taken(options, lists).items()}
    maps = {"tmpfs": "Tmpfs", "sysctls": "Sysctls"}
    host |= {field: dict(values) for field, values in _taken(options, maps).items()}
    sizes = {"memory": "Memory", "shm_size": "ShmSize"}
    host |= {field: size_bytes(size) for field, size in _taken(options, sizes).items()}
    if "volumes" in options:
        host["Binds"] = [_bind(source, target) for source, target in options["volumes"].items()]
    if "cpus" in options:
        host["NanoCpus"] = round(options["cpus"] * _NANO)
    if "ulimits" in options:
        host["Ulimits"] = [_ulimit(name, limit) for name, limit in options["ulimits"].items()]
    if "restart" in options:
        host["RestartPolicy"] = _restart_policy(options["restart"])
    return host


def _taken(options: ContainerOptions, fields: Mapping[str, str]) -> dict[str, Any]:
    """The options that are given, under the API's names."""
    given: Mapping[str, object] = options
    return {field: given[name] for name, field in fields.items() if name in given}


def _bind(source: PathLike, target: str) -> str:
    """A text without a slash that begins with no dot is the name of a volume, as it is to `docker run`."""
    path = os.fspath(source)
    if path is not source or "/" in path or path.startswith("."):
        path = os.path.abspath(path)
    if ":" in path:
        raise InvalidArgument(f"cannot mount {path!r}: its name has a colon")
    return f"{path}:{target}"


def _ulimit(name: str, limit: int | tuple[int, int]) -> dict[str, object]:
    soft, hard = (limit, limit) if isinstance(limit, int) else limit
    return {"Name": name, "Soft": soft, "Hard": hard}


def _restart_policy(text: str) -> dict[str, object]:
    name, colon, count = text.partition(":")
    if colon and not count.isdecimal():
        raise InvalidArgument(f"invalid restart policy {text!r}: use NAME or on-failure:COUNT")
    return {"Name": name, "MaximumRetryCount": int(count or 0)}
