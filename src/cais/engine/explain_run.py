"""`explain run`: what a request to create and start a container would do, and how it would fail, without doing it.

The plan comes from what creates and starts (`Containers.draft`, `starting.plan`, the runtime's own reading of the
config), so it cannot say one thing while a run does another. The files of the image are looked at through a mount
that no path leads to.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import msgspec

from cais.distribution import reference
from cais.distribution.oci import ContainerConfig as ImageDefaults
from cais.distribution.oci import ImageConfig
from cais.distribution.platforms import parse_platform
from cais.engine import (
    explain_files,
    explain_planned,
    explain_proc,
    joining,
    names,
    resources,
    seccomp_profile,
    spec,
    starting,
)
from cais.engine import explain_models as models
from cais.engine.container import Container
from cais.engine.containers import check_platform
from cais.engine.explain import Sources
from cais.engine.image import Image
from cais.engine.models import CreateRequest, Record
from cais.engine.security import UNCONFINED, parse_security_options
from cais.engine.text import reason
from cais.errors import CaisError, InvalidArgument, NotFound
from cais.runtime import plan as runtime_plan
from cais.runtime import spec as runtime_spec
from cais.runtime import sysctls as runtime_sysctls
from cais.runtime import users
from cais.runtime.cgroups import CgroupError
from cais.runtime.errors import Reason, StartFailed

PULL_CHOICES: Final = frozenset({"always", "missing", "never"})
NO_ID: Final = "<id>"
"""Stands where the id of the container would: in the paths, and in the host name that is made of it."""

UNKNOWN_COMMAND: Final = "(the command of the image)"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What goes with a request: the name of the container, the platform, and when the image is pulled."""

    name: str = ""
    platform: str = ""
    pull: str = "missing"


async def explain_run(request: CreateRequest, options: RunOptions, sources: Sources) -> models.RunPlan:
    """What running a container as requested would do. The request is completed in place. Raises InvalidArgument."""
    if not request.Image:
        raise InvalidArgument("config cannot be empty in order to create a container")
    if options.pull not in PULL_CHOICES:
        raise InvalidArgument(f"invalid pull option: {options.pull[:100]!r}")
    return await _Planner(request, options, sources).plan()


