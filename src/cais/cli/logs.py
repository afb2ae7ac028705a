"""`cais logs`."""

from __future__ import annotations

from cais.cli.command import Command, Invocation
from cais.cli.flags import Flag, switch
from cais.cli.session import Output
from cais.cli.times import timestamp
from cais.client import containers


def _logs(call: Invocation) -> int:
    given = call.flags
    query = {"stdout": "1", "stderr": "1", "tail": given.text("tail")}
    query |= {name: "1" for name in ("follow", "timestamps", "details") if given.on(name)}
    query |= {name: moment for name in ("since", "until") if (moment := timestamp(given.text(name), name))}
    answer = containers.logs(call.engine, call.arguments[0], query)
    kind = answer.headers.get("content-type", "")
    if kind.endswith("raw-stream"):
        raw = True
    elif kind.endswith("multiplexed-stream"):
        raw = False
    else:  # engines before API 1.42 do not tell
        with call.engine.aside() as aside:
            raw = containers.detail(aside, call.arguments[0])["Config"].get("Tty", False)
    output = Output(tty=raw)
    for block in answer.blocks():
        output.take(block)
    return 0


LOGS = Command(
    "[OPTIONS] CONTAINER",
    "container logs, logs",
    (
        switch("details", "Show extra details provided to logs"),
        switch("follow", "Follow log output", "f"),
        Flag(
            "since",
            'Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)',
        ),
        Flag(
            "tail",
            "Number of lines to show from the end of the logs",
            "n",
            default="all",
            default_text='(default "all")',
        ),
        switch("timestamps", "Show timestamps", "t"),
        Flag(
            "until",
            'Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)',
        ),
    ),
    _logs,
    1,
    1,
    completes="container",
)
