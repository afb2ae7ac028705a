"""How a build is shown."""

import fcntl
import os
import pty
import re
import select
import struct
import termios
from collections.abc import Iterator

import pytest

from cais.cli.build_steps import Steps
from cais.cli.build_ticks import with_ticks
from cais.cli.build_view import Live, Plain, calm


def test_steps_are_counted_within_their_stage() -> None:
    steps = Steps()
    steps.plan([{"text": "A", "stage": ""}, {"text": "B", "stage": "x"}, {"text": "C\n  d", "stage": "x"}])
    assert [step.title for step in steps.all.values()] == ["[1/1] A", "[x 1/2] B", "[x 2/2] C d"]
    steps.plan([{"text": "A"}, {"text": "B"}])
    assert steps.all[2].title == "[2/2] B"


def test_lines_that_were_overwritten_are_not_shown() -> None:
    step = Steps().get(1)
    assert [line for _, line in step.take("10%\r50%\r100%\nnext")] == ["100%"]
    assert [line for _, line in step.take("\r\nend")] == ["next"]
    assert [line for _, line in step.finish()] == ["end"]
    assert [line for _, line in step.lines] == ["100%", "next", "end"]


def test_what_moves_a_terminal_is_left_out() -> None:
    assert calm("\x1b[31mred\x1b[0m \x1b[2Kx\x1b]0;t\x07") == "red x\\x1b]0;t\\x07"
    assert calm("plain\n") == "plain\n"


def test_time_passes_between_messages() -> None:
    ticks: list[int] = []
    assert list(with_ticks(iter([1, 2]), lambda: ticks.append(1))) == [1, 2]
    assert len(ticks) >= 2

    def failing() -> Iterator[int]:
        yield 1
        raise KeyError("x")

    with pytest.raises(KeyError):
        list(with_ticks(failing(), lambda: None))


def test_a_plain_view_shows_the_progress_of_a_pull_where_it_belongs() -> None:
    reader, writer = os.pipe()
    view = Plain(writer, writer)
    view.take({"build": {"planned": [{"text": "FROM x"}]}})
    view.take({"build": {"started": 1}})
    view.take({"status": "Pulling", "id": "a"})
    view.take({"status": "Downloading", "id": "a", "progressDetail": {"current": 1, "total": 2}})
    view.take({"build": {"finished": 1}})
    os.close(writer)
    with os.fdopen(reader) as file:
        text = re.sub(r"\d\.\d+", "T", file.read())
    assert text == "#1 [1/1] FROM x\n#1 T a: Pulling\n#1 DONE Ts\n\n"


def test_a_live_view_draws_over_itself() -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 40, 0, 0))
    with os.fdopen(master, "rb", buffering=0) as screen, os.fdopen(slave, "wb", buffering=0):
        view = Live(slave)
        view.sent(1000)
        view.tick()
        view.take({"build": {"planned": [{"text": "FROM x"}, {"text": "RUN " + "y" * 50}]}})
        view.take({"build": {"started": 1}})
        view.take({"build": {"finished": 1, "cached": True}})
        view.take({"build": {"started": 2}})
        view.take({"build": {"output": 2, "data": "\x1b[31mhello\n"}})
        view._draw()
        view.take({"build": {"finished": 2, "error": "bad"}})
        view.close("bad")
        shown = ""
        while select.select([screen], [], [], 0.2)[0]:
            shown += screen.read(65536).decode()
    assert "Sending the context, 1kB" in shown
    assert " => CACHED [1/2] FROM x" in shown
    assert " => => # hello" in shown
    assert " => ERROR [2/2] RUN yyy" in shown
    assert "\x1b[3A" in shown or "\x1b[4A" in shown
