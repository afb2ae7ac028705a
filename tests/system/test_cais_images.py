"""The commands about images, against a real engine and a real registry."""

import base64
import json
import os
import tarfile
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.harness.engine import Daemon
from tests.harness.registry import PASSWORD, USER, real_registry

SECRET = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@pytest.fixture
def cais(caisd: Daemon) -> Iterator[Daemon]:
    """The session's caisd, whose `docker…` methods run our own command. The images that a test adds are removed."""
    caisd.client = "cais"
    before = _names(caisd)
    yield caisd
    caisd.client = "cais"
    caisd.remove_containers()
    for name in _names(caisd) - before:
        caisd.docker("rmi", "-f", name)
    caisd.docker("image", "prune", "-f")
    Path(caisd.folder, "docker-config", "config.json").unlink(missing_ok=True)
    caisd.client = "docker"


def _names(daemon: Daemon) -> set[str]:
    return set(daemon.docker_output("images", "--format", "{{.Repository}}:{{.Tag}}").split()) - {"<none>:<none>"}


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    with real_registry(password=True) as running:
        yield running.name


def put_index(address: str, repository: str, tag: str, members: Sequence[object]) -> None:
    """Store an OCI index of manifests, given by their descriptors, which the registry has."""
    media_type = "application/vnd.oci.image.index.v1+json"
    body = json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": members}).encode()
    headers = {"Content-Type": media_type, "Authorization": f"Basic {SECRET}"}
    url = f"http://{address}/v2/{repository}/manifests/{tag}"
    request = urllib.request.Request(url, body, headers, method="PUT")
    urllib.request.urlopen(request, timeout=10)  # noqa: S310


@pytest.fixture
def logged_in(cais: Daemon, registry: str) -> str:
    """The address of a registry that the command has logged in to."""
    done = cais.docker("login", "-u", USER, "--password-stdin", registry, stdin=PASSWORD)
    assert (done.returncode, done.stdout) == (0, "Login Succeeded\n"), done.stderr
    return registry


@pytest.fixture
def committed(cais: Daemon) -> str:
    """The name of an image that was made by a commit, of a container that is still there: "box"."""
    cais.docker_output("run", "--name", "box", "busybox", "sh", "-c", "echo data > /data; rm /etc/group")
    identity = cais.docker_output(
        "commit", "-a", "me", "-m", "with data", "-c", 'CMD ["cat", "/data"]', "box", "made:1"
    )
    assert identity.startswith("sha256:")
    return "made:1"


def test_a_container_becomes_an_image(cais: Daemon, committed: str) -> None:
    assert cais.docker_output("run", "--rm", committed) == "data"
    shown = cais.docker_output("image", "inspect", "-f", "{{.Author}}|{{.Comment}}|{{.Config.Cmd}}", committed)
    assert shown == "me|with data|[cat /data]"
    history = cais.docker_output("history", "--format", "{{.Comment}}|{{.Size}}", committed).splitlines()
    assert history[0] == "with data|5B"
    assert len(cais.docker_output("history", "-q", "--no-trunc", committed).splitlines()) == len(history)
    wide = cais.docker_output("history", "-H=false", committed).splitlines()
    assert "CREATED AT" in wide[0]
    assert cais.docker_output("image", "layers", committed).splitlines()[2].endswith("+1 added  ~0 changed  -1 removed")
    assert cais.docker("commit", "nothing", "x").stderr == "Error response from daemon: No such container: nothing\n"


def test_an_image_in_use_stays(cais: Daemon, committed: str) -> None:
    cais.docker_output("create", "--name", "user", committed)
    done = cais.docker("rmi", committed)
    assert done.returncode == 1
    assert "conflict: unable to remove repository reference" in done.stderr
    assert f"Untagged: {committed}" in cais.docker_output("rmi", "-f", committed)


