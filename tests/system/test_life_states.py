"""Pausing, renaming, updating and restarting: what each state lets through, and what it refuses."""

import pytest

from tests.harness.engine import Daemon, wait_until
from tests.harness.life import actions, create, events, post, refused, run, state, status

TRAPPING = ("sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done")


def test_a_paused_container_stands_still_and_goes_on(caisd: Daemon) -> None:
    container = run(caisd, "sh", "-c", "while :; do echo x >> /n; sleep 0.02; done")
    post(caisd, container, "pause")
    shown = state(caisd, container)
    assert (shown["Status"].text, shown["Paused"].flag, shown["Running"].flag) == ("paused", True, True)
    assert "(Paused)" in caisd.docker_output("ps", "--format", "{{.Status}}")
    assert caisd.docker_output("ps", "-q", "--filter", "status=paused") == container[:12]
    assert caisd.ask("GET", "/info").json["ContainersPaused"].number == 1
    post(caisd, container, "unpause")
    assert status(caisd, container) == "running"
    before = caisd.docker_output("exec", container, "wc", "-l", "/n")
    wait_until(lambda: caisd.docker_output("exec", container, "wc", "-l", "/n") != before)
    assert actions(caisd, container) == ["create", "start", "pause", "unpause"]


def test_what_a_paused_container_refuses(caisd: Daemon) -> None:
    container = run(caisd, "sleep", "100", name="still")
    made = caisd.ask("POST", f"/containers/{container}/exec", {"Cmd": ["true"]}).json["Id"].text
    post(caisd, container, "pause")
    paused = "Container still is paused, unpause the container before exec"
    assert refused(caisd, "POST", "/containers/still/exec", {"Cmd": ["true"]}) == (409, paused)
    assert refused(caisd, "POST", f"/exec/{made}/start", {"Detach": True})[0] == 409
    attach = "container still is paused, unpause the container before attach"
    assert refused(caisd, "POST", "/containers/still/attach?stream=1&stdout=1") == (409, attach)
    start = "cannot start a paused container, try unpause instead"
    assert refused(caisd, "POST", "/containers/still/start") == (409, start)
    assert refused(caisd, "POST", "/containers/still/pause") == (409, f"container {container} is already paused")
    assert refused(caisd, "DELETE", "/containers/still") == (
        409,
        'cannot remove container "still": container is paused: '
        "unpause and then stop the container before removing or force remove",
    )
    post(caisd, container, "unpause")
    assert refused(caisd, "POST", "/containers/still/unpause") == (500, f"Container {container} is not paused")


def test_a_container_that_does_not_run_cannot_be_paused(caisd: Daemon) -> None:
    container = create(caisd, "true")
    for action in "pause", "unpause":
        assert refused(caisd, "POST", f"/containers/{container}/{action}") == (
            409,
            f"container {container} is not running",
        )


@pytest.mark.parametrize(("action", "exit_code"), [("stop", 3), ("kill", 137), ("kill?signal=TERM", 3)])
def test_a_paused_container_can_be_ended(caisd: Daemon, action: str, exit_code: int) -> None:
    container = run(caisd, "sh", "-c", f"echo up; {TRAPPING[2]}")
    wait_until(lambda: caisd.docker_output("logs", container) == "up")
    post(caisd, container, "pause")
    post(caisd, container, action)
    assert caisd.docker_output("wait", container) == str(exit_code)


def test_a_paused_container_can_be_removed_by_force(caisd: Daemon) -> None:
    container = run(caisd, "sleep", "100")
    post(caisd, container, "pause")
    assert caisd.ask("DELETE", f"/containers/{container}?force=1").status == 204


def test_a_pause_outlives_the_engine(private_caisd: Daemon) -> None:
    container = run(private_caisd, "sleep", "100")
    post(private_caisd, container, "pause")
    private_caisd.kill()
    private_caisd.start()
    assert status(private_caisd, container) == "paused"
    post(private_caisd, container, "unpause")
    assert private_caisd.docker_output("exec", container, "echo", "well") == "well"


def test_a_container_is_renamed(caisd: Daemon) -> None:
    container = create(caisd, "true", name="old-name")
    create(caisd, "true", name="taken")
    post(caisd, container, "rename?name=new-name")
    assert caisd.inspect("new-name")["Name"].text == "/new-name"
    assert caisd.ask("GET", "/containers/old-name/json").status == 404
    create(caisd, "true", name="old-name")
    told = events(caisd, event=["rename"], container=[container])[0]["Actor"]["Attributes"]
    assert (told["oldName"].text, told["name"].text) == ("/old-name", "new-name")


def test_a_name_that_cannot_be_given(caisd: Daemon) -> None:
    container = create(caisd, "true", name="one")
    other = create(caisd, "true", name="two")
    where = f"/containers/{container}/rename"
    assert refused(caisd, "POST", f"{where}?name=") == (400, "Neither old nor new names may be empty")
    same = "Renaming a container with the same name as its current name"
    assert refused(caisd, "POST", f"{where}?name=one") == (400, same)
    assert refused(caisd, "POST", f"{where}?name=-x")[0] == 400
    code, message = refused(caisd, "POST", f"{where}?name=two")
    assert code == 409
    assert f'The container name "/two" is already in use by container "{other}"' in message
    assert caisd.inspect(container)["Name"].text == "/one"


def test_a_new_name_outlives_the_engine(private_caisd: Daemon) -> None:
    container = create(private_caisd, "true", name="before")
    post(private_caisd, container, "rename?name=after")
    private_caisd.kill()
    private_caisd.start()
    assert private_caisd.inspect("after")["Id"].text == container


