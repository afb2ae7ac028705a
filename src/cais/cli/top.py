"""`cais top`: the processes of a container."""

from __future__ import annotations

from cais.cli.command import Command, Invocation
from cais.cli.formats import table
from cais.cli.output import out
from cais.client import containers

_LEAST_WIDTH = 20


def _top(call: Invocation) -> int:
    container, *arguments = call.arguments
    found = containers.processes(call.engine, container, " ".join(arguments))
    out(table([found["Titles"], *(found["Processes"] or [])], _LEAST_WIDTH))
    return 0


TOP = Command("CONTAINER [ps OPTIONS]", "container top, top", (), _top, 1, interspersed=False, completes="running")
