"""`cais update`: other limits for containers, while they run."""

from __future__ import annotations

from cais.cli import values
from cais.cli.command import Command, CommandError, Invocation
from cais.cli.container_config import PLAIN, restart_policy, restart_unhealthy
from cais.cli.create import check_restarts_unhealthy
from cais.cli.flags import Flag, number
from cais.cli.options import RESOURCES, RESTART_UNHEALTHY
from cais.cli.output import err, out
from cais.client import containers
from cais.client.errors import EngineError
from cais.errors import InvalidArgument

_CHANGEABLE = (
    "blkio-weight",
    "cpu-period",
    "cpu-quota",
    "cpu-rt-period",
    "cpu-rt-runtime",
    "cpu-shares",
    "cpus",
    "cpuset-cpus",
    "cpuset-mems",
    "memory",
    "memory-reservation",
    "memory-swap",
    "pids-limit",
)


def _update(call: Invocation) -> int:
    given = call.flags
    if not given.given:
        raise CommandError("you must provide one or more flags when using this command")
    changes: dict[str, object] = {
        PLAIN[flag]: given.value(flag) for flag in _CHANGEABLE if flag in given.given and given.value(flag)
    }
    if given.text("restart"):
        try:
            changes["RestartPolicy"] = restart_policy(given.text("restart"))
        except ValueError as error:
            raise CommandError(str(error)) from None
    check_restarts_unhealthy(call.engine, given)
    if "restart-unhealthy" in given.given:
        changes["Annotations"] = restart_unhealthy(given)
    failed, warnings = 0, []
    for container in call.arguments:
        try:
            warnings += containers.update(call.engine, container, changes)
        except (EngineError, InvalidArgument) as error:
            err(str(error))
            failed = 1
        else:
            out(container)
    for warning in warnings:
        out(warning)
    return failed


_SHARED = frozenset(_CHANGEABLE) - {"cpu-rt-period", "cpu-rt-runtime", "memory-swap"}
UPDATE = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "container update, update",
    (
        *(flag for flag in RESOURCES if flag.name in _SHARED),
        number("cpu-rt-period", "Limit the CPU real-time period in microseconds"),
        number("cpu-rt-runtime", "Limit the CPU real-time runtime in microseconds"),
        Flag(
            "memory-swap",
            "Swap limit equal to memory plus swap: -1 to enable unlimited swap",
            "",
            "bytes",
            values.parse_bytes_or_unlimited,
            0,
        ),
        Flag("restart", "Restart policy to apply when a container exits"),
        RESTART_UNHEALTHY,
    ),
    _update,
    1,
    completes="container",
)
