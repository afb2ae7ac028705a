"""Which engine a command talks to.

    -H, --host                       an address
    -c, --context                    a context (`cais context ls`)
    CAIS_HOST, DOCKER_HOST           an address
    DOCKER_CONTEXT                   a context
    ~/.docker/config.json            the context that `cais context use`, or docker's, has chosen
    unix:///run/cais/cais.sock       this machine's own, which is started when it does not run

The first of these that is given counts.
"""

from __future__ import annotations

import os

from cais.cli.command import PROGRAM, CommandError
from cais.cli.settings import Settings
from cais.client.engine import Engine
from cais.client.http import Endpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.contexts import Context

DEFAULT_HOST = "unix:///run/cais/cais.sock"
DEFAULT_CONTEXT = "default"


class Choice:
    """The engine that was chosen, and the settings that it was chosen with."""

    __slots__ = ("_context", "_host", "settings")

    def __init__(self, host: str = "", context: str = "", settings: Settings | None = None) -> None:
        """`host` and `context` are what the flags say."""
        self._host = host
        self._context = context
        self.settings = settings or Settings()

    @property
    def context(self) -> str:
        """The name of the context in use."""
        if self._host:
            return DEFAULT_CONTEXT
        if self._context:
            return self._context
        if environment_host():
            return DEFAULT_CONTEXT
        return os.environ.get("DOCKER_CONTEXT", "") or self.settings.text("currentContext") or DEFAULT_CONTEXT

    def engine(self) -> Engine:
        """A client of it. This machine's own is started when needed, unless CAIS_AUTOSTART is 0.

        Raises CommandError.
        """
        name = self.context
        context = None if name == DEFAULT_CONTEXT else self._named(name)
        url = (context.host if context is not None else self._host) or environment_host() or DEFAULT_HOST
        try:
            endpoint = Endpoint(with_scheme(url))
        except ValueError as error:
            raise _unresolved(str(error)) from None
        if endpoint.port and (os.environ.get("DOCKER_TLS_VERIFY") or (context is not None and self._has_tls(name))):
            raise _unresolved(f"{url}: TLS is not supported by {PROGRAM}, reach the engine through ssh://")
        starts = endpoint.url == DEFAULT_HOST and os.environ.get("CAIS_AUTOSTART") != "0"
        return Engine(endpoint, _start if starts else None, version=os.environ.get("DOCKER_API_VERSION", ""))

    def _has_tls(self, name: str) -> bool:
        from cais.cli.contexts import Store  # noqa: PLC0415

        return bool(Store(self.settings.folder).tls_files(name))

    def _named(self, name: str) -> Context:
        from cais.cli.contexts import NoSuchContext, Store  # noqa: PLC0415 -- most users have no contexts

        try:
            return Store(self.settings.folder).get(name)
        except NoSuchContext as error:
            raise _unresolved(error.message) from None


def environment_host() -> str:
    """The address that the environment gives, "" when it gives none."""
    return os.environ.get("CAIS_HOST", "") or os.environ.get("DOCKER_HOST", "")


def with_scheme(address: str) -> str:
    if "://" in address:
        return address
    return f"unix://{address}" if address.startswith("/") else f"tcp://{address}"


def _unresolved(reason: str) -> CommandError:
    return CommandError(f"Failed to initialize: unable to resolve {PROGRAM} endpoint: {reason}")


def _start() -> None:
    from cais.cli.start_daemon import daemon_command, start_daemon  # noqa: PLC0415 -- once in a long while

    start_daemon(DEFAULT_HOST, daemon_command())
