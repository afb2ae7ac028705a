"""Which engine a command talks to."""

from __future__ import annotations

import os

from cais.cli.command import PROGRAM, CommandError
from cais.client.engine import Engine
from cais.client.http import Endpoint

DEFAULT_HOST = "unix:///run/cais/cais.sock"


def engine_at(host: str) -> Engine:
    """The engine at `host`, or where the environment says, or this machine's own.

    That one is started when it is needed and does not run, unless CAIS_AUTOSTART is 0. Raises CommandError.
    """
    url = host or os.environ.get("CAIS_HOST", "") or os.environ.get("DOCKER_HOST", "") or DEFAULT_HOST
    if "://" not in url:
        url = f"unix://{url}" if url.startswith("/") else f"tcp://{url}"
    try:
        endpoint = Endpoint(url)
    except ValueError as error:
        raise CommandError(f"Failed to initialize: unable to resolve {PROGRAM} endpoint: {error}") from None
    starts = url == DEFAULT_HOST and os.environ.get("CAIS_AUTOSTART") != "0"
    return Engine(endpoint, _start if starts else None)


def _start() -> None:
    from cais.cli.start_daemon import daemon_command, start_daemon  # noqa: PLC0415 -- once in a long while

    start_daemon(DEFAULT_HOST, daemon_command())
