"""`cais login` and `logout`, against an engine with canned answers."""

import json
import os
import sys
from pathlib import Path

import pytest

from cais.cli.main import run
from cais.client.codec import loads
from tests.harness.terminal import Terminal
from tests.unit.conftest import CannedEngine

Capture = pytest.CaptureFixture[str]
HOST = "registry.test:5000"
SUCCESS = {"Status": "Login Succeeded", "IdentityToken": ""}
INSECURE = "WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "settings" / "config.json"


def _stdin(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `text` what the command reads from its standard input."""
    path = tmp_path / "stdin"
    path.write_text(text)
    descriptor = os.open(path, os.O_RDONLY)
    monkeypatch.setattr("cais.cli.login.STDIN", descriptor)


def test_credentials_are_tried_and_kept(canned: CannedEngine, config: Path, capfd: Capture) -> None:
    canned.answers["POST /auth"] = SUCCESS
    assert run(["login", "-u", "me", "-p", "secret", f"https://{HOST}/v2/"]) == 0
    assert loads(canned.bodies[-1]) == {"username": "me", "password": "secret", "serveraddress": HOST}
    captured = capfd.readouterr()
    assert captured.out == "Login Succeeded\n"
    assert captured.err.startswith(f"{INSECURE}\nWARNING! Your credentials are stored unencrypted in '{config}'.\n")
    assert list(json.loads(config.read_text())["auths"]) == [HOST]
    assert "secret" not in config.read_text()


@pytest.mark.parametrize("typed", ["secret", "secret\n", "secret\r\n"])
def test_a_password_comes_from_standard_input(
    canned: CannedEngine, typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canned.answers["POST /auth"] = SUCCESS
    _stdin(typed, tmp_path, monkeypatch)
    assert run(["login", "-u", "me", "--password-stdin", HOST]) == 0
    assert loads(canned.bodies[-1]) == {"username": "me", "password": "secret", "serveraddress": HOST}


@pytest.mark.parametrize("server", [[], ["docker.io"], ["https://index.docker.io/v1/"]])
def test_without_a_server_docker_hub_is_meant(canned: CannedEngine, config: Path, server: list[str]) -> None:
    canned.answers["POST /auth"] = SUCCESS
    assert run(["login", "-u", "me", "-p", "secret", *server]) == 0
    assert loads(canned.bodies[-1])["serveraddress"] == "https://index.docker.io/v1/"
    assert list(json.loads(config.read_text())["auths"]) == ["https://index.docker.io/v1/"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-u", ""], "username is empty"),
        (["-u", "a", "-p", ""], "password is empty"),
        (["-p", "x", "--password-stdin"], "conflicting options: cannot specify both --password and --password-stdin"),
        (["--password-stdin"], "the --password-stdin option requires --username to be set"),
        (["-u", "a"], "Error: Cannot perform an interactive login from a non TTY device"),
        ([], "Error: Cannot perform an interactive login from a non TTY device"),
    ],
)
def test_flags_that_make_no_sense_are_refused(
    canned: CannedEngine,
    flags: list[str],
    message: str,
    capfd: Capture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _stdin("", tmp_path, monkeypatch)
    assert run(["login", *flags, HOST]) == 1
    assert capfd.readouterr().err == f"{message}\n"
    assert canned.requests == []


def test_what_a_registry_refuses_is_not_kept(canned: CannedEngine, config: Path, capfd: Capture) -> None:
    canned.refuse("POST /auth", "401 Unauthorized", "login attempt failed with status: 401 Unauthorized")
    assert run(["login", "-u", "me", "-p", "secret", HOST]) == 1
    said = "Error response from daemon: login attempt failed with status: 401 Unauthorized\n"
    assert capfd.readouterr().err == INSECURE + said
    assert not config.exists()


def test_an_identity_token_is_kept_in_place_of_the_password(canned: CannedEngine, config: Path) -> None:
    canned.answers["POST /auth"] = {"Status": "Login Succeeded", "IdentityToken": "token"}
    assert run(["login", "-u", "me", "-p", "secret", HOST]) == 0
    assert json.loads(config.read_text())["auths"][HOST]["identitytoken"] == "token"
    assert run(["login", HOST]) == 0
    assert loads(canned.bodies[-1]) == {"username": "me", "identitytoken": "token", "serveraddress": HOST}


def test_known_credentials_are_tried_first(canned: CannedEngine, config: Path, capfd: Capture) -> None:
    canned.answers["POST /auth"] = SUCCESS
    run(["login", "-u", "me", "-p", "secret", HOST])
    capfd.readouterr()
    assert run(["login", HOST]) == 0
    captured = capfd.readouterr()
    assert captured.out == "Login Succeeded\n"
    assert captured.err == (
        "Authenticating with existing credentials... [Username: me]\n\n"
        " Info -> To login with a different account, run 'cais logout' followed by 'cais login'\n\n\n"
    )


def _terminal(*words: str) -> Terminal:
    return Terminal([sys.executable, "-m", "cais.cli", *words], os.environ | {"TERM": "xterm"}, columns=200)


def test_what_is_missing_is_asked_for_and_the_password_not_shown(canned: CannedEngine) -> None:
    canned.answers["POST /auth"] = SUCCESS
    with _terminal("login", HOST) as terminal:
        terminal.expect("Username: ")
        terminal.send("me\n")
        terminal.expect("Password: ")
        terminal.send("secret\n")
        assert "secret" not in terminal.expect("Login Succeeded")
        assert terminal.wait() == 0
    assert loads(canned.bodies[-1]) == {"username": "me", "password": "secret", "serveraddress": HOST}


def test_known_credentials_that_are_refused_are_asked_for_anew(canned: CannedEngine) -> None:
    canned.answers["POST /auth"] = SUCCESS
    run(["login", "-u", "me", "-p", "old", HOST])
    canned.refuse("POST /auth", "401 Unauthorized", "no")
    with _terminal("login", HOST) as terminal:
        terminal.expect("Stored credentials invalid or expired")
        terminal.expect("Username (me): ")
        canned.answers["POST /auth"] = SUCCESS
        terminal.send("\n")
        terminal.expect("Password: ")
        terminal.send("new\n")
        terminal.expect("Login Succeeded")
        assert terminal.wait() == 0
    assert loads(canned.bodies[-1]) == {"username": "me", "password": "new", "serveraddress": HOST}


@pytest.mark.parametrize(
    ("typed", "message"), [(["\n"], "Error: Non-null Username Required"), (["me\n", "\n"], "Error: Password Required")]
)
def test_an_empty_answer_is_an_error(canned: CannedEngine, typed: list[str], message: str) -> None:
    with _terminal("login", HOST) as terminal:
        for prompt, text in zip(("Username: ", "Password: "), typed, strict=False):
            terminal.expect(prompt)
            terminal.send(text)
        terminal.expect(message)
        assert terminal.wait() == 1
    assert canned.requests == []


def test_docker_hub_s_user_is_told_of_tokens(canned: CannedEngine) -> None:
    with _terminal("login") as terminal:
        assert "Log in with your Docker ID" in terminal.expect("Username: ")
        terminal.send("me\n")
        assert "A Personal Access Token (PAT) can be used instead." in terminal.expect("Password: ")
        terminal.send("\x03")
        assert terminal.wait() == 130


def test_credentials_are_forgotten(canned: CannedEngine, config: Path, capfd: Capture) -> None:
    names = [HOST, f"http://{HOST}", f"https://{HOST}", "other", "https://index.docker.io/v1/"]
    config.parent.mkdir()
    config.write_text(json.dumps({"auths": {name: {} for name in names}}))
    assert run(["logout", f"http://{HOST}/v1/"]) == 0
    assert list(json.loads(config.read_text())["auths"]) == names[3:]
    assert run(["logout"]) == 0
    assert list(json.loads(config.read_text())["auths"]) == ["other"]
    assert capfd.readouterr().out == (
        f"Removing login credentials for {HOST}\nRemoving login credentials for https://index.docker.io/v1/\n"
    )
    assert canned.requests == []


def test_a_helper_that_cannot_forget_is_told_of(canned: CannedEngine, config: Path, capfd: Capture) -> None:
    config.parent.mkdir()
    config.write_text(json.dumps({"credsStore": "none-such"}))
    assert run(["logout"]) == 0
    assert capfd.readouterr().err.startswith("WARNING: could not erase credentials:\nhttps://index.docker.io/v1/: ")
