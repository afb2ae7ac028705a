"""Images built by the docker command, as its classic builder is asked, and by docker-py."""

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.harness import host
from tests.harness.engine import Engine, wait_until

CLASSIC = {"DOCKER_BUILDKIT": "0"}


@pytest.fixture
def client(engine: Engine) -> Iterator[docker.DockerClient]:
    sdk = engine.sdk()
    before = {image.id for image in sdk.images.list(all=True)}
    yield sdk
    engine.remove_containers()
    for image in sdk.images.list():
        if image.id not in before:
            sdk.images.remove(image.id, force=True)
    sdk.close()


def build(engine: Engine, *arguments: str, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
    return engine.docker("build", *arguments, stdin=stdin, environment=CLASSIC)


def test_a_folder_becomes_an_image(engine: Engine, client: docker.DockerClient, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox AS first\nARG WHO=world\nRUN echo hello $WHO > /greeting\n"
        "FROM busybox\nCOPY --from=first /greeting .\nCOPY . /ctx/\nCMD cat /greeting\n"
    )
    (tmp_path / ".dockerignore").write_text("secret\n")
    (tmp_path / "secret").write_text("no")
    (tmp_path / "kept").write_text("yes")
    options = ["-t", "built:1", "-t", "built:2", "--label", "a=b c", "--network", "none"]
    made = build(engine, *options, "--build-arg", "WHO=you", str(tmp_path))
    assert made.returncode == 0, made.stderr
    assert "Successfully tagged built:1\nSuccessfully tagged built:2\n" in made.stdout
    assert engine.docker_output("run", "--rm", "--network", "none", "built:2") == "hello you"
    listed = engine.docker_output("run", "--rm", "--network", "none", "built:1", "ls", "/ctx").split()
    assert listed == ["Dockerfile", "kept"]
    assert client.images.get("built:1").labels == {"a": "b c"}
    again = build(engine, *options, "--build-arg", "WHO=you", "-q", str(tmp_path))
    assert again.stdout.strip() == client.images.get("built:1").id


def test_the_command_s_ways_to_name_a_dockerfile(engine: Engine, client: docker.DockerClient, tmp_path: Path) -> None:
    (tmp_path / "ctx").mkdir()
    (tmp_path / "ctx" / "f").write_text("data")
    (tmp_path / "Other").write_text("FROM busybox\nCOPY f /f\nCMD cat /f\n")
    for arguments, stdin in (
        (["-f", str(tmp_path / "Other"), str(tmp_path / "ctx")], None),
        (["-f", "-", str(tmp_path / "ctx")], "FROM busybox\nCOPY f /f\nCMD cat /f\n"),
        (["-"], "FROM busybox\nCMD echo data\n"),
    ):
        made = build(engine, "-q", "-t", "way", *arguments, stdin=stdin)
        assert made.returncode == 0, made.stderr
        assert engine.docker_output("run", "--rm", "--network", "none", "way").strip() == "data"


def test_failures_end_the_command(engine: Engine, client: docker.DockerClient, tmp_path: Path) -> None:
    dockerfile = tmp_path / "Dockerfile"
    for text, status, words in (
        ("FROM busybox\nRUN exit 5\n", 5, "The command '/bin/sh -c exit 5' returned a non-zero code: 5"),
        ("FROM busybox\nCOPY nope /\n", 1, "COPY failed: file not found in build context or excluded by .dockerignore"),
        ("FROM busybox\nNONSENSE x\n", 1, "unknown instruction: NONSENSE"),
    ):
        dockerfile.write_text(text)
        failed = build(engine, "--network", "none", str(tmp_path))
        assert (failed.returncode, words in failed.stderr) == (status, True), failed.stderr


def test_an_interrupted_build_leaves_nothing(engine: Engine, client: docker.DockerClient, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN echo begun; sleep 997\n")
    process = subprocess.Popen(
        engine.command_line("build", "--network", "none", "-t", "never", str(tmp_path)),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=engine.environment() | CLASSIC, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if line == "begun\n":
            break
    process.terminate()
    process.wait(10)
    process.stdout.close()
    wait_until(lambda: not host.processes_naming("sleep 997"), 10)
    assert engine.docker("image", "inspect", "never").returncode == 1


def test_the_cache_is_shown_and_pruned(engine: Engine, client: docker.DockerClient, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN dd if=/dev/zero of=/big bs=1M count=3\n")
    assert build(engine, "--network", "none", "-t", "big", str(tmp_path)).returncode == 0
    assert "Using cache" in build(engine, "--network", "none", str(tmp_path)).stdout
    engine.docker_output("rmi", "big")
    rows = engine.docker_output("system", "df", "--format", "{{.Type}} {{.Size}}").splitlines()
    assert rows[-1].startswith("Build Cache 3.1")
    pruned = engine.docker_output("builder", "prune", "-af")
    assert "Total:\t3.1" in pruned or "Total reclaimed space: 3.1" in pruned
    assert "Using cache" not in build(engine, "--network", "none", str(tmp_path)).stdout


def test_docker_py_builds(engine: Engine, client: docker.DockerClient) -> None:
    text = b"FROM busybox\nARG A\nRUN echo $A > /a\nCMD cat /a\n"
    options = {"buildargs": {"A": "sdk"}, "network_mode": "none", "rm": True, "tag": "sdk:1"}
    image, logs = client.images.build(fileobj=io.BytesIO(text), **options)
    assert image.tags == ["sdk:1"]
    assert any("Successfully built" in line.get("stream", "") for line in logs)
    with pytest.raises(docker.errors.BuildError, match="non-zero code: 3"):
        client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN exit 3\n"), network_mode="none")


def test_a_real_docker_takes_what_was_built(engine: Engine, client: docker.DockerClient, tmp_path: Path) -> None:
    """The archive of a layer is made when it is asked for, and is the one that the layer has its name from."""
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox\nRUN mkdir /d && echo x > /d/f && ln /d/f /d/g && rm /etc/group && chmod 4711 /d/g\n"
        "RUN rm -r /var && mkdir /var && touch /var/new\nCMD cat /d/f\n"
    )
    assert build(engine, "--network", "none", "-t", "taken", str(tmp_path)).returncode == 0
    saved = tmp_path / "saved.tar"
    engine.docker_output("save", "-o", str(saved), "taken")
    engine.docker_output("rmi", "-f", "taken")
    assert "Loaded image: taken:latest" in engine.docker_output("load", "-i", str(saved))
    script = "cat /d/f; ls /var /etc/group 2>/dev/null; stat -c '%a %h' /d/g"
    said = engine.docker_output("run", "--rm", "--network", "none", "taken", "sh", "-c", script)
    assert said == "x\n/var:\nnew\n4711 2"


def test_docker_compose_builds(engine: Engine, client: docker.DockerClient, tmp_path: Path) -> None:
    compose = Path(sys.executable).with_name("docker-compose")
    if not compose.exists():
        pytest.skip("the real Docker Compose is not installed")
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox AS base\nARG WHO\nRUN echo $WHO > /w\nFROM base AS final\nCMD cat /w\nFROM base\nRUN exit 1\n"
    )
    (tmp_path / "compose.yaml").write_text(
        "services:\n  web:\n    image: composed\n    network_mode: none\n    build:\n      context: .\n"
        "      args: {WHO: you}\n      target: final\n      labels: {x: y}\n      network: none\n"
    )
    environment = engine.environment() | CLASSIC | {"DOCKER_HOST": engine.host}

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [compose, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=True
        )

    run("build")
    assert client.images.get("composed").labels["x"] == "y"
    assert "you" in run("up", "--build").stdout
    run("down")
