"""/images over the API and by the real docker client: answers, progress, errors in Docker's words."""

import gzip
import http.server
import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.harness import host
from tests.harness.archives import Archive
from tests.harness.engine import PROJECT, Daemon, wait_until
from tests.harness.http import Answer
from tests.harness.swagger import Description

DESCRIPTION = PROJECT.parent / "shared/reference/docker-engine-api-v1.51.yaml"
ROOT = Archive().folder("etc").add("etc/name", b"content").data


@pytest.fixture(scope="module")
def description() -> Description:
    if not DESCRIPTION.exists():
        pytest.skip(f"the API's description is not beside this tree ({DESCRIPTION.name})")
    return Description(DESCRIPTION)


@pytest.fixture
def engine(caisd: Daemon) -> Iterator[Daemon]:
    """The session's caisd; every image but busybox is removed at the end."""
    yield caisd
    caisd.remove_containers()
    for image in caisd.ask("GET", "/images/json?all=1").json.items:
        if "busybox:latest" not in (tags := image["RepoTags"]).value:  # type: ignore[operator]
            answer = caisd.ask("DELETE", f"/images/{image['Id'].text}?force=1")
            assert answer.status == 200, (answer.body, tags)
        else:
            for tag in tags.items:
                if tag.text != "busybox:latest":
                    caisd.ask("DELETE", f"/images/{quote(tag.text, safe='')}")


def lines(answer: Answer) -> list[dict[str, object]]:
    return [json.loads(line) for line in answer.body.splitlines()]


def make(engine: Daemon, name: str, *changes: str, root: bytes = ROOT) -> str:
    """Import an image; its id."""
    options = "".join(f"&changes={quote(change)}" for change in changes)
    answer = engine.ask("POST", f"/images/create?fromSrc=-&repo={quote(name, safe='')}{options}", root)
    assert answer.status == 200, answer.body
    return str(lines(answer)[-1]["status"])


def saved(name: str) -> bytes:
    """An archive with one image, as an old docker save writes it."""
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}}
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": []}]
    return (
        Archive()
        .add("config.json", json.dumps(config).encode())
        .add("manifest.json", json.dumps(manifest).encode())
        .data
    )


# -- answers


def test_the_answers_are_as_described(engine: Daemon, description: Description) -> None:
    make(engine, "registry.example/team/made:1", 'CMD ["x"]', "EXPOSE 80", "VOLUME /v", "LABEL a=b", "ENV C=d")
    name = quote("registry.example/team/made:1", safe="")
    for path, query in (
        ("/images/json", "?all=1&shared-size=1&digests=1"),
        ("/images/{name}/json", ""),
        ("/images/{name}/history", ""),
    ):
        answer = engine.ask("GET", "/v1.51" + path.format(name=name) + query)
        assert answer.status == 200, answer.body
        assert description.errors("GET", path, 200, answer.json.value) == []
    answer = engine.ask("DELETE", f"/v1.51/images/{name}")
    assert description.errors("DELETE", "/images/{name}", 200, answer.json.value) == []


def test_an_image_is_inspected(engine: Daemon) -> None:
    identity = make(
        engine, "made:1", 'CMD ["x", "y"]', "ENV A=b", "WORKDIR /w", "EXPOSE 80/udp", "HEALTHCHECK CMD true"
    )
    shown = engine.ask("GET", "/v1.51/images/made:1/json").json
    assert shown["Id"].text == identity
    assert shown["RepoTags"].value == ["made:1"]
    assert shown["Config"].value == {
        "Cmd": ["x", "y"],
        "Env": ["A=b"],
        "WorkingDir": "/w",
        "ExposedPorts": {"80/udp": {}},
        "Healthcheck": {"Test": ["CMD-SHELL", "true"]},
    }
    assert shown["Size"].number == len("content")
    assert shown["Comment"].text == "Imported from -"
    assert len(shown["RootFS"]["Layers"]) == 1
    assert Path(shown["GraphDriver"]["Data"]["UpperDir"].text, "etc", "name").read_bytes() == b"content"
    assert "VirtualSize" not in shown
    old = engine.ask("GET", "/v1.41/images/made:1/json").json
    assert old["VirtualSize"].number == len("content")
    assert old["Config"]["Entrypoint"].value is None
    assert old["Config"]["User"].text == ""


@pytest.mark.parametrize("slash", ["/", "%2F"])
def test_names_with_slashes_are_found_either_way(engine: Daemon, slash: str) -> None:
    make(engine, "registry.example:5000/a/b:json")
    name = f"registry.example:5000{slash}a{slash}b:json"
    assert engine.ask("GET", f"/images/{name}/json").status == 200
    assert engine.ask("GET", f"/v1.51/images/{name}/history").status == 200
    assert engine.ask("POST", f"/images/{name}/tag?repo=x/y&tag=z").status == 201
    assert engine.ask("GET", f"/images/x{slash}y:z/json").status == 200
    assert engine.ask("DELETE", f"/images/{name}").json.value == [{"Untagged": "registry.example:5000/a/b:json"}]