def test_images_are_saved_and_loaded(cais: Daemon, committed: str, tmp_path: Path) -> None:
    archive = tmp_path / "images.tar"
    cais.docker_output("save", "-o", str(archive), committed, "busybox")
    assert archive.stat().st_mode & 0o777 == 0o600
    with tarfile.open(archive) as opened:
        members = set(opened.getnames())
    assert {"manifest.json", "index.json", "oci-layout"} <= members
    identity = cais.docker_output("images", "-q", "--no-trunc", committed)
    cais.docker_output("rmi", committed)
    said = cais.docker_output("load", "-i", str(archive)).splitlines()
    assert f"Loaded image: {committed}" in said
    assert cais.docker_output("images", "-q", "--no-trunc", committed) == identity
    with archive.open("rb") as opened_archive:
        process = cais.docker_start("load", "-q", stdin=opened_archive.fileno())
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, b"")
    assert f"Loaded image: {committed}".encode() in output
    assert cais.docker("load", stdin="x" * 2000).returncode == 1
    assert cais.docker("save", "nothing").stderr.startswith("Error response from daemon: No such image: nothing")


def test_a_container_is_exported_and_imported(cais: Daemon, committed: str, tmp_path: Path) -> None:
    archive = tmp_path / "root.tar"
    cais.docker_output("export", "-o", str(archive), "box")
    identity = cais.docker_output("import", "-m", "why", "-c", 'CMD ["cat", "/data"]', str(archive), "brought:1")
    assert identity.startswith("sha256:")
    assert cais.docker_output("run", "--rm", "brought:1") == "data"
    assert cais.docker_output("history", "--format", "{{.Comment}}", "brought:1") == "why"


def test_what_is_not_used_is_removed(cais: Daemon, committed: str) -> None:
    cais.docker_output("rm", "box")
    cais.docker_output("tag", "busybox", committed)  # which leaves the other without a name
    assert len(cais.docker_output("images", "-q", "-f", "dangling=true").split()) == 1
    done = cais.docker("image", "prune", stdin="n\n")
    assert done.stdout.startswith("WARNING! This will remove all dangling images.\nAre you sure")
    assert len(cais.docker_output("images", "-q", "-f", "dangling=true").split()) == 1
    done = cais.docker("image", "prune", stdin="y\n")
    assert "Deleted Images:\ndeleted: sha256:" in done.stdout
    assert "\n\nTotal reclaimed space: " in done.stdout
    assert cais.docker_output("images", "-q", "-f", "dangling=true") == ""


def test_platforms_are_asked_for(cais: Daemon) -> None:
    for words in (["image", "inspect"], ["history"], ["save"]):
        done = cais.docker(*words, "--platform", "linux/s390x", "busybox")
        assert done.returncode == 1, words
        assert "s390x" in done.stderr, words
    assert (
        cais.docker_output("images", "--tree").splitlines()[0].startswith("WARNING: This is an experimental feature.")
    )


def test_disk_usage_counts_shared_layers_once(cais: Daemon, committed: str) -> None:
    rows = json.loads(cais.docker_output("system", "df", "-v", "--format", "json"))
    made = next(row for row in rows["Images"] if row["Repository"] == "made")
    assert (made["UniqueSize"], made["Containers"]) == ("5B", "0")
    total = json.loads(cais.docker_output("system", "df", "--format", "json").splitlines()[0])
    assert total["Type"] == "Images"
    assert "(virtual " in cais.docker_output("ps", "-a", "-s", "--format", "{{.Size}}")


# -- registries


def test_an_image_goes_to_a_registry_and_comes_back(cais: Daemon, logged_in: str, committed: str) -> None:
    name = f"{logged_in}/team/made"
    for tag in ("1", "2"):
        cais.docker_output("tag", committed, f"{name}:{tag}")
    pushed = cais.docker_output("push", f"{name}:1").splitlines()
    assert pushed[0] == f"The push refers to repository [{name}]"
    assert pushed[-1].startswith("1: digest: sha256:")
    assert cais.docker_output("push", "-q", "-a", name) == name
    cais.docker_output("rmi", f"{name}:1", f"{name}:2")
    pulled = cais.docker_output("pull", f"{name}:1").splitlines()
    assert pulled[0] == "1: Pulling from team/made"
    assert pulled[-3].startswith("Digest: sha256:")
    assert pulled[-2:] == [f"Status: Downloaded newer image for {name}:1", f"{name}:1"]
    assert cais.docker_output("pull", "-q", "-a", name) == name
    assert {f"{name}:1", f"{name}:2"} <= _names(cais)
    assert cais.docker_output("run", "--rm", f"{name}:2") == "data"
    digest = cais.docker_output("images", "--digests", "--format", "{{.Digest}}", name).split()[0]
    assert pulled[-3] == f"Digest: {digest}"
    assert cais.docker_output("run", "--rm", "--pull", "always", "-q", f"{name}@{digest}") == "data"


