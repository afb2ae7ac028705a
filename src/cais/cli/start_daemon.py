"""Starting caisd when the first command needs it.

Several commands may find at once that nobody listens. Each starts a caisd; all but one of those find the state
folder taken and end, and every command waits for the one socket.
"""

from __future__ import annotations

import os
import sys
import time

import cais
from cais.cli.command import CommandError
from cais.cli.output import err
from cais.client.http import Endpoint

_PATIENCE_SECONDS = 30.0
_GRACE_SECONDS = 3.0  # after our caisd has given up: another one may be on its way
_PAUSE_SECONDS = 0.01
_REPORT_LINES = 20
_LAUNCH = """
import sys
sys.path.insert(0, sys.argv.pop(1))
sys.argv[0] = "caisd"
from cais.daemon.main import main
sys.exit(main())
"""


def daemon_command() -> list[str]:
    """The command line of a caisd in the background: this interpreter, the modules that this program came from."""
    source = os.path.dirname(os.path.dirname(os.path.abspath(cais.__file__)))
    return [sys.executable, "-I", "-c", _LAUNCH, source, "--detach"]


def start_daemon(url: str, command: list[str]) -> None:
    """Run `command` and return when somebody listens at `url`. Raises CommandError."""
    if os.geteuid() != 0:
        raise CommandError(
            f"Cannot connect to the Cais daemon at {url}. Is the cais daemon running?\n"
            "A command of root starts it; this user cannot."
        )
    report = os.memfd_create("caisd-output", os.MFD_CLOEXEC)
    try:
        process = _spawn(command, report)
        if not _wait_for(Endpoint(url), process):
            _show(report)
            raise CommandError(f"Cannot connect to the Cais daemon at {url}. It could not be started.")
    finally:
        os.close(report)


def _spawn(command: list[str], report: int) -> int:
    """Run a program whose output goes to `report`; its process id."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, report, 1),
        (os.POSIX_SPAWN_DUP2, report, 2),
    ]
    return os.posix_spawn(command[0], command, os.environ, file_actions=actions, setsid=True)


def _wait_for(endpoint: Endpoint, process: int) -> bool:
    """Whether somebody listens. What was started has ended or is in the background then: it would else begin to serve
    when the caisd that does so now has been stopped."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    listens, running = False, True
    while time.monotonic() < deadline:
        listens = listens or _listens(endpoint)
        if running:
            ended, status = os.waitpid(process, os.WNOHANG)
            running = not ended
            if ended and os.waitstatus_to_exitcode(status) != 0:
                deadline = min(deadline, time.monotonic() + _GRACE_SECONDS)
        if listens and not running:
            break
        time.sleep(_PAUSE_SECONDS)
    return listens


def _listens(endpoint: Endpoint) -> bool:
    try:
        endpoint.connect().close()
    except OSError:
        return False
    return True


def _show(report: int) -> None:
    os.lseek(report, 0, os.SEEK_SET)
    with os.fdopen(os.dup(report), "rb") as said:
        lines = said.read().decode("utf-8", "replace").splitlines()
    for line in lines[-_REPORT_LINES:]:
        err(line)