def test_images_are_listed_by_filter(engine: Daemon) -> None:
    make(engine, "one:1", "LABEL kind=a")
    make(engine, "two:1", "LABEL kind=b")
    make(engine, "")

    def listed(**filters: object) -> list[list[str]]:
        answer = engine.ask("GET", f"/v1.51/images/json?filters={quote(json.dumps(filters))}")
        assert answer.status == 200, answer.body
        return [item["RepoTags"].value for item in answer.json.items]  # type: ignore[misc]

    assert listed(label=["kind=a"]) == [["one:1"]]
    assert listed(label={"kind=a": True}) == [["one:1"]]
    assert listed(reference=["two"]) == [["two:1"]]
    assert listed(dangling=["true"]) == [[]]
    old = engine.ask("GET", '/v1.40/images/json?filters={"dangling":["1"]}').json
    assert old[0]["RepoTags"].value == ["<none>:<none>"]
    assert old[0]["VirtualSize"].number == len("content")
    assert engine.ask("GET", "/v1.40/images/json?filter=two").json[0]["RepoTags"].value == ["two:1"]


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/images/absent/json", 404, "No such image: absent:latest"),
        ("GET", "/images/a/b:c/history", 404, "No such image: a/b:c"),
        ("GET", "/images/UPPER/json", 400,
         "invalid reference format: repository name (library/UPPER) must be lowercase"),
        ("GET", '/images/busybox/json?platform={"os":"linux","architecture":"riscv64"}', 404,
         "image with reference busybox was found but does not provide the specified platform (linux/riscv64)"),
        ("GET", "/images/busybox/json?platform=x", 400, None),
        ("POST", "/images/absent/tag?repo=x", 404, "No such image: absent:latest"),
        ("POST", "/images/busybox/tag?repo=UP&tag=x", 400,
         "invalid reference format: repository name (library/UP) must be lowercase"),
        ("POST", "/images/busybox/tag?repo=a/b&tag=%20x", 400, "invalid tag format"),
        ("POST", "/images/busybox/tag?tag=x", 400, "invalid reference format"),
        ("POST", "/images/busybox/tag?repo=a@sha256:" + "a" * 64, 400,
         "refusing to create a tag with a digest reference"),
        ("DELETE", "/images/absent", 404, "No such image: absent:latest"),
        ("GET", "/images/json?filters=x", 400, None),
        ("GET", '/images/json?filters={"what":["x"]}', 400, "invalid filter 'what'"),
        ("POST", "/images/create", 400, None),
        ("POST", "/images/create?fromImage=127.0.0.1:1/absent&tag=x", 500, None),
        ("POST", "/images/create?fromImage=UP&tag=x", 400, None),
        ("POST", "/images/create?fromImage=cais.local/absent&tag=x", 404, None),
        ("POST", "/images/create?fromImage=cais.local/busybox&platform=linux/riscv64", 404,
         "no matching manifest for linux/riscv64 in the manifest list entries"),
        ("POST", "/images/create?fromImage=busybox&platform=a/b/c/d", 400, None),
        ("POST", "/images/create?fromSrc=-&repo=UP", 400, None),
        ("POST", "/images/create?fromSrc=-&changes=FOO+x", 400, "foo is not a valid change command"),
        ("POST", "/images/create?fromSrc=ftp://x/y", 200, None),
        ("POST", "/images/load?platform=linux", 400, None),
    ],
)  # fmt: skip
def test_what_is_wrong_is_answered_as_docker_does(
    engine: Daemon, method: str, path: str, status: int, message: str | None
) -> None:
    answer = engine.ask(method, quote(path, safe="/?=&%:@+"), b"" if method == "POST" else None)
    assert answer.status == status, answer.body
    if status == 200:
        assert b'"error"' in answer.body
    elif message is None:
        assert answer.message
    else:
        assert answer.message == message


# -- import, load, pull: progress and errors


class _Files(http.server.BaseHTTPRequestHandler):
    """Serves ROOT at /root.tar."""

    def do_GET(self) -> None:
        found = self.path == "/root.tar"
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(ROOT if found else b"")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    """The address, without scheme, of a server of files."""
    with http.server.HTTPServer(("127.0.0.1", 0), _Files) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_archive_is_imported_from_an_address(engine: Daemon, web: str) -> None:
    told = lines(engine.ask("POST", f"/images/create?fromSrc={web}/root.tar&repo=fetched", b""))
    assert told[0] == {"status": f"Downloading from {web}/root.tar"}
    assert engine.ask("GET", "/images/fetched/json").json["Id"].text == told[-1]["status"]


