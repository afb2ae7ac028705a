"""Images moved as archives and made of containers, by the docker command and by docker-py."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.harness.engine import Engine


@pytest.fixture
def client(engine: Engine) -> Iterator[docker.DockerClient]:
    sdk = engine.sdk()
    before = {image.id for image in sdk.images.list(all=True)}
    yield sdk
    engine.remove_containers()
    for image in sdk.images.list(all=True):
        if image.id not in before:
            sdk.images.remove(image.id, force=True)
    sdk.close()


def made(engine: Engine, name: str, script: str = "echo data > /data") -> str:
    container = engine.docker_output("create", "busybox", "sh", "-c", script)
    engine.docker_output("start", "-a", container)
    return engine.docker_output("commit", "-c", 'CMD ["cat", "/data"]', container, name)


def test_save_and_load_by_the_command(engine: Engine, client: docker.DockerClient, tmp_path: Path) -> None:
    image = made(engine, "archived:1")
    engine.docker_output("tag", "archived:1", "archived:2")
    path = tmp_path / "saved.tar"
    engine.docker_output("save", "-o", str(path), "archived")
    with tarfile.open(path) as archive:
        names = archive.getnames()
    assert {"manifest.json", "index.json", "oci-layout", "repositories"} <= set(names)
    engine.docker_output("rm", *engine.docker_output("ps", "-aq").split())
    engine.docker_output("rmi", "archived:1", "archived:2")
    assert sorted(engine.docker_output("load", "-i", str(path)).splitlines()) == [
        "Loaded image: archived:1",
        "Loaded image: archived:2",
    ]
    assert engine.docker_output("images", "-q", "--no-trunc", "archived:1") == image
    assert engine.docker_output("run", "--rm", "--network", "none", "archived:2") == "data"
    assert "Loaded image: archived:1" in engine.docker_output("load", "-q", "-i", str(path))


def test_what_cannot_be_saved_or_loaded(engine: Engine, client: docker.DockerClient, tmp_path: Path) -> None:
    failed = engine.docker("save", "absent:1")
    assert failed.returncode == 1
    assert failed.stderr.strip().endswith("reference does not exist")
    path = tmp_path / "bad.tar"
    path.write_bytes(b"rubbish" * 1000)
    assert engine.docker("load", "-i", str(path)).returncode == 1


def test_save_and_load_by_the_sdk(engine: Engine, client: docker.DockerClient) -> None:
    made(engine, "archived:1")
    image = client.images.get("archived:1")
    data = b"".join(image.save(named=True))
    assert b"".join(image.save(named=True)) == data
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        (item,) = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert item["RepoTags"] == ["archived:1"]
    engine.remove_containers()
    client.images.remove("archived:1")
    (loaded,) = client.images.load(data)
    assert (loaded.id, loaded.tags) == (image.id, ["archived:1"])


def test_commit_by_the_sdk(engine: Engine, client: docker.DockerClient) -> None:
    container = client.containers.run("busybox", ["sh", "-c", "echo x > /x"], detach=True)
    container.wait()
    image = container.commit("committed", "1", message="m", author="a", changes=["LABEL k=v"], conf={"Env": ["A=1"]})
    assert image.labels == {"k": "v"}
    assert (image.attrs["Author"], image.attrs["Comment"]) == ("a", "m")
    assert "A=1" in image.attrs["Config"]["Env"]
    assert image.history()[0]["Comment"] == "m"
    assert client.containers.run("committed:1", ["cat", "/x"], remove=True, network_mode="none") == b"x\n"


def test_prune_by_the_sdk_and_df(engine: Engine, client: docker.DockerClient) -> None:
    image = made(engine, "pruned:1", "dd if=/dev/urandom of=/data bs=1k count=100 2>/dev/null")
    engine.remove_containers()
    assert client.images.prune(filters={"dangling": False, "label": "absent"})["ImagesDeleted"] is None
    container = client.containers.create("pruned:1")
    (shown,) = [item for item in client.df()["Images"] if item["Id"] == image]
    assert shown["Containers"] == 1
    assert 0 < shown["SharedSize"] < shown["Size"]
    container.remove()
    engine.docker_output("tag", "busybox", "pruned:1")  # which leaves the image without a name
    pruned = client.images.prune()
    assert {"Deleted": image} in pruned["ImagesDeleted"]
    assert pruned["SpaceReclaimed"] >= 100 << 10
    engine.docker_output("rmi", "pruned:1")


def test_ps_tells_the_size_of_the_layer_and_of_the_whole(engine: Engine, client: docker.DockerClient) -> None:
    container = client.containers.run("busybox", ["sh", "-c", "head -c 123456 /dev/zero > /x"], detach=True)
    container.wait()
    (shown,) = [item for item in client.api.containers(all=True, size=True) if item["Id"] == container.id]
    assert shown["SizeRw"] == 123456
    assert shown["SizeRootFs"] == 123456 + client.images.get("busybox").attrs["Size"]
    (line,) = engine.docker_output("ps", "-as", "--filter", f"id={container.id}", "--format", "{{.Size}}").splitlines()
    assert line.startswith("123kB (virtual ")
