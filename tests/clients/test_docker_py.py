"""docker-py, the Python SDK: what programs of others do with the engine."""

import hashlib
import io
import json
import platform
import threading
import time
import urllib.request
from collections.abc import Iterator

import docker
import docker.errors
import docker.types
import pytest

from tests.harness.engine import Engine, wait_until
from tests.harness.images import RootFilesystem, busybox_root
from tests.harness.proxy import port_to


@pytest.fixture
def client(engine: Engine) -> Iterator[docker.DockerClient]:
    sdk = engine.sdk()
    yield sdk
    sdk.close()


def test_ping_and_version(client: docker.DockerClient) -> None:
    assert client.ping() is True
    assert client.version()["Os"] == "linux"


def test_run_returns_the_output(client: docker.DockerClient) -> None:
    assert client.containers.run("busybox", "echo hello", remove=True) == b"hello\n"


def test_run_raises_with_the_status_and_the_errors_of_a_failing_container(client: docker.DockerClient) -> None:
    with pytest.raises(docker.errors.ContainerError) as caught:
        client.containers.run("busybox", ["sh", "-c", "echo bad >&2; exit 5"], remove=True)
    assert caught.value.exit_status == 5
    assert b"bad" in caught.value.stderr


def test_an_image_that_is_not_here_is_told_apart(client: docker.DockerClient) -> None:
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get("no-such-image")
    with pytest.raises(docker.errors.NotFound):
        client.containers.get("no-such-container")


def test_the_life_of_a_container(client: docker.DockerClient) -> None:
    container = client.containers.create("busybox", "sleep 100", name="lived", labels={"a": "b"})
    assert container.status == "created"
    container.start()
    container.reload()
    assert container.status == "running"
    assert [found.id for found in client.containers.list(filters={"label": "a=b"})] == [container.id]
    assert container.top()["Titles"][0] == "UID"
    container.stop(timeout=0)
    assert container.wait()["StatusCode"] == 137
    container.reload()
    assert container.status == "exited"
    container.remove()
    with pytest.raises(docker.errors.NotFound):
        client.containers.get("lived")


def test_exec_run_gives_the_streams_apart(client: docker.DockerClient) -> None:
    container = client.containers.run("busybox", "sleep 100", detach=True)
    done = container.exec_run(["sh", "-c", "echo out; echo err >&2; exit 3"], demux=True)
    assert (done.exit_code, done.output) == (3, (b"out\n", b"err\n"))
    assert container.exec_run("pwd", workdir="/tmp", user="1").output == b"/tmp\n"


def test_logs_stream_while_the_container_runs(client: docker.DockerClient) -> None:
    command = ["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done"]
    container = client.containers.run("busybox", command, detach=True)
    assert b"".join(container.logs(stream=True, follow=True)) == b"1\n2\n3\n"
    assert container.logs(tail=1) == b"3\n"


def test_an_attached_socket_carries_input_and_output(engine: Engine) -> None:
    api = engine.api()
    try:
        created = api.create_container("busybox", "cat", stdin_open=True, tty=True)
        connection = api.attach_socket(created, params={"stdin": 1, "stdout": 1, "stream": 1})
        api.start(created)
        connection._sock.sendall(b"typed\n")  # the SDK hands out the socket so
        received = b""
        while received.count(b"typed") < 2:  # the terminal's echo, and cat's answer
            received += connection._sock.recv(4096)
        connection._sock.close()
        connection.close()
    finally:
        api.close()


def test_a_websocket_carries_input_and_output(engine: Engine) -> None:
    with port_to(engine.socket) as port:  # docker-py has no websockets over unix sockets
        api = docker.APIClient(base_url=f"tcp://127.0.0.1:{port}", timeout=20)
        container = api.create_container("busybox", "cat", stdin_open=True)["Id"]
        api.start(container)
        websocket = api.attach_socket(container, {"stdin": 1, "stdout": 1, "stream": 1}, ws=True)
        websocket.send(b"hello\n")
        assert websocket.recv() == b"hello\n"
        websocket.close()
        api.close()


def test_exec_takes_detach_keys_in_docker_py_s_spelling(engine: Engine) -> None:
    api = engine.api()
    container = api.create_container("busybox", "cat", stdin_open=True)["Id"]
    api.start(container)
    execution = api.exec_create(container, "cat", stdin=True, tty=True, detach_keys="ctrl-x")
    stream = api.exec_start(execution, tty=True, socket=True)._sock
    stream.settimeout(10)
    stream.sendall(b"typed\n")
    seen = b""
    while seen.count(b"typed") < 2:
        seen += stream.recv(1000)
    stream.sendall(b"\x18")
    while stream.recv(1000):
        pass
    assert api.exec_inspect(execution)["Running"] is True
    stream.close()
    api.close()


