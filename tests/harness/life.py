"""Containers made and watched through the API, for the tests of their life."""

import json
import time
from urllib.parse import quote

from tests.harness.engine import Daemon, wait_until
from tests.harness.http import Json


def create(daemon: Daemon, *command: str, name: str = "", host_config: object = None, **config: object) -> str:
    """Makes a container of busybox; its id."""
    body = {"Image": "busybox", "Cmd": list(command), "HostConfig": host_config or {}, **config}
    answer = daemon.ask("POST", f"/containers/create?name={name}", body)
    assert answer.status == 201, answer.body
    return answer.json["Id"].text


def run(daemon: Daemon, *command: str, name: str = "", host_config: object = None, **config: object) -> str:
    """Makes and starts a container of busybox; its id."""
    container = create(daemon, *command, name=name, host_config=host_config, **config)
    post(daemon, container, "start")
    return container


def post(daemon: Daemon, container: str, action: str, status: int = 204) -> None:
    """Asks for something to be done to a container, and looks at the answer's status."""
    answer = daemon.ask("POST", f"/containers/{container}/{action}")
    assert answer.status == status, answer.body


def refused(daemon: Daemon, method: str, path: str, body: object = None) -> tuple[int, str]:
    """The status and the message of a request that fails."""
    answer = daemon.ask(method, path, body)
    assert answer.status >= 400, answer.body
    return answer.status, answer.message


def state(daemon: Daemon, container: str) -> Json:
    """The State of a container."""
    return daemon.inspect(container)["State"]


def status(daemon: Daemon, container: str) -> str:
    """The state of a container, by its name."""
    return state(daemon, container)["Status"].text


def wait_for_status(daemon: Daemon, container: str, wanted: str, seconds: float = 10) -> None:
    """Waits until a container has a state."""
    wait_until(lambda: status(daemon, container) == wanted, seconds, lambda: f"{status(daemon, container)}: {wanted}")


def restarts(daemon: Daemon, container: str) -> int:
    """How often a container was started again by its policy."""
    return daemon.inspect(container)["RestartCount"].number


def events(daemon: Daemon, **filters: list[str]) -> list[Json]:
    """What happened until now, as far as the filters let it through."""
    query = f"since=0&until={time.time():.6f}&filters={quote(json.dumps(filters))}"
    return [Json(json.loads(line)) for line in daemon.ask("GET", f"/events?{query}").body.splitlines()]


def actions(daemon: Daemon, container: str) -> list[str]:
    """What happened to a container, without its execs."""
    found = [event["Action"].text for event in events(daemon, container=[container])]
    return [action for action in found if not action.startswith("exec_")]


def logs(daemon: Daemon, container: str) -> list[str]:
    """The lines that a container wrote to its standard output."""
    return daemon.docker_output("logs", container).splitlines()
