"""An engine as its client sees it: requests of the Engine API, in the newest version that both sides speak.

The version is not asked for beforehand: requests go out in our own version, and an engine that is older says so
(400, "client version 1.51 is too new. Maximum supported API version is …"), after which its version is used. So an
engine of our own age costs no extra exchange.
"""

from __future__ import annotations

from cais.client.codec import dumps, loads
from cais.client.errors import CannotConnect, ConnectionLost, EngineError
from cais.client.http import Connection, target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Any, Self

    from cais.client.http import Endpoint, Response

    Query = Mapping[str, str | Sequence[str]]
    """The parameters of a request; some have several values."""

API_VERSION = "1.51"
_TOO_NEW = "Maximum supported API version is "
_UPGRADE = {"Connection": "Upgrade", "Upgrade": "tcp"}


class Pending:
    """A request that was sent on a connection of its own, whose answer is still to be read."""

    __slots__ = ("_again", "_connection", "_engine", "_version")

    def __init__(self, engine: Engine, again: Callable[[], Connection]) -> None:
        self._engine = engine
        self._again = again
        self._version = engine.version
        self._connection = again()

    @property
    def connection(self) -> Connection:
        return self._connection

    def response(self) -> Response:
        """The head of the answer, waited for. Raises EngineError when the engine refused."""
        answer = self._connection.receive()
        if self._engine.learns_version_from(answer, self._version):
            self._connection.close()
            self._connection = self._again()
            answer = self._connection.receive()
        return _checked(answer)


class Engine:
    """An engine at an endpoint. One request at a time, except for those made `separately`."""

    def __init__(self, endpoint: Endpoint, start: Callable[[], None] | None = None, *, version: str = "") -> None:
        """`start` is called when nobody listens at the endpoint; it returns when somebody does, or raises.

        `version` of the API is spoken and no other; "" is the newest that both sides know.
        """
        self.endpoint = endpoint
        self.version = version or API_VERSION
        self._is_negotiable = not version
        self._start = start
        self._connection: Connection | None = None

    def connect(self) -> Connection:
        """A new connection; the engine is started when it does not run and can be."""
        try:
            return Connection(self.endpoint)
        except CannotConnect as error:
            if self._start is None or not isinstance(error.reason, FileNotFoundError | ConnectionRefusedError):
                raise
        self._start()
        return Connection(self.endpoint)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def aside(self) -> Engine:
        """The same engine over connections of its own; it is not started when it does not run."""
        other = Engine(self.endpoint, version="" if self._is_negotiable else self.version)
        other.version = self.version
        return other

    def learns_version_from(self, answer: Response, asked_in: str) -> bool:
        """Whether the engine answered that the version `asked_in` is too new; its own is used from then on."""
        if answer.status != 400 or asked_in != API_VERSION or not self._is_negotiable:
            return False
        message = _message(answer.read())
        if _TOO_NEW not in message:
            raise EngineError(answer.status, message)
        self.version = message.partition(_TOO_NEW)[2].strip()
        return True

    def negotiated(self) -> tuple[int, int]:
        """The version of the API that both sides speak; the engine is asked."""
        self.call("GET", "/_ping").read()
        major, _, minor = self.version.partition(".")
        return int(major), int(minor)

    def is_cais(self) -> bool:
        """Whether the engine is a Cais, and not another one with the same API; the engine is asked."""
        answer = self.call("GET", "/_ping")
        answer.read()
        return answer.headers.get("server", "").startswith("Cais/")

    def call(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        content: object = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The answer to a request; `content` goes as JSON. Raises EngineError when the engine refused."""
        sent, body = _with_json(headers or {}, content)
        while True:
            known, version = self._connection, self.version
            connection = self._idle()
            connection.send(method, self._location(path, query), sent, body)
            try:
                answer = connection.receive()
            except ConnectionLost:
                # It may have been closed while it was idle; only what changes nothing is asked for twice.
                if connection is known and method == "GET":
                    continue
                raise
            if not self.learns_version_from(answer, version):
                return _checked(answer)

    def fetch(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        content: object = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The JSON that a request is answered with, or None when the answer is empty."""
        data = self.call(method, path, query, content, headers=headers).read()
        return loads(data) if data else None

    def send_blocks(
        self,
        method: str,
        path: str,
        query: Query,
        blocks: Iterable[bytes],
        media_type: str,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The answer to a request whose body is streamed. The body is not sent in a version that is not spoken."""
        self.negotiated()
        connection = self._idle()
        sent = {**(headers or {}), "Content-Type": media_type}
        connection.send(method, self._location(path, query), sent, blocks)
        return _checked(connection.receive())

    def separately(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        content: object = None,
        *,
        upgrade: bool = False,
    ) -> Pending:
        """Send a request on a connection of its own: one that is answered late, or that becomes a stream."""
        headers, body = _with_json(_UPGRADE if upgrade else {}, content)

        def again() -> Connection:
            connection = self.connect()
            connection.send(method, self._location(path, query), headers, body)
            return connection

        return Pending(self, again)

    def _idle(self) -> Connection:
        connection = self._connection
        if connection is not None and connection.idle and not connection.is_stale():
            return connection
        if connection is not None:
            connection.close()
        self._connection = self.connect()
        return self._connection

    def _location(self, path: str, query: Query | None) -> str:
        return target(f"/v{self.version}{path}", query)


def _with_json(headers: Mapping[str, str], content: object) -> tuple[dict[str, str], bytes]:
    """The headers and the body of a request; no content has neither."""
    if content is None:
        return dict(headers), b""
    return {**headers, "Content-Type": "application/json"}, dumps(content)


def filters_text(filters: Mapping[str, Iterable[str]]) -> str:
    """Filters in the form of the API: a JSON map of lists."""
    return dumps({name: list(values) for name, values in filters.items()}).decode("ascii")


def json_lines(answer: Response) -> Iterator[Any]:
    """The values of a body that is a stream of JSON, one a line."""
    return map(loads, answer.lines())


def _checked(answer: Response) -> Response:
    if answer.status >= 400:
        raise EngineError(answer.status, _message(answer.read(), answer.reason))
    return answer


def _message(body: bytes, reason: str = "") -> str:
    try:
        value = loads(body)
    except ValueError:
        value = None
    if isinstance(value, dict) and isinstance(value.get("message"), str):
        message: str = value["message"]
        return message
    return body.decode("utf-8", "replace").strip() or reason