def test_limits_change_while_a_container_runs(caisd: Daemon) -> None:
    container = run(caisd, "sleep", "100", host_config={"Memory": 64 << 20, "PidsLimit": 50})
    done = caisd.ask(
        "POST",
        f"/containers/{container}/update",
        {"Memory": 128 << 20, "MemorySwap": 256 << 20, "CpuShares": 512, "PidsLimit": 20, "CpuQuota": 50000},
    )
    assert done.status == 200, done.body
    assert caisd.docker_output("exec", container, "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes") == str(
        128 << 20
    )
    assert caisd.docker_output("exec", container, "cat", "/sys/fs/cgroup/pids/pids.max") == "20"
    assert caisd.docker_output("exec", container, "cat", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us") == "50000"
    shown = caisd.inspect(container)["HostConfig"]
    assert (shown["Memory"].number, shown["CpuShares"].number, shown["PidsLimit"].number) == (128 << 20, 512, 20)
    assert actions(caisd, container)[-1] == "update"


def test_updates_that_are_refused_change_nothing(caisd: Daemon) -> None:
    container = run(caisd, "sleep", "100", host_config={"Memory": 64 << 20, "NanoCpus": 500_000_000})
    where = f"/containers/{container}/update"
    prefix = f"Cannot update container {container}: "
    assert refused(caisd, "POST", where, {"Memory": 1024}) == (400, "Minimum memory limit allowed is 6MB")
    assert refused(caisd, "POST", where, {"Memory": 256 << 20}) == (
        409,
        f"{prefix}Memory limit should be smaller than already set memoryswap limit, "
        "update the memoryswap at the same time",
    )
    assert refused(caisd, "POST", where, {"CpuQuota": 50000}) == (
        409,
        f"{prefix}Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set",
    )
    assert refused(caisd, "POST", where, {"RestartPolicy": {"Name": "sometimes"}})[0] == 400
    assert caisd.inspect(container)["HostConfig"]["Memory"].number == 64 << 20


def test_a_container_that_does_not_run_is_updated_for_its_next_start(caisd: Daemon) -> None:
    container = create(caisd, "cat", "/sys/fs/cgroup/pids/pids.max")
    assert caisd.ask("POST", f"/containers/{container}/update", {"PidsLimit": 33}).status == 200
    assert caisd.docker_output("start", "-a", container) == "33"


def test_a_limit_of_processes_is_taken_back_by_zero_or_less(caisd: Daemon) -> None:
    container = run(caisd, "sleep", "100", host_config={"PidsLimit": 32})
    for wanted, shown, in_force in ((16, 16, "16"), (0, 0, "max"), (8, 8, "8"), (-1, 0, "max"), (None, 0, "max")):
        assert caisd.ask("POST", f"/containers/{container}/update", {"PidsLimit": wanted}).status == 200
        assert caisd.inspect(container)["HostConfig"]["PidsLimit"].number == shown
        assert caisd.docker_output("exec", container, "cat", "/sys/fs/cgroup/pids/pids.max") == in_force


def test_annotations_are_in_the_list(caisd: Daemon) -> None:
    container = create(caisd, "true", host_config={"Annotations": {"hello": "world"}})
    (listed,) = caisd.ask("GET", f'/containers/json?all=1&filters={{"id":["{container}"]}}').json.items
    assert listed["HostConfig"]["Annotations"].value == {"hello": "world"}


def test_a_container_is_restarted(caisd: Daemon) -> None:
    container = run(caisd, "sh", "-c", f"echo up; {TRAPPING[2]}", host_config={"AutoRemove": True})
    first = caisd.container_pid(container)
    wait_until(lambda: caisd.docker_output("logs", container) == "up")
    post(caisd, container, "restart")
    assert caisd.container_pid(container) != first
    assert actions(caisd, container) == ["create", "start", "kill", "die", "stop", "start", "restart"]


def test_a_start_takes_no_configuration_any_more(caisd: Daemon) -> None:
    container = create(caisd, "true")
    where = f"/containers/{container}/start"
    assert refused(caisd, "POST", where, {"Binds": ["/tmp:/x"]}) == (
        400,
        "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24",
    )
    assert caisd.ask("POST", where, {}).status == 204


def test_the_name_of_a_container_is_no_link(caisd: Daemon) -> None:
    container = create(caisd, "true", name="linked")
    assert refused(caisd, "DELETE", "/containers/linked?link=1") == (
        409,
        "Conflict, cannot remove the default link name of the container",
    )
    assert caisd.inspect(container)["Name"].text == "/linked"


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/nodes", 503, "This node is not a swarm manager."),
        ("GET", "/services", 503, "This node is not a swarm manager."),
        ("POST", "/services/create", 503, "This node is not a swarm manager."),
        ("GET", "/secrets/x", 503, "This node is not a swarm manager."),
        ("GET", "/swarm", 503, "This node is not a swarm manager."),
        ("POST", "/swarm/leave", 503, "This node is not part of a swarm"),
        ("POST", "/swarm/init", 501, "swarm is not supported by Cais (POST /swarm/init)"),
        ("GET", "/plugins/a/b:latest/json", 404, 'plugin "a/b:latest" not found'),
        ("DELETE", "/plugins/a/b", 404, 'plugin "a/b" not found'),
        ("POST", "/plugins/pull", 501, "plugins are not supported by Cais (POST /plugins/pull)"),
    ],
)
def test_there_is_neither_swarm_nor_plugin(caisd: Daemon, method: str, path: str, status: int, message: str) -> None:
    code, told = refused(caisd, method, path)
    assert code == status
    assert told.startswith(message)


def test_the_list_of_plugins_is_empty(caisd: Daemon) -> None:
    assert caisd.ask("GET", "/plugins").json.value == []
    assert caisd.docker_output("plugin", "ls", "-q") == ""
