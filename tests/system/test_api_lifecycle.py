"""What the API promises about a container's life: order, waiting, names, events, removal."""

import json
import socket
import threading
import time
from collections import Counter
from urllib.parse import quote

import pytest

from tests.harness.engine import Daemon, wait_until
from tests.harness.http import Json, UnixConnection


def _create(daemon: Daemon, *command: str, name: str = "", host_config: object = None, **config: object) -> str:
    body = {"Image": "busybox", "Cmd": list(command), "HostConfig": host_config or {}, **config}
    answer = daemon.ask("POST", f"/containers/create?name={name}", body)
    assert answer.status == 201, answer.body
    return answer.json["Id"].text


def _start(daemon: Daemon, container: str) -> None:
    answer = daemon.ask("POST", f"/containers/{container}/start")
    assert answer.status == 204, answer.body


def _events(daemon: Daemon, **filters: list[str]) -> list[Json]:
    query = f"since=0&until={time.time():.6f}&filters={quote(json.dumps(filters))}"
    return [Json(json.loads(line)) for line in daemon.ask("GET", f"/events?{query}").body.splitlines()]


class Wait:
    """A wait whose head has come; `code` gives the answer."""

    def __init__(self, daemon: Daemon, container: str, condition: str) -> None:
        self._connection = UnixConnection(daemon.socket, 20)
        self._connection.request("POST", f"/containers/{container}/wait?condition={condition}")
        self._answer = self._connection.getresponse()  # it is there before anything has happened
        assert self._answer.status == 200

    def code(self) -> int:
        body = self._answer.read()
        self._connection.close()
        return Json(json.loads(body))["StatusCode"].number


def test_each_condition_is_waited_for(caisd: Daemon) -> None:
    container = _create(caisd, "sh", "-c", "sleep 0.3; exit 3", host_config={"AutoRemove": True})
    removed, next_exit = Wait(caisd, container, "removed"), Wait(caisd, container, "next-exit")
    assert Wait(caisd, container, "not-running").code() == 0  # it does not run yet
    _start(caisd, container)
    running = Wait(caisd, container, "not-running")
    assert [next_exit.code(), running.code(), removed.code()] == [3, 3, 3]
    assert caisd.ask("GET", f"/containers/{container}/json").status == 404


def test_an_unknown_condition_is_refused(caisd: Daemon) -> None:
    container = _create(caisd, "true")
    answer = caisd.ask("POST", f"/containers/{container}/wait?condition=tired")
    assert (answer.status, answer.message) == (400, 'invalid condition: "tired"')


def test_a_client_that_gives_up_waiting_is_forgotten(caisd: Daemon) -> None:
    container = _create(caisd, "sleep", "100")
    _start(caisd, container)
    for _ in range(10):
        wait = Wait(caisd, container, "next-exit")
        wait._connection.close()
        wait._answer.close()
    caisd.docker_output("rm", "-f", container)
    assert "Traceback" not in caisd.log_text()


def test_a_container_starts_stops_and_says_so_once(caisd: Daemon) -> None:
    container = _create(caisd, "sleep", "100")
    assert caisd.ask("POST", f"/containers/{container}/stop").status == 304
    _start(caisd, container)
    assert caisd.ask("POST", f"/containers/{container}/start").status == 304
    assert caisd.ask("POST", f"/containers/{container}/stop?t=0").status == 204
    assert caisd.ask("POST", f"/containers/{container}/stop").status == 304
    answer = caisd.ask("POST", f"/containers/{container}/kill")
    assert (answer.status, answer.message) == (
        409, f"cannot kill container: {container}: container {container} is not running",
    )  # fmt: skip


def test_stop_waits_for_the_time_it_is_given(caisd: Daemon) -> None:
    container = _create(caisd, "sh", "-c", "trap 'sleep 0.5; exit 4' TERM; echo up; while :; do sleep 0.05; done")
    _start(caisd, container)
    wait_until(lambda: b"up" in caisd.ask("GET", f"/containers/{container}/logs?stdout=1").body)
    assert caisd.ask("POST", f"/containers/{container}/stop?t=-1").status == 204
    assert caisd.inspect(container)["State"]["ExitCode"].number == 4


