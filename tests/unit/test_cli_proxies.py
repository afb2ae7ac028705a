"""Proxies from the user's settings."""

from pathlib import Path

import pytest

from cais.cli.main import run
from cais.cli.proxies import with_proxies
from cais.client.codec import loads
from tests.unit.conftest import CannedEngine

PROXIES = {
    "default": {"httpProxy": "http://p:1", "noProxy": "localhost", "ftpProxy": ""},
    "tcp://far:2375": {"httpsProxy": "http://q:2"},
}


def test_containers_get_the_proxies_of_their_engine() -> None:
    assert with_proxies(PROXIES, "unix:///x", ["A=1"]) == [
        "HTTP_PROXY=http://p:1",
        "http_proxy=http://p:1",
        "NO_PROXY=localhost",
        "no_proxy=localhost",
        "A=1",
    ]
    assert with_proxies(PROXIES, "tcp://far:2375", []) == ["HTTPS_PROXY=http://q:2", "https_proxy=http://q:2"]
    assert with_proxies({}, "unix:///x", ["A=1"]) == ["A=1"]


def test_what_is_given_goes_before_the_settings() -> None:
    assert with_proxies({"default": {"httpProxy": "p"}}, "", ["http_proxy=mine", "HTTP_PROXY"]) == [
        "http_proxy=mine",
        "HTTP_PROXY",
    ]


def test_run_and_create_read_the_settings(
    canned: CannedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "settings").mkdir()
    text = '{"proxies": {"default": {"allProxy": "p"}}, "detachKeys": "ctrl-x"}'
    (tmp_path / "settings/config.json").write_text(text)
    monkeypatch.setenv("DOCKER_DEFAULT_PLATFORM", "linux/arm64")
    canned.answers["POST /containers/create"] = {"Id": "c", "Warnings": []}
    canned.answers["POST /containers/c/exec"] = {"Id": "e"}
    canned.answers["POST /exec/e/start"] = {}
    assert run(["create", "x"]) == 0
    assert loads(canned.bodies[0])["Env"] == ["ALL_PROXY=p", "all_proxy=p"]
    assert canned.requests[0] == "POST /containers/create?platform=linux%2Farm64"
    assert run(["exec", "-d", "c", "true"]) == 0
    assert loads(canned.bodies[1])["DetachKeys"] == "ctrl-x"
    assert run(["exec", "-d", "--detach-keys", "a", "c", "true"]) == 0
    assert loads(canned.bodies[3])["DetachKeys"] == "a"
