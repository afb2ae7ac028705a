"""The init of a container that asks for one (`--init`): pid 1, which starts the command and looks after the rest.

It is the first process itself, which has become the container's user with the container's rights, and forks where it
would have called exec. It passes signals on to the command, reaps what loses its parent, and ends as the command does.
It stays non-dumpable, so that processes beside it that may not trace others can look at nothing of it.
"""

import os
import signal
from collections.abc import Callable
from typing import NoReturn

NAME = "cais-init"

# A fault of this process itself, and what stops a background process that touches the terminal: not to be passed on.
_OWN = frozenset(
    {
        signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS,
        signal.SIGTTIN, signal.SIGTTOU,
    }
)  # fmt: skip
_WAITED = frozenset(signal.valid_signals()) - _OWN - {signal.SIGKILL, signal.SIGSTOP}


def run(execute: Callable[[], NoReturn], terminal: bool) -> NoReturn:
    """Fork a child that calls `execute`, and be its init. Never returns, in neither process.

    terminal: descriptor 0 is the controlling terminal, whose foreground the child becomes. Raises: OSError.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED)
    child = os.fork()
    if child == 0:
        _lead(terminal)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        execute()
    while True:
        number = signal.sigwait(_WAITED)
        if number == signal.SIGCHLD:
            _reap(child)
        else:
            _pass_on(child, number)


def _lead(terminal: bool) -> None:
    """Make the child a process group of its own, in the foreground of the terminal if there is one."""
    os.setpgid(0, 0)
    if terminal:
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        try:
            os.tcsetpgrp(0, os.getpgrp())
        except OSError:
            pass  # somebody has taken the terminal away
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)


def _reap(child: int) -> None:
    """Take the exit status of every process that has ended; the command's own is this process's end."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def _pass_on(child: int, number: int) -> None:
    try:
        os.kill(child, number)
    except (ProcessLookupError, PermissionError):
        pass