def test_exec_of_a_terminal_that_is_started_without_one_is_framed(engine: Engine) -> None:
    api = engine.api()
    container = api.create_container("busybox", "cat", stdin_open=True)["Id"]
    api.start(container)
    execution = api.exec_create(container, ["sh", "-c", "echo out; echo err >&2"], tty=True)
    assert api.exec_start(execution) == b"out\r\nerr\r\n"
    execution = api.exec_create(container, ["sh", "-c", "echo out; sleep 0.3; echo err >&2"])
    assert list(api.exec_start(execution, stream=True, demux=True)) == [(b"out\n", None), (None, b"err\n")]
    api.close()


def test_what_is_removed_at_its_end_still_tells_how_it_ended(client: docker.DockerClient) -> None:
    for _ in range(5):
        assert client.containers.run("busybox", "echo hello", auto_remove=True) == b"hello\n"
        with pytest.raises(docker.errors.ContainerError) as caught:
            client.containers.run("busybox", ["sh", "-c", "exit 4"], auto_remove=True)
        assert caught.value.exit_status == 4


def test_variables_without_a_value_and_numbers_as_text(engine: Engine) -> None:
    api = engine.api()
    limits = api.create_host_config(mem_limit="700M", tmpfs={"/x": "size=3M"}, group_add=[1000])
    container = api.create_container(
        "busybox", "id -G", environment={"Foo": None, "Other": "one", "Blank": ""}, host_config=limits
    )["Id"]
    found = api.inspect_container(container)
    assert sorted(item for item in found["Config"]["Env"] if not item.startswith("PATH=")) == [
        "Blank=", "Foo", "Other=one"
    ]  # fmt: skip
    assert found["HostConfig"]["Memory"] == 700 << 20
    assert found["HostConfig"]["Tmpfs"] == {"/x": "size=3M"}
    api.start(container)
    api.wait(container)
    assert b"1000" in api.logs(container).split()
    api.close()


def test_waiting_for_the_next_exit_and_for_the_removal(engine: Engine) -> None:
    api = engine.api()
    container = api.create_container("busybox", ["sh", "-c", "exit 3"])["Id"]
    codes: dict[str, int] = {}

    def wait(condition: str) -> None:
        codes[condition] = engine.api().wait(container, condition=condition)["StatusCode"]

    waiting = [threading.Thread(target=wait, args=(condition,)) for condition in ("next-exit", "removed")]
    for thread in waiting:
        thread.start()
    time.sleep(0.5)
    api.start(container)
    waiting[0].join(10)
    assert codes == {"next-exit": 3}
    api.remove_container(container)
    waiting[1].join(10)
    assert codes == {"next-exit": 3, "removed": 3}
    api.close()


def test_networks_ports_and_aliases(client: docker.DockerClient) -> None:
    pool = docker.types.IPAMPool(subnet="10.218.0.0/24", gateway="10.218.0.254")
    network = client.networks.create("py", ipam=docker.types.IPAMConfig(pool_configs=[pool]), labels={"a": "b"})
    script = "mkdir /www; echo served > /www/index.html; httpd -f -p 80 -h /www"
    web = client.containers.run(
        "busybox", ["sh", "-c", script], detach=True, name="web", network="py", ports={"80/tcp": ("127.0.0.1", None)}
    )
    web.reload()
    (port,) = web.ports["80/tcp"]
    assert port["HostIp"] == "127.0.0.1"
    wait_until(lambda: web.exec_run("wget -q -O /dev/null http://127.0.0.1/").exit_code == 0)
    with urllib.request.urlopen(f"http://127.0.0.1:{port['HostPort']}", timeout=5) as answer:
        assert answer.read() == b"served\n"
    other = client.containers.run("busybox", ["sleep", "100"], detach=True)
    network.connect(other, aliases=["friend"], ipv4_address="10.218.0.77")
    network.reload()
    assert {item.name for item in network.containers} == {"web", other.name}
    assert other.exec_run(["ping", "-c", "1", "-W", "1", "web"]).exit_code == 0
    assert "10.218.0.77" in web.exec_run(["nslookup", "friend"]).output.decode()
    with pytest.raises(docker.errors.APIError, match="has active endpoints"):
        network.remove()
    network.disconnect(other)
    network.disconnect(web)
    network.remove()
    assert client.networks.list(names=["py"]) == []


