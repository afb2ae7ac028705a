"""Plain HTTP over a unix socket, for what the tests ask of the API without a client library in between."""

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection to a unix socket."""

    def __init__(self, path: str, timeout_seconds: float) -> None:
        super().__init__("localhost", timeout=timeout_seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> "Json":
        return Json(json.loads(self.body))

    @property
    def message(self) -> str:
        """The text of an error answer."""
        return self.json["message"].text


class Json:
    """A decoded JSON document, read by key and index, and taken out by type: what has another type fails the test."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __getitem__(self, key: str | int) -> "Json":
        if isinstance(key, str):
            assert isinstance(self.value, dict), f"no object: {self.value!r}"
            assert key in self.value, f"no key {key!r} among {sorted(self.value)}"
            return Json(self.value[key])
        assert isinstance(self.value, list), f"no array: {self.value!r}"
        return Json(self.value[key])

    def __contains__(self, key: str) -> bool:
        return isinstance(self.value, dict) and key in self.value

    def __len__(self) -> int:
        assert isinstance(self.value, dict | list), f"neither array nor object: {self.value!r}"
        return len(self.value)

    def __repr__(self) -> str:
        return f"Json({self.value!r})"

    @property
    def text(self) -> str:
        assert isinstance(self.value, str), f"no string: {self.value!r}"
        return self.value

    @property
    def number(self) -> int:
        assert isinstance(self.value, int), f"no integer: {self.value!r}"
        return self.value

    @property
    def flag(self) -> bool:
        assert isinstance(self.value, bool), f"no boolean: {self.value!r}"
        return self.value

    @property
    def items(self) -> "list[Json]":
        assert isinstance(self.value, list), f"no array: {self.value!r}"
        return [Json(item) for item in self.value]


def ask(
    socket_path: str,
    method: str,
    path: str,
    body: object = None,
    *,
    headers: Mapping[str, str] | None = None,
    timeout_seconds: float = 60,
) -> Answer:
    """One request and its whole answer. `body` is sent as it is when it is bytes, as JSON otherwise."""
    sent = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        sent.setdefault("Content-Type", "application/json")
    connection = UnixConnection(socket_path, timeout_seconds)
    try:
        connection.request(method, path, body=body, headers=sent)
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()
