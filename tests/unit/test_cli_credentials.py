"""Credentials for registries: in the file, with helper programs, in the environment."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from cais.cli.command import CommandError
from cais.cli.credentials import HUB_KEY, Credentials, Keeper, authorization, header, host_of, key_of
from cais.cli.settings import Settings

Capture = pytest.CaptureFixture[str]
HOST = "registry.test:5000"
TOKEN = "token of an identity"

# Keeps what it is given in a file beside itself, and writes down what it was asked.
HELPER = """\
#!/bin/sh
folder=$(dirname "$0")
echo "$1" >> "$folder/asked"
case $1 in
store) cat > "$folder/kept" ;;
get) [ -f "$folder/kept" ] && cat "$folder/kept" || { echo "credentials not found in native keychain"; exit 1; } ;;
erase) cat >> "$folder/asked"; echo >> "$folder/asked"; rm -f "$folder/kept" ;;
list) echo '{"from.helper": "someone"}' ;;
esac
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.delenv("DOCKER_AUTH_CONFIG", raising=False)
    (tmp_path / "bin").mkdir()
    return Settings(str(tmp_path / "settings"))


def write(settings: Settings, values: object) -> Settings:
    path = Path(settings.path)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(values))
    return Settings(settings.folder)


def read(settings: Settings) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(Path(settings.path).read_text())
    return values


def helper(tmp_path: Path, name: str, script: str = HELPER) -> None:
    program = tmp_path / "bin" / f"docker-credential-{name}"
    program.write_text(script)
    program.chmod(0o755)


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_credentials_are_kept_in_the_file_as_docker_keeps_them(settings: Settings, capfd: Capture) -> None:
    Keeper(settings).store(Credentials(HOST, "me", "pä:ss"))
    path = Path(settings.path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert (
        path.read_text()
        == f'{{\n\t"auths": {{\n\t\t"{HOST}": {{\n\t\t\t"auth": "{in_base64("me:pä:ss")}"\n\t\t}}\n\t}}\n}}'
    )
    assert f"WARNING! Your credentials are stored unencrypted in '{path}'." in capfd.readouterr().err
    found = Keeper(Settings(settings.folder)).get(HOST)
    assert (found.username, found.password) == ("me", "pä:ss")
    Keeper(settings).store(Credentials(HOST, "me", "pä:ss"))
    assert capfd.readouterr().err == ""


def test_what_is_not_understood_stays(settings: Settings) -> None:
    entry = {"auth": in_base64("a:b"), "ours": 1}
    settings = write(settings, {"auths": {HOST: entry, "other": {"auth": in_base64("c:d")}}, "plugin": {"x": [1, 2]}})
    Keeper(settings).store(Credentials(HOST, "e", "f"))
    assert read(settings)["plugin"] == {"x": [1, 2]}
    assert read(settings)["auths"] == {
        HOST: {"ours": 1, "auth": in_base64("e:f")},
        "other": {"auth": in_base64("c:d")},
    }
    Keeper(settings).erase(HOST)
    assert list(read(settings)["auths"]) == ["other"]
    before = Path(settings.path).stat()
    Keeper(settings).erase("unknown")
    assert Path(settings.path).stat().st_mtime_ns == before.st_mtime_ns


def test_a_link_stays_one_and_a_damaged_file_is_left_alone(settings: Settings, tmp_path: Path) -> None:
    settings = write(settings, {})
    real = tmp_path / "real.json"
    os.rename(settings.path, real)
    os.symlink(real, settings.path)
    Keeper(settings).store(Credentials(HOST, "a", "b"))
    assert os.path.islink(settings.path)
    assert HOST in json.loads(real.read_text())["auths"]
    assert sorted(os.listdir(tmp_path)) == ["bin", "real.json", "settings"]
    real.write_text("{damaged")
    with pytest.raises(CommandError, match=r"config\.json"):
        Keeper(Settings(settings.folder)).store(Credentials(HOST, "a", "b"))
    assert real.read_text() == "{damaged"


def test_an_identity_token_replaces_the_password(settings: Settings) -> None:
    Keeper(settings).store(Credentials(HOST, "me", identity_token=TOKEN))
    assert read(settings)["auths"][HOST] == {"auth": in_base64("me:"), "identitytoken": TOKEN}
    found = Keeper(Settings(settings.folder)).get(HOST)
    assert found.as_json() == {"username": "me", "serveraddress": HOST, "identitytoken": TOKEN}


@pytest.mark.parametrize("name", [f"http://{HOST}", f"https://{HOST}/v1/"])
def test_entries_of_old_are_found(settings: Settings, name: str) -> None:
    settings = write(settings, {"auths": {name: {"auth": in_base64("a:b")}}})
    assert Keeper(settings).get(HOST).username == "a"


@pytest.mark.parametrize("auth", ["!!", in_base64("no colon"), in_base64(":x"), "/w=="])
def test_an_entry_that_is_damaged_is_none(settings: Settings, auth: str, capfd: Capture) -> None:
    settings = write(settings, {"auths": {HOST: {"auth": auth}}})
    assert Keeper(settings).get(HOST).is_empty
    assert capfd.readouterr().err.startswith(f"WARNING: Error parsing config file ({settings.path}): ")


def test_a_helper_keeps_them_instead(settings: Settings, tmp_path: Path, capfd: Capture) -> None:
    helper(tmp_path, "toy")
    settings = write(settings, {"credsStore": "toy"})
    keeper = Keeper(settings)
    assert keeper.get(HOST).is_empty
    keeper.store(Credentials(HOST, "me", "secret"))
    assert json.loads((tmp_path / "bin/kept").read_text()) == {"ServerURL": HOST, "Username": "me", "Secret": "secret"}
    assert read(settings) == {"credsStore": "toy", "auths": {HOST: {}}}
    assert (keeper.get(HOST).username, keeper.get(HOST).password) == ("me", "secret")
    assert keeper.servers() == ["from.helper", HOST]
    keeper.erase(HOST)
    assert read(settings)["auths"] == {}
    assert (tmp_path / "bin/asked").read_text().split() == ["get", "store", "get", "get", "list", "erase", HOST]
    assert capfd.readouterr().err == ""


def test_a_helper_keeps_an_identity_token_under_a_name_of_its_own(settings: Settings, tmp_path: Path) -> None:
    helper(tmp_path, "toy")
    keeper = Keeper(write(settings, {"credsStore": "toy"}))
    keeper.store(Credentials(HOST, "me", identity_token=TOKEN))
    assert json.loads((tmp_path / "bin/kept").read_text())["Username"] == "<token>"
    assert keeper.get(HOST).identity_token == TOKEN


def test_each_registry_may_have_its_own_helper(settings: Settings, tmp_path: Path) -> None:
    helper(tmp_path, "toy")
    settings = write(settings, {"credHelpers": {HOST: "toy"}, "auths": {"other": {"auth": in_base64("c:d")}}})
    Keeper(settings).store(Credentials(HOST, "me", "secret"))
    assert read(settings)["auths"][HOST] == {}
    assert Keeper(settings).get("other").username == "c"


def test_a_helper_that_is_installed_is_used_by_who_has_no_credentials_yet(settings: Settings, tmp_path: Path) -> None:
    helper(tmp_path, "secretservice")
    Keeper(settings).store(Credentials(HOST, "me", "secret"))
    assert (tmp_path / "bin/kept").exists()
    assert read(settings)["auths"] == {HOST: {}}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bad", "error storing credentials - err: exit status 1, out: `boom`"),
        ("none", 'exec: "docker-credential-none": executable file not found in $PATH, out: ``'),
        ("../../bin/sh", "is not the name of a program"),
    ],
)
def test_a_helper_that_fails_is_told_of(settings: Settings, tmp_path: Path, name: str, message: str) -> None:
    helper(tmp_path, "bad", "#!/bin/sh\necho boom\nexit 1\n")
    keeper = Keeper(write(settings, {"credsStore": name}))
    with pytest.raises(CommandError) as caught:
        keeper.store(Credentials(HOST, "me", "secret"))
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)
    assert authorization(Settings(settings.folder), HOST) == header({})


