"""The API's answers, against Docker's own description of them."""

import json
import time
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
        ("GET", "/containers/{id}/changes", 200),
        ("GET", "/containers/{id}/stats", 200),
        ("POST", "/containers/{id}/update", 200),
        ("POST", "/containers/prune", 200),
        ("GET", "/exec/{id}/json", 200),
        ("GET", "/system/df", 200),
        ("GET", "/images/json", 200),
        ("GET", "/images/{name}/json", 200),
    ],
)
def test_an_answer_is_as_described(
    engine: Engine, description: Description, names: Names, method: str, path: str, status: int
) -> None:
    identity = names.exec if path.startswith("/exec") else names.running
    query = {"/containers/json": "?all=1&size=1", "/containers/{id}/stats": "?stream=0"}.get(path, "")
    body = {"Memory": 64 << 20} if path.endswith("/update") else None
    answer = engine.ask(method, "/v1.51" + path.format(id=identity, name=names.image) + query, body)
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert description.errors(method, path, status, answer.json.value) == []


def test_an_ended_container_is_as_described(engine: Engine, description: Description, names: Names) -> None:
    shown = engine.inspect(names.ended)
    assert description.errors("GET", "/containers/{id}/json", 200, shown.value) == []
    waited = engine.ask("POST", f"/containers/{names.ended}/wait")
    assert description.errors("POST", "/containers/{id}/wait", 200, waited.json.value) == []
    assert waited.json["StatusCode"].number == 3


def test_networks_are_as_described(engine: Engine, description: Description, names: Names) -> None:
    config = {"Subnet": "10.217.0.0/24", "AuxiliaryAddresses": {"router": "10.217.0.9"}}
    body = {"Name": "described", "IPAM": {"Config": [config]}, "Labels": {"a": "b"}, "Options": {}}
    made = engine.ask("POST", "/v1.51/networks/create", body)
    assert made.status == 201, made.body
    assert description.errors("POST", "/networks/create", 201, made.json.value) == []
    connect = {"Container": names.running, "EndpointConfig": {"Aliases": ["x"]}}
    assert engine.ask("POST", "/v1.51/networks/described/connect", connect).status == 200
    shown = engine.ask("GET", "/v1.51/networks/described").json
    assert description.errors("GET", "/networks/{id}", 200, shown.value) == []
    assert names.running in shown["Containers"]
    listed = engine.ask("GET", "/v1.51/networks").json
    assert description.errors("GET", "/networks", 200, listed.value) == []
    inspected = engine.inspect(names.running)
    assert description.errors("GET", "/containers/{id}/json", 200, inspected.value) == []
    assert engine.ask("POST", "/v1.51/networks/described/disconnect", connect).status == 200
    pruned = engine.ask("POST", "/v1.51/networks/prune").json
    assert description.errors("POST", "/networks/prune", 200, pruned.value) == []


def test_events_are_as_described(engine: Engine, description: Description, names: Names) -> None:
    answer = engine.ask("GET", f"/v1.51/events?since=0&until={time.time():.6f}")
    lines = answer.body.splitlines()
    assert {json.loads(line)["Action"].partition(":")[0] for line in lines} >= {"create", "start", "die", "exec_start"}
    for line in lines:
        event = json.loads(line)
        for old in ("status", "id", "from"):  # sent to every version below 1.52, but described no more
            event.pop(old, None)
        assert description.errors("GET", "/events", 200, event) == []


def test_what_makes_an_exec_answers_is_as_described(engine: Engine, description: Description, names: Names) -> None:
    answer = engine.ask("POST", f"/v1.51/containers/{names.running}/exec", {"Cmd": ["true"]})
    assert answer.status == 201
    assert description.errors("POST", "/containers/{id}/exec", 201, answer.json.value) == []


@pytest.mark.parametrize(
    ("method", "path", "which", "status"),
    [
        ("POST", "/containers/{id}/kill", "ended", 409),
        ("POST", "/containers/{id}/rename?name=live", "ended", 409),
        ("POST", "/containers/{id}/exec", "ended", 409),
        ("GET", "/containers/{id}/top?ps_args=aux", "none", 404),
        ("GET", "/containers/{id}/logs?stdout=1", "none", 404),
        ("GET", "/containers/{id}/changes", "none", 404),
        ("GET", "/containers/{id}/export", "none", 404),
        ("GET", "/containers/{id}/stats", "none", 404),
        ("POST", "/containers/{id}/resize?h=1&w=1", "none", 404),
        ("POST", "/containers/{id}/stop", "none", 404),
        ("POST", "/containers/{id}/restart", "none", 404),
        ("POST", "/containers/{id}/kill", "none", 404),
        ("POST", "/containers/{id}/rename?name=x", "none", 404),
        ("POST", "/containers/{id}/pause", "none", 404),
        ("POST", "/containers/{id}/unpause", "none", 404),
        ("POST", "/containers/{id}/attach", "none", 404),
        ("GET", "/containers/{id}/attach/ws", "none", 404),
        ("POST", "/containers/{id}/attach?detachKeys=xyz", "running", 400),
        ("POST", "/containers/{id}/wait", "none", 404),
        ("POST", "/containers/{id}/wait?condition=soon", "running", 400),
        ("POST", "/containers/{id}/exec", "none", 404),
        ("POST", "/exec/{id}/start", "none", 404),
        ("POST", "/exec/{id}/resize?h=1&w=1", "none", 404),
        ("DELETE", "/containers/{id}", "running", 409),
        ("GET", "/events?since=x", "none", 400),
        ("GET", "/containers/json?filters={", "none", 400),
    ],
)
def test_every_error_status_is_as_described(
    engine: Engine, description: Description, names: Names, method: str, path: str, which: str, status: int
) -> None:
    identity = {"running": names.running, "ended": names.ended, "none": "absent"}[which]
    body = {"Cmd": ["true"]} if path.endswith("/exec") else {} if path.endswith("/start") else None
    answer = engine.ask(method, "/v1.51" + path.replace("{id}", identity), body)
    assert answer.status == status, answer.body
    assert answer.message
    assert description.errors(method, path.partition("?")[0], status, answer.json.value) == []


@pytest.mark.parametrize(("action", "which"), [("start", "running"), ("stop", "ended")])
def test_what_is_so_already_is_not_modified(engine: Engine, names: Names, action: str, which: str) -> None:
    answer = engine.ask("POST", f"/containers/{getattr(names, which)}/{action}")
    assert (answer.status, answer.body) == (304, b"")


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
