"""Health checks: what their results make of a container, and what is told of it."""

import pytest

from tests.harness.engine import Daemon, wait_until
from tests.harness.images import busybox_root
from tests.harness.life import actions, events, post, refused, restarts, run, state, status

MS = 1_000_000


def _check(command: str, **settings: int) -> dict[str, object]:
    return {"Test": ["CMD-SHELL", command], "Interval": 100 * MS, **settings}


def _health(daemon: Daemon, container: str) -> str:
    return state(daemon, container)["Health"]["Status"].text


def _wait_for_health(daemon: Daemon, container: str, wanted: str) -> None:
    wait_until(lambda: _health(daemon, container) == wanted, 15, lambda: repr(state(daemon, container)))


def test_a_container_becomes_healthy_and_unhealthy(caisd: Daemon) -> None:
    container = run(
        caisd,
        "sh",
        "-c",
        "sleep 0.3; touch /ok; sleep 100",
        Healthcheck=_check("cat /ok", Retries=2, StartPeriod=9000 * MS, StartInterval=100 * MS),
    )
    assert _health(caisd, container) == "starting"
    assert "(health: starting)" in caisd.docker_output("ps", "--format", "{{.Status}}")
    _wait_for_health(caisd, container, "healthy")
    assert caisd.docker_output("ps", "-q", "--filter", "health=healthy") == container[:12]
    assert "(healthy)" in caisd.docker_output("ps", "--format", "{{.Status}}")
    caisd.docker_output("exec", container, "rm", "/ok")
    _wait_for_health(caisd, container, "unhealthy")
    health = state(caisd, container)["Health"]
    assert health["FailingStreak"].number >= 2
    wait_until(lambda: len(state(caisd, container)["Health"]["Log"]) == 5)
    last = state(caisd, container)["Health"]["Log"].items[-1]
    assert (last["ExitCode"].number, last["Output"].text) == (1, "cat: can't open '/ok': No such file or directory\n")
    assert len(list((caisd.exec_root / "containers" / container).glob("exec-*.json"))) <= 2
    told = [action for action in actions(caisd, container) if action.startswith("health")]
    assert told == ["health_status: healthy", "health_status: unhealthy"]


def test_failures_in_the_start_period_do_not_count(caisd: Daemon) -> None:
    container = run(
        caisd, "sleep", "100",
        Healthcheck=_check("exit 1", Retries=1, StartPeriod=700 * MS, StartInterval=50 * MS, Timeout=5000 * MS),
    )  # fmt: skip
    wait_until(lambda: len(state(caisd, container)["Health"]["Log"]) >= 3)
    assert _health(caisd, container) == "starting"
    _wait_for_health(caisd, container, "unhealthy")


def test_a_check_that_takes_too_long_is_killed(caisd: Daemon) -> None:
    container = run(caisd, "sleep", "100", Healthcheck=_check("exec sleep 77", Timeout=200 * MS, Retries=1))
    _wait_for_health(caisd, container, "unhealthy")
    result = state(caisd, container)["Health"]["Log"][0]
    assert result["ExitCode"].number == -1
    assert result["Output"].text == "Health check exceeded timeout (200ms)"
    count = "ps | grep -c '[s]leep 77'"
    wait_until(lambda: len(state(caisd, container)["Health"]["Log"]) >= 3)
    assert int(caisd.docker("exec", container, "sh", "-c", count).stdout) <= 1


def test_a_check_is_an_exec_in_the_events_to_its_end(caisd: Daemon) -> None:
    slow = run(caisd, "sleep", "100", Healthcheck=_check("exec sleep 77", Timeout=200 * MS, Retries=1))
    quick = run(caisd, "sleep", "100", Healthcheck=_check("exit 3", Retries=1))
    for container, exit_code in ((slow, "137"), (quick, "3")):
        _wait_for_health(caisd, container, "unhealthy")
        told = [event for event in events(caisd, container=[container]) if event["Action"].text.startswith("exec_")]
        done = [event["Action"].text for event in told[:3]]
        assert done[0].startswith("exec_create: /bin/sh -c ")
        assert done[1].startswith("exec_start: /bin/sh -c ")
        assert done[2] == "exec_die"
        attributes = [event["Actor"]["Attributes"] for event in told[:3]]
        assert len({each["execID"].text for each in attributes}) == 1
        assert attributes[2]["exitCode"].text == exit_code


def test_the_image_says_how_and_the_user_may_say_no(caisd: Daemon) -> None:
    caisd.import_root(
        "checked", busybox_root(), 'CMD ["sleep", "100"]', "HEALTHCHECK --interval=100ms --retries=1 CMD exit 1"
    )
    inherited = caisd.docker_output("run", "-d", "checked")
    _wait_for_health(caisd, inherited, "unhealthy")
    refused_one = caisd.docker_output("run", "-d", "--no-healthcheck", "checked")
    assert "Health" not in state(caisd, refused_one)
    own = caisd.docker_output("run", "-d", "--health-cmd", "true", "checked")
    _wait_for_health(caisd, own, "healthy")
    assert caisd.inspect(own)["Config"]["Healthcheck"]["Interval"].number == 100 * MS


def test_checks_stop_with_the_container_and_begin_again(caisd: Daemon) -> None:
    container = run(caisd, "sleep", "100", Healthcheck=_check("true"))
    _wait_for_health(caisd, container, "healthy")
    post(caisd, container, "stop?t=0")
    assert _health(caisd, container) == "unhealthy"
    post(caisd, container, "start")
    _wait_for_health(caisd, container, "healthy")
    post(caisd, container, "pause")
    assert _health(caisd, container) == "unhealthy"
    post(caisd, container, "unpause")
    _wait_for_health(caisd, container, "healthy")


def test_a_new_engine_goes_on_checking(private_caisd: Daemon) -> None:
    container = run(private_caisd, "sleep", "100", Healthcheck=_check("test ! -e /bad", Retries=1))
    _wait_for_health(private_caisd, container, "healthy")
    private_caisd.restart()
    assert _health(private_caisd, container) == "healthy"
    private_caisd.docker_output("exec", container, "touch", "/bad")
    _wait_for_health(private_caisd, container, "unhealthy")


@pytest.mark.parametrize("where", ["Labels", "Annotations"])
def test_an_unhealthy_container_is_restarted_where_asked(caisd: Daemon, where: str) -> None:
    wish = {"cais.restart-unhealthy": "true"}
    container = run(
        caisd,
        "sh",
        "-c",
        "trap 'exit 0' TERM; while :; do sleep 0.05; done",
        Healthcheck=_check("test ! -e /tmp/bad", Retries=1),
        Labels=wish if where == "Labels" else {},
        host_config={"Annotations": wish if where == "Annotations" else {}},
    )
    first = caisd.container_pid(container)
    caisd.docker_output("exec", container, "touch", "/tmp/bad")
    wait_until(lambda: restarts(caisd, container) >= 1, 15)
    caisd.docker("exec", container, "rm", "/tmp/bad")
    wait_until(lambda: status(caisd, container) == "running" and caisd.container_pid(container) != first, 15)


def test_settings_that_make_no_sense(caisd: Daemon) -> None:
    def answer(check: dict[str, object]) -> tuple[int, str]:
        return refused(caisd, "POST", "/containers/create", {"Image": "busybox", "Healthcheck": check})

    assert answer({"Interval": 1}) == (400, "Interval in Healthcheck cannot be less than 1ms")
    assert answer({"Retries": -1}) == (400, "Retries in Healthcheck cannot be negative")
