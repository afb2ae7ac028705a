"""Limits of memory, processors and processes: set, enforced, reported."""

import os
import time
from pathlib import Path

import pytest

from tests.harness import host
from tests.harness.engine import Daemon, Engine, wait_until
from tests.harness.inside import run

UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers").exists()
EATER = "x=a; while :; do x=$x$x; done"


def _limit(engine: Engine, v1: str, v2: str, *options: str) -> str:
    """The content of a cgroup file as the container sees it."""
    return run(engine, f"cat /sys/fs/cgroup/{v2 if UNIFIED else v1}", *options)


def test_a_memory_limit_is_set(engine: Engine) -> None:
    shown = _limit(engine, "memory/memory.limit_in_bytes", "memory.max", "-m", "64m")
    assert shown == str(64 << 20)


def test_a_container_that_exceeds_its_memory_is_killed_and_reported(engine: Engine) -> None:
    options = ["--name", "eater", "-m", "32m", "--memory-swap", "32m"]
    assert engine.docker("run", *options, "busybox", "sh", "-c", EATER).returncode == 137
    state = engine.inspect("eater")["State"]
    assert state["OOMKilled"].flag
    assert state["ExitCode"].number == 137


def test_a_child_killed_for_memory_leaves_the_rest_running(engine: Engine) -> None:
    options = ["-d", "--name", "parent", "-m", "32m", "--memory-swap", "32m"]
    engine.docker_output("run", *options, "busybox", "sh", "-c", f"sh -c '{EATER}'; echo child: $?; sleep 100")
    wait_until(lambda: "child: 137" in engine.docker("logs", "parent").stdout, 30)
    assert engine.inspect("parent")["State"]["Running"].flag


def test_a_container_within_its_memory_is_not_called_killed(engine: Engine) -> None:
    engine.docker("run", "--name", "modest", "-m", "64m", "busybox", "sh", "-c", "exit 137")
    assert not engine.inspect("modest")["State"]["OOMKilled"].flag


def test_processor_time_is_limited(engine: Engine) -> None:
    if UNIFIED:
        assert run(engine, "cat /sys/fs/cgroup/cpu.max", "--cpus", "0.5") == "50000 100000"
    else:
        script = "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us"
        assert run(engine, script, "--cpus", "0.5").split() == ["50000", "100000"]


def test_more_processors_than_there_are_is_refused(engine: Engine) -> None:
    done = engine.docker("run", "--rm", "--cpus", str((os.cpu_count() or 1) + 1), "busybox", "true")
    assert done.returncode == 125
    assert "ange of CPUs is from 0.01 to" in done.stderr


def test_processor_shares_are_set(engine: Engine) -> None:
    if not UNIFIED:
        assert run(engine, "cat /sys/fs/cgroup/cpu/cpu.shares", "--cpu-shares", "512") == "512"
    else:
        assert int(run(engine, "cat /sys/fs/cgroup/cpu.weight", "--cpu-shares", "512")) < 100


def test_a_limit_of_processes_is_set_and_holds(engine: Engine) -> None:
    assert _limit(engine, "pids/pids.max", "pids.max", "--pids-limit", "20") == "20"
    script = "for i in $(seq 50); do sleep 5 & done 2>/dev/null; ls -d /proc/[0-9]* | wc -l"
    done = engine.docker("run", "--rm", "--pids-limit", "20", "busybox", "sh", "-c", script)
    assert "50" not in done.stdout.split()


def test_a_fork_bomb_under_a_limit_harms_nobody_and_is_killed_soon(caisd: Daemon) -> None:
    bomb = "bomb() { bomb | bomb & }; bomb; sleep 100"
    caisd.docker_output("run", "-d", "--name", "bomb", "--pids-limit", "100", "busybox", "sh", "-c", bomb)
    time.sleep(1)
    assert run(caisd, "echo others live") == "others live"
    began = time.monotonic()
    caisd.docker_output("kill", "bomb")
    wait_until(lambda: not caisd.inspect("bomb")["State"]["Running"].flag, 10)
    assert time.monotonic() - began < 10


def test_the_cgroup_of_a_container_is_gone_with_it(caisd: Daemon) -> None:
    identity = caisd.docker_output("run", "-d", "busybox", "sleep", "100")
    lines = Path(f"/proc/{caisd.container_pid(identity)}/cgroup").read_text("ascii").splitlines()
    own = [line.split(":", 2)[2] for line in lines if identity in line]
    assert own
    assert len(set(own)) == 1
    folders = host.cgroup_folders(identity)
    assert folders
    caisd.docker_output("rm", "-f", identity)
    wait_until(lambda: not any(folder.exists() for folder in folders))


def test_a_limit_beyond_the_daemon_s_own_fails_with_a_clear_error(caisd: Daemon) -> None:
    effective = int(Path(f"/proc/{caisd.pid}/status").read_text("ascii").partition("CapEff:")[2].split()[0], 16)
    if effective >> 24 & 1:
        pytest.skip("CAP_SYS_RESOURCE is here: every limit can be raised")
    done = caisd.docker("run", "--rm", "--ulimit", "nofile=99999999:99999999", "busybox", "true")
    assert done.returncode == 125
    assert "nofile" in done.stderr.lower()
    assert caisd.containers() == []
