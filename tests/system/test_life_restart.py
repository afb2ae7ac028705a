"""Restart policies: which ends are followed by a start, after how long, and what a user's stop means."""

import itertools
import os
import time

import pytest

from tests.harness.engine import Daemon, wait_until
from tests.harness.life import (
    actions,
    create,
    events,
    logs,
    post,
    refused,
    restarts,
    run,
    state,
    status,
    wait_for_status,
)


def _policy(name: str, most: int = 0) -> dict[str, object]:
    return {"RestartPolicy": {"Name": name, "MaximumRetryCount": most}}


def test_on_failure_gives_up_after_its_number(caisd: Daemon) -> None:
    container = run(caisd, "sh", "-c", "echo try; exit 3", host_config=_policy("on-failure", 2))
    wait_until(lambda: (status(caisd, container), restarts(caisd, container)) == ("exited", 2))
    assert state(caisd, container)["ExitCode"].number == 3
    assert logs(caisd, container) == ["try"] * 3
    assert actions(caisd, container).count("die") == 3


def test_on_failure_does_not_mind_success(caisd: Daemon) -> None:
    container = run(caisd, "true", host_config=_policy("on-failure"))
    wait_for_status(caisd, container, "exited")
    time.sleep(0.3)
    assert restarts(caisd, container) == 0


def test_waits_double(caisd: Daemon) -> None:
    container = run(caisd, "true", host_config=_policy("always"))
    wait_until(lambda: restarts(caisd, container) >= 5)
    starts = [event["timeNano"].number / 1e9 for event in events(caisd, container=[container], event=["start"])]
    waits = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert waits[0] >= 0.1
    assert waits[3] >= 0.8


def test_a_restarting_container_is_shown_and_refuses(caisd: Daemon) -> None:
    container = run(caisd, "false", name="again", host_config=_policy("always"))
    wait_until(lambda: restarts(caisd, container) >= 4)  # from now on it waits for more than a second
    wait_for_status(caisd, container, "restarting")
    shown = state(caisd, container)
    assert (shown["Running"].flag, shown["Restarting"].flag, shown["Pid"].number) == (True, True, 0)
    assert caisd.docker_output("ps", "--filter", "name=again", "--format", "{{.Status}}").startswith("Restarting (1) ")
    waiting = f"Container {container} is restarting, wait until the container is running"
    assert refused(caisd, "POST", "/containers/again/exec", {"Cmd": ["true"]}) == (409, waiting)
    assert refused(caisd, "POST", "/containers/again/pause") == (409, waiting)
    assert refused(caisd, "DELETE", "/containers/again") == (
        409,
        'cannot remove container "again": container is restarting: stop the container before removing or force remove',
    )
    post(caisd, container, "start", 304)
    post(caisd, container, "stop")
    assert status(caisd, container) == "exited"
    count = restarts(caisd, container)
    time.sleep(2)
    assert (status(caisd, container), restarts(caisd, container)) == ("exited", count)


@pytest.mark.parametrize("action", ["stop?t=0", "kill"])
@pytest.mark.parametrize("policy", ["always", "unless-stopped", "on-failure"])
def test_what_a_user_ends_stays_ended(caisd: Daemon, policy: str, action: str) -> None:
    container = run(caisd, "sleep", "100", host_config=_policy(policy))
    post(caisd, container, action)
    wait_for_status(caisd, container, "exited")
    time.sleep(0.3)
    assert (status(caisd, container), restarts(caisd, container)) == ("exited", 0)


def test_a_container_that_dies_by_itself_comes_back(caisd: Daemon) -> None:
    container = run(caisd, "sleep", "100", host_config=_policy("unless-stopped"))
    first = caisd.container_pid(container)
    os.kill(first, 9)
    wait_until(lambda: restarts(caisd, container) == 1 and status(caisd, container) == "running")
    assert caisd.container_pid(container) != first


def test_removal_by_force_ends_a_restart(caisd: Daemon) -> None:
    container = run(caisd, "false", host_config=_policy("always"))
    wait_until(lambda: restarts(caisd, container) >= 3)
    assert caisd.ask("DELETE", f"/containers/{container}?force=1").status == 204
    time.sleep(0.5)
    assert caisd.ask("GET", f"/containers/{container}/json").status == 404


def test_a_policy_can_be_changed(caisd: Daemon) -> None:
    container = run(caisd, "sh", "-c", "sleep 0.3; exit 1", host_config=_policy("no"))
    answer = caisd.ask("POST", f"/containers/{container}/update", _policy("on-failure", 1))
    assert answer.status == 200
    wait_until(lambda: (status(caisd, container), restarts(caisd, container)) == ("exited", 1))


def test_policies_that_make_no_sense(caisd: Daemon) -> None:
    def answer(host_config: dict[str, object]) -> tuple[int, str]:
        return refused(caisd, "POST", "/containers/create", {"Image": "busybox", "HostConfig": host_config})

    assert answer(_policy("never")) == (
        400,
        "invalid restart policy: unknown policy 'never'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
    )
    only = "invalid restart policy: maximum retry count can only be used with 'on-failure'"
    assert answer(_policy("always", 3)) == (400, only)
    assert answer(_policy("on-failure", -1))[0] == 400
    both = "can't create 'AutoRemove' container with restart policy"
    assert answer({"AutoRemove": True, **_policy("always")}) == (400, both)


def test_policies_across_restarts_of_the_engine(private_caisd: Daemon) -> None:
    """always comes back even when it was stopped, unless-stopped only when it was not; who runs is left alone."""
    daemon = private_caisd
    running = run(daemon, "sleep", "100", host_config=_policy("always"))
    stopped_always = run(daemon, "sleep", "100", host_config=_policy("always"))
    stopped = run(daemon, "sleep", "100", host_config=_policy("unless-stopped"))
    killed_meanwhile = run(daemon, "sleep", "100", host_config=_policy("unless-stopped"))
    plain = run(daemon, "sleep", "100")
    never_started = create(daemon, "sleep", "100", host_config=_policy("always"))
    post(daemon, stopped_always, "stop?t=0")
    post(daemon, stopped, "stop?t=0")
    pid, victims = daemon.container_pid(running), [daemon.container_pid(item) for item in (killed_meanwhile, plain)]
    daemon.kill()
    for victim in victims:
        os.kill(victim, 9)
    time.sleep(0.5)
    daemon.start()
    for container in (stopped_always, killed_meanwhile):
        wait_for_status(daemon, container, "running")
    assert status(daemon, stopped) == "exited"
    assert (status(daemon, plain), state(daemon, plain)["ExitCode"].number) == ("exited", 137)
    assert status(daemon, never_started) == "created"
    assert daemon.container_pid(running) == pid


def test_a_restart_that_was_due_happens_in_the_next_engine(private_caisd: Daemon) -> None:
    container = run(private_caisd, "false", host_config=_policy("on-failure", 5))
    wait_until(lambda: restarts(private_caisd, container) >= 3)
    wait_for_status(private_caisd, container, "restarting")
    private_caisd.restart()
    wait_until(lambda: (status(private_caisd, container), restarts(private_caisd, container)) == ("exited", 5), 20)