def test_a_range_of_ipv6_says_nothing_for_a_network_without_it(client: docker.DockerClient) -> None:
    pool = docker.types.IPAMPool(subnet="2001:389::1/64", gateway="2001:389::ffff")
    network = client.networks.create("four-alone", ipam=docker.types.IPAMConfig(pool_configs=[pool]))
    try:
        network.reload()
        assert network.attrs["EnableIPv6"] is False
        [used] = network.attrs["IPAM"]["Config"]
        assert ":" not in used["Subnet"]
    finally:
        network.remove()


def test_events_tell_of_a_container_s_life(engine: Engine) -> None:
    api = engine.api()
    began = int(time.time()) - 1
    try:
        seen: list[str] = []
        stream = api.events(since=began, decode=True, filters={"container": "watched"})

        def listen() -> None:
            for event in stream:
                seen.append(event["Action"])
                if event["Action"] == "destroy":
                    return

        listener = threading.Thread(target=listen)
        listener.start()
        engine.docker_output("run", "--rm", "--name", "watched", "busybox", "true")
        listener.join(20)
        assert not listener.is_alive()
        wanted = ["create", "start", "die", "destroy"]
        assert [action for action in seen if action in wanted] == wanted
        stream.close()
    finally:
        api.close()


def test_a_node_without_swarm_says_so_and_can_leave_none(engine: Engine) -> None:
    api = engine.sdk().api
    try:
        assert api.leave_swarm(force=True) is True
        for ask in (api.inspect_swarm, api.nodes, api.services, api.tasks, api.secrets, api.configs):
            with pytest.raises(docker.errors.APIError, match="This node is not a swarm manager") as caught:
                ask()
            assert caught.value.status_code == 503
        with pytest.raises(docker.errors.APIError, match="not part of a swarm"):
            api.leave_swarm()
        with pytest.raises(
            docker.errors.APIError, match=r"swarm is not supported by Cais \(POST [^{]*/swarm/init\)"
        ) as caught:
            api.init_swarm("127.0.0.1:2377")
        assert caught.value.status_code == 501
    finally:
        api.close()


def test_images_are_imported_tagged_listed_and_removed(engine: Engine, client: docker.DockerClient) -> None:
    root = busybox_root()
    root.file("etc/made-here", b"yes\n")
    engine.import_root("made:one", root, "CMD cat /etc/made-here")
    image = client.images.get("made:one")
    assert client.containers.run("made:one", remove=True) == b"yes\n"
    assert image.tag("example.org/made", "two")
    assert "example.org/made:two" in client.images.get("made:one").tags
    assert image.id in [found.id for found in client.images.list()]
    client.images.remove("made:one")
    client.images.remove("example.org/made:two")
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get(image.id)


def test_an_image_in_use_is_not_removed(engine: Engine, client: docker.DockerClient) -> None:
    root = busybox_root()
    root.file("etc/other", b"in use\n")
    engine.import_root("used:latest", root)
    container = client.containers.create("used", "true")
    with pytest.raises(docker.errors.APIError) as caught:
        client.images.remove("used")
    assert caught.value.status_code == 409
    container.remove()
    client.images.remove("used")


def test_an_archive_of_docker_save_s_kind_is_loaded(engine: Engine, client: docker.DockerClient) -> None:
    archive = io.BytesIO(docker_archive("loaded:here"))
    (image,) = client.images.load(archive)
    assert image.tags == ["loaded:here"]
    assert client.containers.run("loaded:here", "cat /etc/loaded", remove=True) == b"from an archive\n"
    client.images.remove("loaded:here")


def test_a_corrupt_archive_is_refused_and_leaves_nothing(client: docker.DockerClient) -> None:
    before = {image.id for image in client.images.list()}
    whole = docker_archive("cut:here")
    for bad in (b"no archive at all" * 100, whole[: len(whole) // 2]):
        with pytest.raises(docker.errors.ImageLoadError):
            client.images.load(io.BytesIO(bad))
    assert {image.id for image in client.images.list()} == before


def docker_archive(reference: str) -> bytes:
    """An image as `docker save` writes it: manifest.json, a config and one layer."""
    root = busybox_root()
    root.file("etc/loaded", b"from an archive\n")
    layer = root.finish()
    diff_id = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created_by": "a test"}],
    }
    encoded = json.dumps(config).encode()
    name = f"{hashlib.sha256(encoded).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [reference], "Layers": ["layer/layer.tar"]}]
    archive = RootFilesystem()
    archive.file(name, encoded)
    archive.folder("layer")
    archive.file("layer/layer.tar", layer)
    archive.file("manifest.json", json.dumps(manifest).encode())
    return archive.finish()
