"""Challenges as real registries send them, credentials as clients send them, tokens and their time."""

import base64
import json
import time

import pytest

from cais.distribution.registry_auth import (
    MIN_TOKEN_SECONDS,
    NOBODY,
    Challenge,
    Credentials,
    Token,
    TokenAnswer,
    basic,
    decode_credentials,
    parse_challenges,
    scopes_of,
)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (['Basic realm="Registry Realm"'], [Challenge("basic", {"realm": "Registry Realm"})]),
        (
            [
                'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"'
            ],
            [
                Challenge(
                    "bearer",
                    {
                        "realm": "https://auth.docker.io/token",
                        "service": "registry.docker.io",
                        "scope": "repository:a/b:pull,push",
                    },
                )
            ],
        ),
        (
            ['Bearer realm="https://a/t", error="insufficient_scope", Basic realm="x, \\"y\\""'],
            [
                Challenge("bearer", {"realm": "https://a/t", "error": "insufficient_scope"}),
                Challenge("basic", {"realm": 'x, "y"'}),
            ],
        ),
        (
            ["bearer REALM=https://a/t", "Negotiate"],
            [Challenge("bearer", {"realm": "https://a/t"}), Challenge("negotiate")],
        ),
        ([""], []),
        ([',,;"'], []),
    ],
)
def test_challenges(headers: list[str], expected: list[Challenge]) -> None:
    assert parse_challenges(headers) == expected


def _header(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode()


def test_credentials_of_a_header() -> None:
    assert decode_credentials(_header({"username": "u", "password": "p"})).pair == ("u", "p")
    both = base64.b64encode(b"u:p:q").decode()
    assert decode_credentials(_header({"auth": both})).pair == ("u", "p:q")
    assert decode_credentials(_header({"identitytoken": "t"})).identitytoken == "t"
    assert decode_credentials(_header({"username": "u"}).rstrip("=")).pair is None


@pytest.mark.parametrize("header", ["", "e30=", "!!", _header([1]), _header({"username": 1}), "A" * 100_000])
def test_a_header_that_makes_no_sense_is_nobody(header: str) -> None:
    assert decode_credentials(header) == NOBODY


def test_no_secret_in_a_text() -> None:
    assert "hidden" not in repr(Credentials("someone", "hidden", identitytoken="hidden"))


def test_a_token_lives_for_a_minute_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    token = Token.of(TokenAnswer(access_token="t", expires_in=1))
    assert token.value == "t" and token.fresh
    later = time.monotonic() + MIN_TOKEN_SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert not token.fresh


def test_scopes_are_what_is_wanted_and_what_is_named() -> None:
    challenge = Challenge("bearer", {"scope": "repository:b:pull repository:a:pull"})
    assert scopes_of(challenge, ["repository:a:pull"]) == ["repository:a:pull", "repository:b:pull"]
    assert basic("u", "p") == "Basic dTpw"