def test_the_stop_signal_and_time_of_the_container_count(caisd: Daemon) -> None:
    command = "trap 'exit 5' USR1; trap '' TERM; echo up; while :; do sleep 0.05; done"
    container = _create(caisd, "sh", "-c", command, StopSignal="SIGUSR1", StopTimeout=20)
    _start(caisd, container)
    wait_until(lambda: b"up" in caisd.ask("GET", f"/containers/{container}/logs?stdout=1").body)
    assert caisd.ask("POST", f"/containers/{container}/stop").status == 204
    assert caisd.inspect(container)["State"]["ExitCode"].number == 5


def test_a_restart_does_not_remove(caisd: Daemon) -> None:
    container = _create(caisd, "sleep", "100", host_config={"AutoRemove": True})
    _start(caisd, container)
    pid = caisd.container_pid(container)
    assert caisd.ask("POST", f"/containers/{container}/restart?t=0").status == 204
    assert caisd.container_pid(container) != pid
    assert caisd.ask("POST", f"/containers/{container}/stop?t=0").status == 204
    wait_until(lambda: caisd.ask("GET", f"/containers/{container}/json").status == 404)


@pytest.mark.parametrize(("command", "code"), [("no-such", 127), ("/etc/passwd", 126)])
def test_a_failed_start_is_remembered(caisd: Daemon, command: str, code: int) -> None:
    container = _create(caisd, command)
    answer = caisd.ask("POST", f"/containers/{container}/start")
    assert answer.status == 400
    assert answer.message.startswith(f'failed to create task for container: exec: "{command}": ')
    state = caisd.inspect(container)["State"]
    assert (state["Status"].text, state["ExitCode"].number, state["Error"].text) == ("created", code, answer.message)


def test_a_failed_start_of_one_that_is_to_be_removed_removes_it(caisd: Daemon) -> None:
    container = _create(caisd, "no-such", host_config={"AutoRemove": True})
    wait = Wait(caisd, container, "removed")
    assert caisd.ask("POST", f"/containers/{container}/start").status == 400
    assert wait.code() == 127
    assert caisd.ask("GET", f"/containers/{container}/json").status == 404


def test_an_end_is_known_at_once_to_who_asks(caisd: Daemon) -> None:
    for _ in range(10):
        container = _create(caisd, "sh", "-c", "exit 9")
        wait = Wait(caisd, container, "next-exit")
        _start(caisd, container)
        assert wait.code() == 9
        state = caisd.inspect(container)["State"]
        assert (state["Status"].text, state["ExitCode"].number) == ("exited", 9)


def test_what_happened_is_told_in_order(caisd: Daemon) -> None:
    container = _create(caisd, "sleep", "100", name="told", Labels={"tier": "back"})
    _start(caisd, container)
    caisd.ask("POST", f"/containers/{container}/kill?signal=KILL")
    caisd.ask("DELETE", f"/containers/{container}")
    told = _events(caisd, container=[container], type=["container"])
    assert [event["Action"].text for event in told] == ["create", "start", "kill", "die", "destroy"]
    attributes = told[3]["Actor"]["Attributes"]
    assert (attributes["name"].text, attributes["image"].text, attributes["tier"].text) == ("told", "busybox", "back")
    assert attributes["exitCode"].text == "137"
    assert told[2]["Actor"]["Attributes"]["signal"].text == "9"
    times = [event["timeNano"].number for event in told]
    assert times == sorted(times)


def test_events_come_while_one_listens(caisd: Daemon) -> None:
    connection = UnixConnection(caisd.socket, 20)
    connection.request("GET", "/events?filters=" + quote('{"event":["create"]}'))
    answer = connection.getresponse()
    container = _create(caisd, "true")
    assert json.loads(answer.readline())["id"] == container
    connection.close()
    answer.close()


