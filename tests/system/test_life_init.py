"""--init: pid 1 is ours, and the command its child."""

import os
import signal

import pytest

from tests.harness.engine import Daemon, wait_until
from tests.harness.life import create, logs, post, run, state, wait_for_status

INIT = {"Init": True}


def test_the_command_is_a_child_of_the_init(caisd: Daemon) -> None:
    shown = caisd.docker_output("run", "--rm", "--init", "busybox", "ps", "-o", "pid,ppid,comm,args")
    lines = [line.split() for line in shown.splitlines()]
    assert lines[1] == ["1", "0", "cais-init", "cais-init", "--", "ps", "-o", "pid,ppid,comm,args"]
    assert lines[2][:3] == ["2", "1", "ps"]


@pytest.mark.parametrize(("script", "exit_code"), [("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
def test_it_ends_as_the_command_does(caisd: Daemon, script: str, exit_code: int) -> None:
    container = run(caisd, "sh", "-c", script, host_config=INIT)
    assert caisd.docker_output("wait", container) == str(exit_code)


def test_signals_are_passed_on(caisd: Daemon) -> None:
    script = "trap 'echo got-usr1' USR1; trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done"
    container = run(caisd, "sh", "-c", script, host_config=INIT)
    wait_until(lambda: logs(caisd, container) == ["up"])
    post(caisd, container, "kill?signal=USR1")
    wait_until(lambda: logs(caisd, container) == ["up", "got-usr1"])
    post(caisd, container, "stop")
    assert state(caisd, container)["ExitCode"].number == 5


def test_a_command_without_handlers_can_be_stopped(caisd: Daemon) -> None:
    """As pid 1 it would not be: the kernel spares an init that has no handler."""
    container = run(caisd, "sleep", "100", host_config=INIT)
    post(caisd, container, "stop?t=60")
    assert state(caisd, container)["ExitCode"].number == 128 + signal.SIGTERM


def test_orphans_are_reaped(caisd: Daemon) -> None:
    container = run(caisd, "sh", "-c", "for i in 1 2 3; do (sleep 0.1 &) ; done; exec sleep 100", host_config=INIT)
    wait_until(lambda: caisd.docker_output("exec", container, "ps", "-o", "stat").count("Z") == 0)
    wait_until(lambda: caisd.docker_output("exec", container, "ps", "-o", "comm").split().count("sleep") == 1)


def test_it_has_no_more_than_the_container(caisd: Daemon) -> None:
    container = run(caisd, "sleep", "100", User="nobody", host_config=INIT)
    lines = caisd.docker_output("exec", container, "cat", "/proc/1/status", "/proc/2/status").splitlines()
    for name in ("Uid", "CapEff", "CapBnd", "CapPrm", "Seccomp", "NoNewPrivs"):
        found = [line for line in lines if line.startswith(f"{name}:")]
        assert len(found) == 2, name
        assert found[0] == found[1]
    pid = caisd.container_pid(container)
    assert len(os.listdir(f"/proc/{pid}/fd")) == 3


@pytest.mark.parametrize("path", ["/proc/1/mem", "/proc/1/environ", "/proc/1/fd/1", "/proc/1/maps", "/proc/1/exe"])
def test_nothing_of_it_can_be_read_inside(caisd: Daemon, path: str) -> None:
    container = run(caisd, "sleep", "100", host_config=INIT)
    done = caisd.docker("exec", container, "dd", f"if={path}", "of=/dev/null", "count=1")
    assert done.returncode != 0
    assert "Permission denied" in done.stderr


def test_it_leads_a_terminal(caisd: Daemon) -> None:
    with caisd.docker_terminal("run", "-it", "--rm", "--init", "busybox", "sh") as terminal:
        terminal.send("echo a$((1+1))b; sleep 77\n")
        terminal.expect("a2b")
        terminal.send("\x03")
        terminal.send("echo still-$((2+2)); exit 9\n")
        terminal.expect("still-4")
        assert terminal.wait(10) == 9


def test_a_command_that_is_not_there(caisd: Daemon) -> None:
    container = create(caisd, "nope", host_config=INIT)
    answer = caisd.ask("POST", f"/containers/{container}/start")
    assert (answer.status, 'exec: "nope": executable file not found in $PATH' in answer.message) == (400, True)


def test_it_outlives_the_engine(private_caisd: Daemon) -> None:
    container = run(private_caisd, "sleep", "100", host_config=INIT)
    private_caisd.kill()
    private_caisd.start()
    post(private_caisd, container, "stop")
    wait_for_status(private_caisd, container, "exited")