def test_what_cannot_be_fetched_says_why(engine: Daemon, web: str) -> None:
    told = lines(engine.ask("POST", f"/images/create?fromSrc=http://{web}/absent", b""))
    assert told[-1]["error"] == f"failed to GET http://{web}/absent with status 404 Not Found"
    told = lines(engine.ask("POST", "/images/create?fromSrc=http://127.0.0.1:1/x", b""))
    assert told[-1]["error"] == 'Get "http://127.0.0.1:1/x": dial tcp 127.0.0.1:1: connect: connection refused'


def test_an_import_ends_with_the_id(engine: Daemon) -> None:
    answer = engine.ask("POST", "/images/create?fromSrc=-&repo=made&tag=x&message=why", gzip.compress(ROOT))
    (line,) = lines(answer)
    assert str(line["status"]).startswith("sha256:")
    assert engine.ask("GET", "/images/made:x/json").json["Comment"].text == "why"


def test_an_import_of_rubbish_is_an_ordinary_error(engine: Daemon) -> None:
    answer = engine.ask("POST", "/images/create?fromSrc=-&repo=made", b"rubbish" * 1000)
    assert answer.status == 400
    assert answer.message == "invalid tar archive: invalid tar header"


def test_a_load_tells_its_progress(engine: Daemon) -> None:
    config = {"os": "linux", "rootfs": {"diff_ids": [f"sha256:{_hex(ROOT)}"]}}
    manifest = [{"Config": "config.json", "RepoTags": ["loaded:1"], "Layers": ["layer.tar"]}]
    data = (
        Archive()
        .add("layer.tar", ROOT)
        .add("config.json", json.dumps(config).encode())
        .add("manifest.json", json.dumps(manifest).encode())
        .data
    )
    told = lines(engine.ask("POST", "/images/load", data))
    assert told[-1] == {"stream": "Loaded image: loaded:1\n"}
    assert told[0]["status"] == "Loading layer"
    assert told[0]["progressDetail"] == {"current": len(ROOT), "total": len(ROOT)}
    assert lines(engine.ask("POST", "/images/load?quiet=1", data)) == [{"stream": "Loaded image: loaded:1\n"}]


def _hex(data: bytes) -> str:
    import hashlib  # noqa: PLC0415

    return hashlib.sha256(data).hexdigest()


def test_a_failure_after_the_first_message_is_its_last_line(engine: Daemon) -> None:
    config = {"os": "linux", "rootfs": {"diff_ids": ["sha256:" + "a" * 64]}}
    manifest = [{"Config": "config.json", "RepoTags": ["loaded:1"], "Layers": ["layer.tar"]}]
    data = (
        Archive()
        .add("layer.tar", ROOT)
        .add("config.json", json.dumps(config).encode())
        .add("manifest.json", json.dumps(manifest).encode())
        .data
    )
    answer = engine.ask("POST", "/images/load", data)
    assert answer.status == 200
    last = lines(answer)[-1]
    assert "invalid diffID for layer" in str(last["error"])
    assert last["errorDetail"] == {"message": last["error"]}
    assert engine.ask("GET", "/images/loaded:1/json").status == 404


def test_a_pull_tells_its_progress(engine: Daemon) -> None:
    told = lines(engine.ask("POST", "/images/create?fromImage=cais.local%2Fhello-world&tag=latest"))
    assert told[0] == {"status": "Pulling from hello-world", "progressDetail": {}, "id": "latest"}
    assert told[-1] == {"status": "Status: Downloaded newer image for cais.local/hello-world:latest"}