def test_at_a_terminal_the_layers_have_their_lines(cais: Daemon, logged_in: str, committed: str) -> None:
    name = f"{logged_in}/bars:1"
    cais.docker_output("tag", committed, name)
    cais.docker_output("push", "-q", name)
    cais.docker_output("rm", "box")
    cais.docker_output("rmi", name, committed)
    with cais.docker_terminal("pull", name, columns=120) as terminal:
        assert terminal.wait(30) == 0
        assert "\x1b[2K" in terminal.seen
        assert "\x1b[1A" in terminal.seen
        assert ": Pull complete" in terminal.seen
        assert terminal.seen.endswith(f"Status: Downloaded newer image for {name}\r\n{name}\r\n")


def test_a_manifest_is_shown_as_docker_s_command_shows_it(cais: Daemon, logged_in: str, committed: str) -> None:
    name = f"{logged_in}/shown:1"
    cais.docker_output("tag", committed, name)
    cais.docker_output("push", "-q", name)
    member = json.loads(cais.docker_output("manifest", "inspect", "-v", name))["Descriptor"]
    put_index(logged_in, "shown", "index", [member])
    for shown in (name, f"{logged_in}/shown:index"):
        for flags in ((), ("-v",)):
            ours = cais.docker_output("manifest", "inspect", *flags, shown)
            cais.client = "docker"
            theirs = cais.docker_output("manifest", "inspect", "--insecure", *flags, shown)
            cais.client = "cais"
            assert ours == theirs
    missing = f"{logged_in}/missing:1"
    done = cais.docker("manifest", "inspect", missing)
    assert (done.returncode, done.stderr) == (1, f"no such manifest: {missing}\n")


def test_without_credentials_a_registry_gives_nothing(cais: Daemon, logged_in: str, committed: str) -> None:
    name = f"{logged_in}/secret:1"
    cais.docker_output("tag", committed, name)
    assert cais.docker_output("logout", logged_in) == f"Removing login credentials for {logged_in}"
    for words in (["push", name], ["pull", name], ["manifest", "inspect", name], ["run", "--pull", "always", name]):
        done = cais.docker(*words)
        assert done.returncode != 0, words
        assert "no basic auth credentials" in done.stderr, words
    done = cais.docker("login", "-u", USER, "--password-stdin", logged_in, stdin="wrong")
    assert done.returncode == 1
    assert done.stderr == (
        f"Error response from daemon: login attempt to http://{logged_in}/v2/ failed with status: 401 Unauthorized\n"
    )


def test_credentials_come_from_a_helper_and_from_the_environment(cais: Daemon, logged_in: str, tmp_path: Path) -> None:
    name = f"{logged_in}/helped:1"
    cais.docker_output("tag", "busybox", name)
    cais.docker_output("logout", logged_in)
    helper = tmp_path / "docker-credential-toy"
    helper.write_text(f'#!/bin/sh\necho \'{{"Username": "{USER}", "Secret": "{PASSWORD}"}}\'\n')
    helper.chmod(0o755)
    config = tmp_path / "config"
    config.mkdir()
    (config / "config.json").write_text(json.dumps({"credHelpers": {logged_in: "toy"}}))
    helped = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "DOCKER_CONFIG": str(config)}
    assert cais.docker("push", "-q", name, environment=helped).stdout == f"{name}\n"
    given = {
        "DOCKER_AUTH_CONFIG": json.dumps(
            {"auths": {logged_in: {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}}}
        )
    }
    assert cais.docker("push", "-q", name, environment=given).stdout == f"{name}\n"
    assert cais.docker("push", "-q", name).returncode == 1


def test_a_search_that_a_registry_does_not_know_is_an_error(cais: Daemon, logged_in: str) -> None:
    done = cais.docker("search", f"{logged_in}/x")
    assert done.returncode == 1
    assert done.stderr.startswith("Error response from daemon: ")
    assert cais.docker("search", "--limit", "1000", "x").stderr == (
        "Error response from daemon: limit 1000 is outside the range of [1, 100]\n"
    )
