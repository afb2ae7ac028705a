"""What a stage has come to: its layers, its configuration and how it was made.

An instruction about the configuration makes another state, at no cost; what writes files brings a layer besides.
"""

import hashlib
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
from msgspec import structs

from cais.build import instructions as kinds
from cais.distribution.oci import ContainerConfig, Healthcheck, History, ImageConfig, RootFS, digest_of
from cais.engine.image import Image
from cais.engine.image_changes import SHELL, exposed_ports
from cais.engine.models import timestamp
from cais.engine.signals import parse_signal
from cais.errors import InvalidArgument
from cais.storage.layers import Layer, chain_ids

DEFAULT_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_VERSION: Final = "1"  # of the keys: another one finds nothing of what was kept before


@dataclass(frozen=True, slots=True)
class State:
    """One state. `arguments` are the build's own variables, as ARG has declared them; they are in no image.

    base: the image, as long as nothing was added to it. diff_ids: the layers, bottom first.
    """

    config: ContainerConfig
    diff_ids: tuple[str, ...] = ()
    history: tuple[History, ...] = ()
    arguments: Mapping[str, str] | None = None
    base: Image | None = None
    architecture: str = ""
    variant: str = ""
    author: str = ""
    created_ns: int = 0
    cmd_is_set: bool = False

    @property
    def chain(self) -> list[str]:
        """The chainIDs of its layers, bottom first."""
        return chain_ids(self.diff_ids)

    @property
    def top(self) -> str | None:
        """The chainID of its topmost layer; None without layers."""
        chain = self.chain
        return chain[-1] if chain else None

    @property
    def shell(self) -> list[str]:
        """What runs the shell form of commands."""
        return self.config.shell or list(SHELL)

    @property
    def variables(self) -> dict[str, str]:
        """What an instruction's variables stand for: arguments, and the environment, which counts more."""
        return {**(self.arguments or {}), **environment(self.config)}

    @property
    def id(self) -> str:
        """A digest of what it is, as long as it is no image."""
        return key_of("state", self.top, msgspec.to_builtins(self.config), sorted((self.arguments or {}).items()))

    @property
    def image_id(self) -> str:
        """The id of the image that it is, or would be."""
        return self.base.id if self.base else digest_of(msgspec.json.encode(self.image()))

    def noted(self, created_by: str, created_ns: int, layer: Layer | None = None) -> "State":
        """The same, made by one more step, which has brought that layer."""
        step = History(
            created=timestamp(created_ns), created_by=created_by, author=self.author, empty_layer=layer is None
        )
        diff_ids = self.diff_ids if layer is None else (*self.diff_ids, layer.diff_id)
        return replace(self, diff_ids=diff_ids, history=(*self.history, step), created_ns=created_ns, base=None)

    def image(self) -> ImageConfig:
        """The configuration of the image that it is."""
        return ImageConfig(
            architecture=self.architecture,
            variant=self.variant,
            os="linux",
            created=timestamp(self.created_ns),
            author=self.author,
            config=self.config,
            rootfs=RootFS(diff_ids=list(self.diff_ids)),
            history=list(self.history),
        )


def of_image(image: Image) -> State:
    """The state that a stage begins with."""
    config = image.config.defaults
    if not config.env:
        config = structs.replace(config, env=[DEFAULT_PATH])
    return State(
        config=structs.replace(config, on_build=None),
        diff_ids=image.config.diff_ids,
        history=image.history,
        arguments={},
        base=image,
        architecture=image.config.architecture,
        variant=image.config.variant,
        author=image.config.author,
        created_ns=image.created_ns,
    )


def of_scratch(architecture: str, variant: str) -> State:
    """The state of `FROM scratch`."""
    config = ContainerConfig(env=[DEFAULT_PATH])
    return State(config=config, arguments={}, architecture=architecture, variant=variant)


def key_of(kind: str, *parts: Any) -> str:
    """A digest of all that a step depends on."""
    return hashlib.sha256(msgspec.json.encode([_VERSION, kind, *parts])).hexdigest()


def environment(config: ContainerConfig) -> dict[str, str]:
    """The variables of a configuration."""
    return dict(item.partition("=")[::2] for item in config.env or ())


def apply(state: State, line: kinds.Instruction) -> State:
    """The state behind an instruction that writes no file, its variables expanded. Raises: InvalidArgument."""
    match line:
        case kinds.Maintainer():
            return replace(state, author=line.name)
        case kinds.Cmd():
            return replace(_with(state, cmd=_command(state, line)), cmd_is_set=True)
        case kinds.Entrypoint():
            # what the old entry point was given means nothing to the new one
            cmd = state.config.cmd if state.cmd_is_set else None
            return _with(state, entrypoint=_command(state, line), cmd=cmd)
        case _:
            return _with(state, **_changes(state.config, line))


def _changes(config: ContainerConfig, line: kinds.Instruction) -> dict[str, Any]:
    """The fields that an instruction changes, by their names."""
    match line:
        case kinds.Env() | kinds.Label():
            return _pairs(config, line)
        case kinds.Expose() | kinds.Volume():
            return _sets(config, line)
        case kinds.Workdir():
            return {"working_dir": workdir(config.working_dir, line.path)}
        case kinds.Onbuild():
            return {"on_build": [*(config.on_build or ()), line.expression]}
        case _:
            return _value(line)


def _value(line: kinds.Instruction) -> dict[str, Any]:
    """The field that an instruction sets, whatever it was before."""
    match line:
        case kinds.Healthcheck():
            return {"healthcheck": _healthcheck(line)}
        case kinds.Shell():
            return {"shell": list(line.arguments)}
        case kinds.User():
            return {"user": line.user}
        case kinds.StopSignal():
            parse_signal(line.signal)
            return {"stop_signal": line.signal}
    raise InvalidArgument(f"unknown instruction: {line.keyword}")


def _pairs(config: ContainerConfig, line: kinds.Env | kinds.Label) -> dict[str, Any]:
    if isinstance(line, kinds.Env):
        return {"env": [f"{name}={value}" for name, value in {**environment(config), **dict(line.values)}.items()]}
    return {"labels": {**(config.labels or {}), **dict(line.values)}}


def _sets(config: ContainerConfig, line: kinds.Expose | kinds.Volume) -> dict[str, Any]:
    if isinstance(line, kinds.Expose):
        ports = (port for word in line.ports for port in exposed_ports(word))
        return {"exposed_ports": {**(config.exposed_ports or {}), **{port: {} for port in ports}}}
    if not all(path.strip() for path in line.paths):
        raise InvalidArgument("VOLUME specified can not be an empty string")
    return {"volumes": {**(config.volumes or {}), **{path: {} for path in line.paths}}}


def _with(state: State, **changes: Any) -> State:
    return replace(state, config=structs.replace(state.config, **changes))


def _command(state: State, line: kinds.CommandLine) -> list[str] | None:
    if line.shell and line.command and line.command[0]:
        return [*state.shell, line.command[0]]
    return list(line.command) or None


def _healthcheck(line: kinds.Healthcheck) -> Healthcheck:
    return Healthcheck(
        test=list(line.test),
        interval=line.interval_ns,
        timeout=line.timeout_ns,
        start_period=line.start_period_ns,
        start_interval=line.start_interval_ns,
        retries=line.retries,
    )


def workdir(before: str, path: str) -> str:
    """The working folder that WORKDIR sets, from the one before it."""
    return "/" + posixpath.normpath(posixpath.join("/", before, path)).lstrip("/")