def test_a_helper_that_talks_nonsense_gives_nothing(settings: Settings, tmp_path: Path) -> None:
    helper(tmp_path, "odd", "#!/bin/sh\necho nonsense\n")
    with pytest.raises(CommandError, match="error getting credentials"):
        Keeper(write(settings, {"credsStore": "odd"})).get(HOST)


def test_the_environment_comes_first(settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    settings = write(settings, {"auths": {HOST: {"auth": in_base64("a:b")}, "other": {"auth": in_base64("c:d")}}})
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", json.dumps({"auths": {HOST: {"auth": in_base64("x:y")}}}))
    keeper = Keeper(settings)
    assert [keeper.get(name).username for name in (HOST, "other")] == ["x", "c"]
    for broken in ("{", "[]", '{"auths": {"a": {"auth": "!"}}}', '{"auths": []}', '{"auths": {"a": 1}}'):
        monkeypatch.setenv("DOCKER_AUTH_CONFIG", broken)
        assert keeper.get(HOST).username == "a"
        assert capfd.readouterr().err.startswith("Failed to create credential store from DOCKER_AUTH_CONFIG: ")


def test_the_header_is_json_in_base64_that_is_safe_in_urls(settings: Settings) -> None:
    assert authorization(settings, HOST) == {"X-Registry-Auth": "e30="}
    settings = write(settings, {"auths": {HUB_KEY: {"auth": in_base64("user:??>>~~")}}})
    encoded = authorization(settings, "docker.io")["X-Registry-Auth"]
    assert json.loads(base64.urlsafe_b64decode(encoded)) == {
        "username": "user", "password": "??>>~~", "serveraddress": HUB_KEY,
    }  # fmt: skip
    assert not {"+", "/"} & set(encoded)


def test_names_of_registries() -> None:
    assert key_of("docker.io") == HUB_KEY
    assert key_of(HOST) == HOST
    assert host_of(f"https://{HOST}/v2/") == HOST