class _Planner:
    """Makes one plan. What goes wrong in a step is noted, and the next ones go on as far as they can."""

    def __init__(self, request: CreateRequest, options: RunOptions, sources: Sources) -> None:
        self._request = request
        self._options = options
        self._sources = sources
        self._image: Image | None = None
        self._errors: list[models.PlannedError] = []
        self._notes: list[str] = []

    async def plan(self) -> models.RunPlan:
        """The whole plan."""
        name = self._name()
        planned_image = self._find_image()
        plan = models.RunPlan(image=planned_image, name=name, errors=self._errors, notes=self._notes)
        draft = None
        with self._step("configuration"):
            draft = self._sources.containers.draft(self._request, name, self._image or _nothing_known(), NO_ID)
        if draft is None:
            return plan
        plan = msgspec.structs.replace(plan, warnings=draft.warnings, **_settings(draft.record))
        joined = self._join(draft.record)
        start = await self._start(draft.record, joined)
        if start is None:
            return plan
        sections = await asyncio.to_thread(self._sections, draft.record, start, joined)
        return msgspec.structs.replace(plan, **sections)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        """What is raised inside is one of the errors, as a start would word it."""
        try:
            yield
        except StartFailed as error:
            self._errors.append(models.PlannedError(step=name, message=starting.translate(error).message))
        except CgroupError as error:
            failed = starting.translate(StartFailed(Reason.INVALID, error.message))
            self._errors.append(models.PlannedError(step=name, message=failed.message))
        except CaisError as error:
            self._errors.append(models.PlannedError(step=name, message=error.message))

    def _name(self) -> str:
        name = self._options.name
        with self._step("name"):
            if name:
                name = names.check_name(name)
                self._sources.containers.check_free(name)
        return name

    def _find_image(self) -> models.PlannedImage:
        """Looks for the image; what is to be said of it."""
        name, pull = self._request.Image, self._options.pull == "always"
        try:
            self._image = self._sources.images.resolve(name)
        except NotFound as error:
            pull = self._options.pull != "never"
            if not pull:
                self._errors.append(models.PlannedError(step="image", message=error.message))
            self._notes.append("The image is not here, so what it sets by itself and its files are not known.")
        except CaisError as error:
            self._errors.append(models.PlannedError(step="image", message=error.message))
        image = self._image
        with self._step("image"):
            if pull:
                self._sources.images.check_pull(reference.parse(name), parse_platform(self._options.platform))
            elif image is not None:
                check_platform(image, name, self._options.platform)
        return models.PlannedImage(
            name=name,
            id=image.id if image else "",
            present=image is not None,
            pull=pull,
            platform=f"{image.config.os}/{image.config.architecture}" if image else self._options.platform,
            size_bytes=image.size_bytes if image else 0,
        )

    def _join(self, record: Record) -> spec.Joined:
        with self._step("namespaces"):
            return joining.join(Container(record), self._sources.containers, self._sources.images.folders_of)
        return spec.ALONE

    async def _start(self, record: Record, joined: spec.Joined) -> starting.Plan | None:
        containers = self._sources.containers
        lower = containers.lower_dirs(self._image) if self._image is not None else ()
        with self._step("configuration"):
            return await asyncio.to_thread(
                starting.plan, record, self._sources.host, self._sources.settings, containers.folder(record.id), lower,
                joined=joined,
            )  # fmt: skip
        return None

    def _sections(self, record: Record, start: starting.Plan, joined: spec.Joined) -> dict[str, object]:
        """What comes behind the configuration, by the names of `RunPlan`. Blocks."""
        config, sources = start.config, self._sources
        with self._step("configuration"):
            _check_profile(record)
        with self._step("mounts"):
            runtime_plan.of_spec(runtime_spec.parse(config))
        with self._step("sysctls"):
            runtime_sysctls.check(runtime_spec.parse(config))
        mounts = explain_planned.mounts(record, config)
        covered = [item.destination for item in mounts if item.origin == "user"]
        user, path = self._look_inside(start, covered)
        security = explain_planned.security(record, sources.host, config)
        if user is not None:
            security = msgspec.structs.replace(security, uid=user.uid, gid=user.gid, groups=list(user.groups))
        namespaces = explain_planned.namespaces(record.host_config, config, sources.containers)
        return {
            "process": _process(record, config, path),
            "namespaces": [_with_inode(item, joined) for item in namespaces],
            "limits": self._limits(record, config),
            "root": explain_planned.root(record, self._image, sources.images, start.root.upper, None),
            "mounts": mounts,
            "network": explain_planned.network(Container(record), sources.containers),
            "security": security,
            "config": msgspec.Raw(spec.encode(config)),
        }

    def _limits(self, record: Record, config: spec.Json) -> models.Limits:
        limits = explain_planned.limits(record, self._sources.host, config)
        with self._step("limits"):
            writes = [
                models.LimitWrite(controller=item.controller, file=item.file, value=item.value)
                for item in resources.plan(config["linux"]["resources"])
            ]
            return msgspec.structs.replace(limits, writes=writes)
        return limits

    def _look_inside(self, start: starting.Plan, covered: list[str]) -> tuple[users.User | None, str]:
        """The user and the program, as far as the image's files tell."""
        user, path = None, ""
        if self._image is None:
            return user, path
        try:
            with self._step("user"), explain_files.opened(start.root.lower, start.config, covered) as files:
                user = files.user()
                with self._step("command"):
                    path = files.command(user)
        except explain_files.Hidden as point:
            self._notes.append(f"The mount at {point} hides files of the image: user and command are not all known.")
        except OSError as error:
            self._notes.append(f"The files of the image cannot be looked at: {reason(error)}")
        return user, path


def _nothing_known() -> Image:
    """What stands in for an image that is not here."""
    defaults = ImageDefaults(cmd=[UNKNOWN_COMMAND])
    return Image(id="", config=ImageConfig(config=defaults), references=(), repo_digests=(), size_bytes=0)


def _settings(record: Record) -> dict[str, object]:
    """What is said of the container's life, by the names of `RunPlan`."""
    hc = record.host_config
    return {
        "auto_remove": hc.AutoRemove,
        "restarts": explain_planned.restarts(record),
        "health": explain_planned.health(record, ""),
        "log_driver": hc.log_config.Type,
        "log_options": hc.log_config.Config,
    }


def _with_inode(planned: models.Namespace, joined: spec.Joined) -> models.Namespace:
    """A namespace that is there already has an inode."""
    path = joined.namespaces.get(planned.kind, "") or (
        f"/proc/self/ns/{explain_proc.NAMESPACES[planned.kind]}" if planned.sharing == explain_planned.HOST else ""
    )
    inode = os.stat(path).st_ino if path and os.path.exists(path) else 0
    return msgspec.structs.replace(planned, inode=inode)


def _check_profile(record: Record) -> None:
    """Raises what is wrong with the user's own system call policy."""
    profile = parse_security_options(record.host_config.SecurityOpt or ()).seccomp
    if profile and profile != UNCONFINED and not record.host_config.Privileged:
        seccomp_profile.parse(profile.encode())


def _process(record: Record, config: spec.Json, path: str) -> models.PlannedProcess:
    process = config["process"]
    return models.PlannedProcess(
        args=process["args"],
        path=path,
        environment=process["env"],
        working_directory=process["cwd"],
        terminal=record.config.Tty,
        stdin=record.config.OpenStdin,
        init=record.host_config.Init is True,
    )
