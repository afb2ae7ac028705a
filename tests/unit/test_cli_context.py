"""The user's settings and contexts, which are shared with docker."""

import json
from pathlib import Path

import pytest

from cais.cli.contexts import Context, NoSuchContext, Store
from cais.cli.main import run
from cais.cli.settings import Settings

META = Path("contexts/meta")
REF = "3ff6c05723bb069d19953340320fa9512f0be584742703e60226ded28bb43861"  # SHA-256 of "ref"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("CAIS_HOST", "DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return tmp_path / "docker"


def test_settings_are_read_from_docker_s_file(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert Settings().text("psFormat") == ""
    folder.mkdir()
    (folder / "config.json").write_text('{"psFormat": "{{.ID}}", "auths": {}, "number": 3}')
    assert Settings().text("psFormat") == "{{.ID}}"
    assert Settings().text("number") == Settings().text("none") == ""
    assert Settings(str(tmp_path)).text("psFormat") == ""
    monkeypatch.delenv("DOCKER_CONFIG")
    monkeypatch.setenv("HOME", "/home/x")
    assert Settings().path == "/home/x/.docker/config.json"


def test_a_damaged_file_is_told_of_and_left_alone(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder.mkdir()
    (folder / "config.json").write_text("{bad")
    assert Settings().text("psFormat") == ""
    assert capfd.readouterr().err.startswith(f"WARNING: Error parsing config file ({folder}/config.json): ")
    assert run(["context", "use", "default"]) == 1
    assert (folder / "config.json").read_text() == "{bad"


def test_a_setting_is_changed_and_the_others_stay(folder: Path) -> None:
    folder.mkdir()
    (folder / "real.json").write_text('{"auths": {"x": {"auth": "eA=="}}, "other": [1]}')
    (folder / "config.json").symlink_to("real.json")
    settings = Settings()
    settings.set_text("currentContext", "ref")
    assert settings.text("currentContext") == "ref"
    assert json.loads((folder / "real.json").read_text()) == {
        "auths": {"x": {"auth": "eA=="}},
        "other": [1],
        "currentContext": "ref",
    }
    assert (folder / "config.json").is_symlink()
    settings.set_text("currentContext", "")
    assert "currentContext" not in json.loads((folder / "real.json").read_text())
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "real.json"]


def test_a_context_is_kept_where_docker_keeps_it(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["context", "create", "ref", "--description", "the one", "--docker", "host=unix:///x.sock"]) == 0
    assert capfd.readouterr() == ("ref\n", 'Successfully created context "ref"\n')
    kept = json.loads((folder / META / REF / "meta.json").read_text())
    assert kept == {
        "Name": "ref",
        "Metadata": {"Description": "the one"},
        "Endpoints": {"docker": {"Host": "unix:///x.sock", "SkipTLSVerify": False}},
    }


def test_contexts_are_listed_and_the_current_is_marked(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(["context", "create", "ref", "--description", "the one", "--docker", "host=unix:///x.sock"])
    run(["context", "use", "ref"])
    capfd.readouterr()
    assert run(["context", "ls"]) == 0
    assert capfd.readouterr().out == (
        "NAME      DESCRIPTION                               DOCKER ENDPOINT              ERROR\n"
        "default   Current DOCKER_HOST based configuration   unix:///run/cais/cais.sock   \n"
        "ref *     the one                                   unix:///x.sock               \n"
    )
    assert run(["context", "ls", "--format", "{{.Name}} {{.Current}}"]) == 0
    assert run(["context", "ls", "-q"]) == 0
    assert run(["context", "show"]) == 0
    assert capfd.readouterr().out == "default false\nref true\ndefault\nref\nref\n"
    monkeypatch.setenv("CAIS_HOST", "unix:///y.sock")
    assert run(["context", "ls", "--format", "{{.Name}} {{.DockerEndpoint}}"]) == 0
    captured = capfd.readouterr()
    assert captured.out == "default unix:///y.sock\nref unix:///x.sock\n"
    assert captured.err.startswith("Warning: CAIS_HOST environment variable overrides the active context.")


def test_a_context_that_is_gone_is_listed_with_its_error(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    assert run(["context", "ls"]) == 0
    assert "gone *" in (shown := capfd.readouterr().out)
    assert 'context "gone": context not found: open' in shown


def test_a_context_can_be_made_of_another(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("CA")
    assert run(["context", "create", "ref", "--docker", f"host=tcp://h:1,ca={tmp_path}/ca,skip-tls-verify=true"]) == 0
    assert run(["context", "create", "copy", "--from", "ref", "--description", "d"]) == 0
    assert run(["context", "create", "other", "--docker", "from=ref"]) == 0
    assert run(["context", "use", "ref"]) == 0
    assert run(["context", "create", "current"]) == 0
    store = Store(Settings().folder)
    for name in ("copy", "other", "current"):
        assert store.get(name).host == "tcp://h:1"
        assert store.get(name).endpoint["SkipTLSVerify"] is True
        assert Path(store.tls_files(name)["ca.pem"]).read_text() == "CA"
    capfd.readouterr()
    assert run(["context", "inspect", "copy", "nope"]) == 1
    captured = capfd.readouterr()
    (found,) = json.loads(captured.out)
    assert found["TLSMaterial"] == {"docker": ["ca.pem"]}
    assert found["Storage"]["MetadataPath"].startswith(Settings().folder)
    assert captured.err.startswith('context "nope": context not found: open ')
    assert run(["context", "inspect", "-f", "{{.Name}} {{.Endpoints.docker.Host}}"]) == 0
    assert capfd.readouterr().out == "ref tcp://h:1\n"


def test_a_context_can_be_changed_and_removed(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(["context", "create", "ref", "--docker", "host=unix:///x.sock"])
    assert run(["context", "update", "ref", "--description", "new", "--docker", "host=unix:///z.sock"]) == 0
    context = Store(str(folder)).get("ref")
    assert (context.description, context.host) == ("new", "unix:///z.sock")
    run(["context", "use", "ref"])
    capfd.readouterr()
    assert run(["context", "rm", "ref", "nope", "default"]) == 1
    assert capfd.readouterr().err == (
        'context "ref" is in use, set -f flag to force remove\ncontext "nope" does not exist\n'
        'context "default" cannot be removed\n'
    )
    assert run(["context", "rm", "-f", "ref"]) == 0
    assert Settings().text("currentContext") == ""
    assert Store(str(folder)).all() == []


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["create", "a b"], 1, 'context name "a b" is invalid, names are validated against regexp "^[a-zA-Z0-9]'),
        (["create", ""], 1, "context name cannot be empty"),
        (["create", "default"], 1, '"default" is a reserved context name'),
        (["create", "ab", "--docker", "foo"], 125, 'invalid argument "foo" for "--docker" flag: foo must be formatted'),
        (["create", "ab", "--docker", "a=1"], 1, "unable to create docker endpoint config: unrecognized config key: a"),
        (["create", "ab", "--docker", "ca=/no"], 1, "unable to create docker endpoint config: open /no: no such file"),
        (["create", "ab", "--from", "ref", "--docker", "host=x"], 1, "cannot use --docker flag when --from is set"),
        (["use", "nope"], 1, 'context "nope": context not found: open '),
        (["update", "default"], 1, '"default" is a reserved context name'),
    ],
)
def test_mistakes_are_told_in_docker_s_words(
    capfd: pytest.CaptureFixture[str], arguments: list[str], status: int, message: str
) -> None:
    assert run(["context", *arguments]) == status
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(message)


def test_host_and_context_exclude_each_other(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["-H", "unix:///x", "-c", "ref", "ps"]) == 1
    assert capfd.readouterr().err == "conflicting options: cannot specify both --host and --context\n"
    assert run(["-H", "unix:///x", "-H", "unix:///y", "ps"]) == 1
    assert capfd.readouterr().err.endswith("Specify only one -H\n")


def test_what_other_tools_keep_with_a_context_stays(folder: Path) -> None:
    store = Store(str(folder))
    store.save(Context("ref", {"Other": 1}, {"docker": {"Host": "x"}, "kubernetes": {"a": "b"}}))
    assert run(["context", "update", "ref", "--description", "d"]) == 0
    context = store.get("ref")
    assert context.metadata == {"Other": 1, "Description": "d"}
    assert context.endpoints["kubernetes"] == {"a": "b"}


def test_damaged_contexts_are_left_out_of_lists(folder: Path) -> None:
    store = Store(str(folder))
    store.save(Context("good", {}, {}))
    (folder / META / REF).mkdir()
    (folder / META / REF / "meta.json").write_text("[]")
    assert [context.name for context in store.all()] == ["good"]
    with pytest.raises(NoSuchContext, match="not a context"):
        store.get("ref")