def test_an_unknown_filter_is_refused(caisd: Daemon) -> None:
    answer = caisd.ask("GET", "/events?since=10&until=1")
    assert (answer.status, answer.message) == (400, "`since` time (10) cannot be after `until` time (1)")
    for path in ("/events", "/containers/json"):
        answer = caisd.ask("GET", f"{path}?filters=" + quote('{"colour":["red"]}'))
        assert (answer.status, answer.message) == (400, "invalid filter 'colour'")


def test_a_name_belongs_to_one_container(caisd: Daemon) -> None:
    holder = _create(caisd, "true", name="taken")
    answer = caisd.ask("POST", "/containers/create?name=taken", {"Image": "busybox"})
    assert answer.status == 409
    assert answer.message == (
        f'Conflict. The container name "/taken" is already in use by container "{holder}". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )
    assert caisd.ask("DELETE", "/containers/taken").status == 204
    _create(caisd, "true", name="taken")


def test_fifty_clients_create_and_remove_one_name(caisd: Daemon) -> None:
    answers: Counter[int] = Counter()
    lock = threading.Lock()

    def work() -> None:
        for _ in range(4):
            made = caisd.ask("POST", "/containers/create?name=one", {"Image": "busybox", "Cmd": ["true"]})
            gone = caisd.ask("DELETE", "/containers/one?force=1")
            with lock:
                answers.update([made.status, gone.status])

    workers = [threading.Thread(target=work) for _ in range(50)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert set(answers) <= {201, 204, 404, 409}
    assert sum(answers.values()) == 400
    assert answers[201] == answers[204] + len(caisd.containers())


def test_ids_may_be_cut_short_unless_several_begin_so(caisd: Daemon) -> None:
    made = [_create(caisd, "true") for _ in range(17)]
    by_first: dict[str, list[str]] = {}
    for identity in made:
        by_first.setdefault(identity[0], []).append(identity)
    several = next(first for first, found in by_first.items() if len(found) > 1)
    answer = caisd.ask("GET", f"/containers/{several}/json")
    assert (answer.status, answer.message) == (400, f"multiple IDs found with provided prefix: {several}")
    assert caisd.inspect(made[0][:20])["Id"].text == made[0]


def test_removing_what_runs_needs_force(caisd: Daemon) -> None:
    container = _create(caisd, "sleep", "100")
    _start(caisd, container)
    answer = caisd.ask("DELETE", f"/containers/{container}")
    assert answer.status == 409
    assert answer.message == (
        f'cannot remove container "{container}": container is running: '
        "stop the container before removing or force remove"
    )
    assert caisd.ask("DELETE", f"/containers/{container}?force=1").status == 204
    assert caisd.ask("DELETE", f"/containers/{container}?force=1").status == 404


def test_nothing_of_a_removed_container_stays_on_disk(caisd: Daemon) -> None:
    container = _create(caisd, "sh", "-c", "mkdir /x; dd if=/dev/zero of=/x/y bs=1M count=3")
    _start(caisd, container)
    assert caisd.docker_output("wait", container) == "0"
    assert (caisd.data_root / "containers" / container / "rw/diff/x/y").stat().st_size == 3 << 20
    caisd.docker_output("rm", container)
    assert not (caisd.data_root / "containers" / container).exists()
    wait_until(lambda: not list((caisd.data_root / "tmp").glob("removed-*")))
    wait_until(lambda: not (caisd.exec_root / "containers" / container).exists())


def test_an_option_of_later_is_refused_by_name(caisd: Daemon) -> None:
    body = {"Image": "busybox", "HostConfig": {"UsernsMode": "x"}}
    answer = caisd.ask("POST", "/containers/create", body)
    assert (answer.status, answer.message) == (
        501, 'the user namespace "x" (HostConfig.UsernsMode) is not supported yet by Cais',
    )  # fmt: skip
    assert caisd.containers() == []


def test_an_endpoint_of_later_is_refused_by_name(caisd: Daemon) -> None:
    answer = caisd.ask("POST", "/v1.51/session")
    assert answer.status == 501
    assert "not supported yet by Cais" in answer.message


def test_sizes_are_counted_when_asked_for(caisd: Daemon) -> None:
    container = _create(caisd, "dd", "if=/dev/zero", "of=/file", "bs=1k", "count=100")
    _start(caisd, container)
    assert caisd.docker_output("wait", container) == "0"
    shown = caisd.ask("GET", f"/containers/{container}/json?size=1").json
    assert shown["SizeRw"].number == 100 * 1024
    assert shown["SizeRootFs"].number > 1 << 20
    assert "SizeRw" not in caisd.inspect(container)


def test_many_requests_on_one_connection(caisd: Daemon) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(caisd.socket)
        client.settimeout(20)
        client.sendall(b"GET /v1.51/_ping HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        received = b""
        while received.count(b"\r\n\r\nOK") < 50:
            received += client.recv(65536)


def test_an_exec_can_be_killed(caisd: Daemon) -> None:
    """Docker has no such request; without it nobody could end a command that takes too long."""
    container = _create(caisd, "sleep", "100")
    _start(caisd, container)
    answer = caisd.ask("POST", f"/containers/{container}/exec", {"Cmd": ["sleep", "100"]})
    path = f"/exec/{answer.json['Id'].text}"
    assert caisd.ask("POST", f"/cais{path}/kill").status == 409
    assert caisd.ask("POST", f"{path}/start", {"Detach": True}).status == 200
    assert caisd.ask("POST", f"/cais{path}/kill?signal=SIGNOPE").status == 400
    assert caisd.ask("POST", f"/cais{path}/kill?signal=SIGTERM").status == 204
    wait_until(lambda: not caisd.ask("GET", f"{path}/json").json["Running"].flag)
    assert caisd.ask("GET", f"{path}/json").json["ExitCode"].number == 143
    assert caisd.ask("POST", f"/cais{path}/kill").status == 409
    assert caisd.ask("POST", "/cais/exec/absent/kill").status == 404
    assert caisd.inspect(container)["State"]["Running"].flag


def test_what_is_removed_at_its_end_can_be_asked_for_a_moment_longer(caisd: Daemon) -> None:
    body = {"Image": "busybox", "Cmd": ["sh", "-c", "echo hello; exit 3"], "HostConfig": {"AutoRemove": True}}
    container = caisd.ask("POST", "/containers/create?name=lingering", body).json["Id"].text
    assert caisd.ask("POST", f"/containers/{container}/start").status == 204
    assert caisd.ask("POST", f"/containers/{container}/wait").json["StatusCode"].number == 3
    assert b"hello" in caisd.ask("GET", f"/containers/{container}/logs?stdout=1&follow=1").body
    assert caisd.ask("POST", f"/containers/{container}/wait").json["StatusCode"].number == 3
    again = caisd.ask("POST", "/containers/create?name=lingering", body)  # its name can be had at once
    assert again.status == 201
    assert caisd.ask("GET", f"/containers/{container}/json").status == 404
    container = again.json["Id"].text
    assert caisd.ask("POST", f"/containers/{container}/start").status == 204
    wait_until(lambda: caisd.ask("GET", f"/containers/{container}/json").status == 404)


def test_who_waits_for_a_removal_does_not_wait_longer(caisd: Daemon) -> None:
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"AutoRemove": True}}
    container = caisd.ask("POST", "/containers/create", body).json["Id"].text
    assert caisd.ask("POST", f"/containers/{container}/start").status == 204
    assert caisd.ask("POST", f"/containers/{container}/wait?condition=next-exit").status in {200, 404}
    began = time.monotonic()
    assert caisd.ask("POST", f"/containers/{container}/wait?condition=removed").status in {200, 404}
    assert time.monotonic() - began < 0.25
    assert caisd.ask("GET", f"/containers/{container}/json").status == 404