def test_an_image_is_imported_from_an_address(engine: Daemon, tmp_path: Path) -> None:
    (tmp_path / "root.tar").write_bytes(ROOT)
    with subprocess.Popen(
        ["python3", "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", tmp_path, "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            port = server.stdout.readline().split(" port ")[1].split()[0]
            address = f"127.0.0.1:{port}/root.tar"
            told = lines(engine.ask("POST", f"/images/create?fromSrc={address}&repo=fetched"))
            assert told[0]["status"] == f"Downloading from {address}"
            assert str(told[-1]["status"]).startswith("sha256:")
            assert engine.ask("GET", "/images/fetched/json").json["Comment"].text == f"Imported from {address}"
            told = lines(engine.ask("POST", f"/images/create?fromSrc={address}.absent&repo=fetched"))
            assert "404" in str(told[-1]["error"])
        finally:
            server.kill()


def test_a_client_that_hangs_up_ends_its_import(engine: Daemon) -> None:
    folder = engine.data_root / "tmp" / "images"
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(engine.socket)
    head = "POST /images/create?fromSrc=-&repo=half HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n"
    connection.sendall(head.encode() + ROOT[:5000] + b"\0" * 100)
    wait_until(lambda: list(folder.iterdir()))
    began = time.monotonic()
    connection.close()
    wait_until(lambda: not list(folder.iterdir()), 5)
    assert time.monotonic() - began < 2
    assert engine.ask("GET", "/images/half/json").status == 404


# -- the real client


def test_the_docker_client_tags_lists_and_removes(engine: Daemon) -> None:
    make(engine, "made:1")
    engine.docker_output("tag", "made:1", "registry.example/other:2")
    shown = engine.docker_output("images", "--format", "{{.Repository}}:{{.Tag}}")
    assert {"made:1", "registry.example/other:2", "busybox:latest"} <= set(shown.splitlines())
    assert engine.docker_output("rmi", "registry.example/other:2") == "Untagged: registry.example/other:2"
    removed = engine.docker_output("rmi", "made:1").splitlines()
    assert [line.split(":")[0] for line in removed] == ["Untagged", "Deleted", "Deleted"]
    gone = engine.docker("rmi", "made:1")
    assert (gone.returncode, gone.stderr) == (1, "Error response from daemon: No such image: made:1\n")


def test_an_image_in_use_is_kept(engine: Daemon) -> None:
    engine.docker_output("tag", "busybox", "used:1")
    image = make(engine, "alone:1", root=Archive().add("x", b"y").data)
    created = engine.docker_output("create", "alone:1", "x")
    refused = engine.docker("rmi", "alone:1")
    assert refused.stderr == (
        'Error response from daemon: conflict: unable to remove repository reference "alone:1" (must force) - '
        f"container {created[:12]} is using its referenced image {image[7:19]}\n"
    )
    by_id = engine.docker("rmi", image[7:19])
    assert "(must be forced) - image is being used by stopped container" in by_id.stderr
    assert engine.docker("rmi", "-f", "alone:1").returncode == 0
    assert engine.docker("images", "-q", "alone").stdout == ""
    assert engine.inspect(created)["Image"].text == image


def test_running_an_image_that_is_not_here_pulls_it(engine: Daemon) -> None:
    ran = engine.docker("run", "--rm", "cais.local/hello-world")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("Hello from Cais!\n")
    assert "Unable to find image 'cais.local/hello-world:latest' locally" in ran.stderr
    assert "Downloaded newer image for cais.local/hello-world:latest" in ran.stderr


@pytest.mark.parametrize("name", ["127.0.0.1:1/absent", "cais.local/absent", "cais.local/busybox:9"])
def test_running_an_image_that_cannot_be_had_ends_with_125(engine: Daemon, name: str) -> None:
    ran = engine.docker("run", "--rm", name)
    assert ran.returncode == 125
    assert "Error response from daemon" in ran.stderr
    assert (
        ran.stderr.count(name.partition("/")[0]) >= 2
    )  # in the name that was asked for, and in why it is not to be had


def test_load_and_events_by_the_docker_client(engine: Daemon, tmp_path: Path) -> None:
    (tmp_path / "saved.tar").write_bytes(saved("loaded:1"))
    (tmp_path / "bad.tar").write_bytes(b"rubbish" * 300)
    with engine.docker_start(
        "events", "--filter", "type=image", "--format", "{{.Action}} {{.Actor.Attributes.name}}"
    ) as e:
        time.sleep(0.5)
        assert engine.docker_output("load", "-i", str(tmp_path / "saved.tar")) == "Loaded image: loaded:1"
        identity = engine.ask("GET", "/images/loaded:1/json").json["Id"].text
        engine.docker_output("tag", "loaded:1", "again:1")
        engine.docker_output("rmi", "loaded:1", "again:1")
        bad = engine.docker("load", "-i", str(tmp_path / "bad.tar"))
        assert bad.returncode == 1
        assert "invalid tar header" in bad.stderr
        time.sleep(0.2)
        e.send_signal(signal.SIGINT)
        told, _ = e.communicate(timeout=10)
    assert told.decode().splitlines() == [
        f"load {identity}", "tag again:1", f"untag {identity}", f"untag {identity}", f"delete {identity}"
    ]  # fmt: skip


def test_the_state_folder_is_closed_to_others(engine: Daemon) -> None:
    for name in ("blobs", "layers", "tmp"):
        tried = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "ls", engine.data_root / name],
            check=False,
            capture_output=True,
            text=True,
        )
        assert tried.returncode != 0
        assert "Permission denied" in tried.stderr
    assert host.alive(engine.pid)
