"""The API's answers, against Docker's own description of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.harness.engine import PROJECT, Engine, wait_until
from tests.harness.swagger import Description

DESCRIPTION = PROJECT.parent / "shared/reference/docker-engine-api-v1.51.yaml"


@dataclass(frozen=True, slots=True)
class Names:
    running: str
    ended: str
    exec: str
    image: str


@pytest.fixture(scope="module")
def description() -> Description:
    if not DESCRIPTION.exists():
        pytest.skip(f"the API's description is not beside this tree ({DESCRIPTION.name})")
    return Description(DESCRIPTION)


@pytest.fixture
def names(engine: Engine) -> Iterator[Names]:
    options = ["-m", "64m", "--cpus", "0.5", "-e", "A=b", "--label", "k=v", "-v", "/tmp:/mnt/tmp:ro", "--name", "live"]
    running = engine.docker_output("run", "-d", *options, "busybox", "sleep", "100")
    assert engine.docker("run", "--name", "gone", "busybox", "sh", "-c", "exit 3").returncode == 3
    answer = engine.ask("POST", f"/containers/{running}/exec", {"Cmd": ["true"], "AttachStdout": True})
    assert answer.status == 201
    identity = answer.json["Id"].text
    assert engine.ask("POST", f"/exec/{identity}/start", {"Detach": True}).status == 200
    wait_until(lambda: not engine.ask("GET", f"/exec/{identity}/json").json["Running"].flag)
    yield Names(running, "gone", identity, "busybox:latest")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/version", 200),
        ("GET", "/info", 200),
        ("GET", "/containers/json", 200),
        ("GET", "/containers/{id}/json", 200),
        ("GET", "/containers/{id}/top", 200),
        ("GET", "/exec/{id}/json", 200),
        ("GET", "/images/json", 200),
        ("GET", "/images/{name}/json", 200),
    ],
)
def test_an_answer_is_as_described(
    engine: Engine, description: Description, names: Names, method: str, path: str, status: int
) -> None:
    identity = names.exec if path.startswith("/exec") else names.running
    query = "?all=1" if path == "/containers/json" else ""
    answer = engine.ask(method, "/v1.51" + path.format(id=identity, name=names.image) + query)
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert description.errors(method, path, status, answer.json.value) == []


def test_an_ended_container_is_as_described(engine: Engine, description: Description, names: Names) -> None:
    shown = engine.inspect(names.ended)
    assert description.errors("GET", "/containers/{id}/json", 200, shown.value) == []
    waited = engine.ask("POST", f"/containers/{names.ended}/wait")
    assert description.errors("POST", "/containers/{id}/wait", 200, waited.json.value) == []
    assert waited.json["StatusCode"].number == 3


def test_what_create_answers_is_as_described(engine: Engine, description: Description) -> None:
    answer = engine.ask("POST", "/v1.51/containers/create?name=made", {"Image": "busybox", "Cmd": ["true"]})
    assert answer.status == 201
    assert description.errors("POST", "/containers/create", 201, answer.json.value) == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("GET", "/containers/{id}/json", None, 404, "No such container: absent"),
        ("POST", "/containers/{id}/start", None, 404, "No such container: absent"),
        ("DELETE", "/containers/{id}", None, 404, "No such container: absent"),
        ("GET", "/images/{name}/json", None, 404, "No such image: absent:latest"),
        ("POST", "/containers/create", {"Image": "absent"}, 404, "No such image: absent:latest"),
        ("POST", "/containers/create", {"Image": "busybox", "Cmd": 7}, 400, ""),
        ("GET", "/exec/{id}/json", None, 404, "No such exec instance"),
    ],
)
def test_an_error_is_as_described(
    engine: Engine, description: Description, method: str, path: str, body: object, status: int, says: str
) -> None:
    answer = engine.ask(method, "/v1.51" + path.format(id="absent", name="absent"), body)
    assert answer.status == status, answer.body
    assert says in answer.message
    assert description.errors(method, path, status, answer.json.value) == []


@pytest.mark.parametrize("version", ["v1.24", "v1.41", "v1.44", "v1.51", ""])
def test_every_version_prefix_is_served(engine: Engine, version: str) -> None:
    prefix = f"/{version}" if version else ""
    answer = engine.ask("GET", f"{prefix}/_ping")
    assert (answer.status, answer.body) == (200, b"OK")
    assert answer.headers["ostype"] == "linux"
    assert float(answer.headers["api-version"]) >= 1.41


def test_a_newer_version_than_ours_is_refused(engine: Engine) -> None:
    answer = engine.ask("GET", "/v1.999/info")
    assert answer.status == 400
    assert "client version 1.999 is too new" in answer.message


def test_an_unknown_path_is_not_found(engine: Engine) -> None:
    answer = engine.ask("GET", "/v1.41/no/such/thing")
    assert (answer.status, answer.message) == (404, "page not found")


def test_a_body_that_is_no_json_is_refused(engine: Engine) -> None:
    answer = engine.ask("POST", "/v1.41/containers/create", b"{not json")
    assert answer.status == 400
    assert answer.message
