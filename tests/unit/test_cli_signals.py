"""Signals that are passed on."""

import os
import signal

import pytest

from cais.cli.command import CommandError
from cais.cli.signals import Handlers


def test_signals_are_passed_on_by_name_while_the_context_lasts() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    seen: list[str] = []
    handlers = Handlers()
    handlers.forward_to(seen.append)
    with handlers:
        for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
    assert seen == ["USR1", "HUP", "TERM", "INT"]
    assert signal.getsignal(signal.SIGUSR1) is before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_third_request_to_end_is_for_us() -> None:
    handlers = Handlers()
    handlers.forward_to(lambda _name: None)
    with handlers, pytest.raises(CommandError, match="forcefully exiting"):
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_change_of_the_window_is_told() -> None:
    told: list[bool] = []
    handlers = Handlers()
    handlers.on_resize(lambda: told.append(True))
    with handlers:
        os.kill(os.getpid(), signal.SIGWINCH)
    assert told == [True]
