"""Looks at a container from inside, including with system calls that no busybox applet makes.

The probes are Python programs: the host's root is bound read-only at /host and the host's own interpreter runs there
through chroot, under the container's full confinement.
"""

import json
import os
import sys
from dataclasses import dataclass
from typing import Any

from tests.harness.engine import Engine

HOST_MARK = "this is the host"
INTERPRETER = os.path.realpath(sys.executable)
PROBE_PRELUDE = """
import ctypes, errno, json, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(function, *arguments):
    ctypes.set_errno(0)
    result = function(*arguments)
    return "ok" if result != -1 else errno.errorcode[ctypes.get_errno()]
def syscall(number, *arguments):
    return call(libc.syscall, ctypes.c_long(number), *map(ctypes.c_long, arguments))
"""


@dataclass(frozen=True, slots=True)
class Mount:
    path: str
    kind: str
    options: frozenset[str]
    super_options: frozenset[str]


def mounts(mountinfo: str) -> dict[str, Mount]:
    """The mounts of a /proc/PID/mountinfo, by path; of several on one path the topmost."""
    found = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        path, options = before.split()[4:6]
        kind, _, super_options = after.split(" ", 2)
        found[path] = Mount(path, kind, frozenset(options.split(",")), frozenset(super_options.split(",")))
    return found


def run(engine: Engine, script: str, *options: str) -> str:
    """What a shell script prints in a new container."""
    return engine.docker_output("run", "--rm", *options, "busybox", "sh", "-c", script)


def probe(engine: Engine, code: str, *options: str) -> Any:
    """What Python code in a new container prints as JSON. PROBE_PRELUDE stands before it."""
    program = engine.folder / "probe.py"
    program.write_text(PROBE_PRELUDE + code)
    shown = engine.docker_output(
        "run", "--rm", "-v", "/:/host:ro", *options, "busybox", "chroot", "/host", INTERPRETER, str(program)
    )
    return json.loads(shown)
