"""cais explain: what is in force, why a container ended, and what a run would do, against the real kernel."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.engine import Daemon, wait_until
from tests.harness.life import create, run, state, wait_for_status

PROMPT_SECONDS = 20
MIB = 1 << 20


@pytest.fixture
def cais(caisd: Daemon) -> Iterator[Daemon]:
    """The engine, whose `docker…` methods run our own command."""
    caisd.client = "cais"
    yield caisd
    caisd.client = "docker"


def explained(daemon: Daemon, container: str) -> dict[str, Any]:
    """What the API says of a container."""
    answer = daemon.ask("GET", f"/cais/containers/{container}/explain")
    assert answer.status == 200, answer.body
    found: dict[str, Any] = json.loads(answer.body)
    return found


def planned(daemon: Daemon, *arguments: str) -> dict[str, Any]:
    """What the command says that a run would do."""
    found: dict[str, Any] = json.loads(daemon.docker_output("explain", "run", "--format", "json", *arguments))
    return found


def namespace(found: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(item for item in found["Namespaces"] if item["Kind"] == kind)


def words(found: dict[str, Any]) -> str:
    return " ".join(found["End"]["Words"])


def inode(pid: int, name: str) -> int:
    return os.stat(f"/proc/{pid}/ns/{name}").st_ino


# What runs


def test_namespaces_are_those_of_the_kernel_and_shared_with_whom_it_says(cais: Daemon) -> None:
    cais.docker_output("run", "-d", "--name", "ex-a", "--ipc", "shareable", "busybox", "sleep", "1000")
    flags = ["--network", "container:ex-a", "--ipc", "container:ex-a", "--pid", "host"]
    cais.docker_output("run", "-d", "--name", "ex-b", *flags, "busybox", "sleep", "1000")
    first, second = explained(cais, "ex-a"), explained(cais, "ex-b")
    pid = cais.container_pid("ex-a")
    for kind, name in (("network", "net"), ("ipc", "ipc"), ("pid", "pid"), ("mount", "mnt"), ("uts", "uts")):
        assert namespace(first, kind)["Inode"] == inode(pid, name)
    assert (namespace(first, "network")["Sharing"], namespace(first, "network")["SharedWith"]) == (
        "container",
        ["ex-b"],
    )
    assert namespace(second, "ipc")["SharedWith"] == ["ex-a"]
    assert namespace(second, "network")["Wanted"] == "container:ex-a"
    assert (namespace(second, "pid")["Sharing"], namespace(second, "pid")["Inode"]) == (
        "host",
        inode(os.getpid(), "pid"),
    )
    assert namespace(first, "pid")["Sharing"] == "private"
    assert second["Network"]["Mode"] == "container:ex-a"
    text = cais.docker_output("explain", "ex-b")
    assert "shared with ex-a" in text
    cais.docker_output("rm", "-f", "ex-a")
    left = namespace(explained(cais, "ex-b"), "network")
    assert (left["Sharing"], left["SharedWith"]) == ("private", [])  # the namespace outlives its first owner


def test_processes_are_shown_with_their_pids_on_the_host(cais: Daemon) -> None:
    cais.docker_output("run", "-d", "--name", "ex-a", "-u", "1000", "busybox", "sh", "-c", "sleep 1000 & wait")
    wait_until(lambda: explained(cais, "ex-a")["Processes"]["Count"] == 2)
    processes = explained(cais, "ex-a")["Processes"]
    first, second = processes["Shown"]
    assert (first["Pid"], first["PidInside"], first["Uid"]) == (cais.container_pid("ex-a"), 1, 1000)
    assert second["ParentPid"] == first["Pid"]
    assert second["Command"] == "sleep 1000"
    assert Path(f"/proc/{second['Pid']}/cmdline").read_bytes() == b"sleep\x001000\x00"
    assert processes["MonitorPid"] == cais.monitor_pid("ex-a")


def test_limits_and_how_near_the_container_is_to_each(cais: Daemon) -> None:
    flags = ["-m", "64m", "--memory-swap", "64m", "--cpus", "0.5", "--pids-limit", "20", "--ulimit", "nofile=20:30"]
    script = "exec 7</etc/passwd; dd if=/dev/zero of=/dev/shm/x bs=1M count=16 2>/dev/null; while :; do :; done"
    cais.docker_output("run", "-d", "--name", "ex-a", *flags, "busybox", "sh", "-c", script)

    def throttled() -> bool:
        return int(explained(cais, "ex-a")["Limits"]["Cpu"]["ThrottledPeriods"]) > 0

    wait_until(throttled)
    limits = explained(cais, "ex-a")["Limits"]
    memory, cpu, pids = limits["Memory"], limits["Cpu"], limits["Pids"]
    assert (memory["LimitBytes"], memory["WantedBytes"]) == (64 * MIB, 64 * MIB)
    assert 16 * MIB < memory["UsedBytes"] <= memory["PeakBytes"] < 64 * MIB
    assert memory["SwapLimitBytes"] in {64 * MIB, None}
    assert (cpu["Cpus"], cpu["WantedCpus"]) == (0.5, 0.5)
    assert 0.1 < cpu["UsedCpus"] < 1.0
    assert (pids["Limit"], pids["Used"]) == (20, 1)
    files = next(item for item in limits["Ulimits"] if item["Name"] == "nofile")
    assert (files["Soft"], files["Hard"], files["Used"], files["WasAsked"]) == (20, 30, 4, True)
    assert limits["Cgroup"].endswith(explained(cais, "ex-a")["Id"])
    assert "of 64MiB" in cais.docker_output("explain", "ex-a")


def test_what_is_in_force_is_shown_beside_what_was_asked_for(cais: Daemon) -> None:
    cais.docker_output("run", "-d", "--name", "ex-a", "--pids-limit", "20", "busybox", "sleep", "1000")
    group = explained(cais, "ex-a")["Limits"]["Cgroup"]
    found = [path for path in Path("/sys/fs/cgroup").glob(f"**{group}/pids.max") if path.is_file()]
    assert len(found) == 1
    found[0].write_text("7")
    pids = explained(cais, "ex-a")["Limits"]["Pids"]
    assert (pids["Limit"], pids["Wanted"]) == (7, 20)
    assert "of 7  (asked for: 20)" in cais.docker_output("explain", "ex-a")


def test_the_narrower_limit_of_a_group_above_counts(cais: Daemon) -> None:
    parent = f"cais-test-explain-{os.getpid()}"
    flags = ["--cgroup-parent", parent, "--pids-limit", "20"]
    cais.docker_output("run", "-d", "--name", "ex-a", *flags, "busybox", "sleep", "1000")
    try:
        (above,) = [path for path in Path("/sys/fs/cgroup").glob(f"**/{parent}/pids.max") if path.is_file()]
        above.write_text("5")
        pids = explained(cais, "ex-a")["Limits"]["Pids"]
        assert (pids["Limit"], pids["LimitedBy"]) == (5, f"/{parent}")
    finally:
        cais.docker_output("rm", "-f", "ex-a")
        for path in Path("/sys/fs/cgroup").glob(f"*/{parent}"):
            path.rmdir()


def test_layers_mounts_and_addresses(cais: Daemon, tmp_path: Path) -> None:
    script = "dd if=/dev/zero of=/big bs=1M count=2; mkdir /own; mount -t tmpfs x /own; echo ok > /in/ok; sleep 1000"
    flags = ["-v", f"{tmp_path}:/in", "--tmpfs", "/scratch", "--cap-add", "SYS_ADMIN"]
    cais.docker_output("run", "-d", "--name", "ex-a", *flags, "busybox", "sh", "-c", script)
    wait_until((tmp_path / "ok").exists)
    found = explained(cais, "ex-a")
    image = json.loads(cais.ask("GET", "/images/busybox/json").body)
    assert sum(layer["SizeBytes"] for layer in found["Root"]["Layers"]) == image["Size"] == found["Root"]["ImageBytes"]
    assert [layer["DiffId"] for layer in found["Root"]["Layers"]] == image["RootFS"]["Layers"]
    assert found["Root"]["WritableBytes"] >= 2 * MIB
    mounts = {item["Destination"]: item for item in found["Mounts"]}
    assert (mounts["/in"]["Source"], mounts["/in"]["Origin"]) == (str(tmp_path), "user")
    assert (mounts["/scratch"]["Type"], mounts["/scratch"]["Origin"]) == ("tmpfs", "user")
    assert (mounts["/own"]["Type"], mounts["/own"]["Origin"]) == ("tmpfs", "inside")
    assert mounts["/proc/sys"]["Origin"] == "hidden"
    assert not any(item["Missing"] for item in found["Mounts"])
    own = cais.inspect("ex-a")["NetworkSettings"]["Networks"]["bridge"]
    assert {item["Name"]: item["Addresses"][0] for item in found["Network"]["Interfaces"]} == {
        "lo": "127.0.0.1/8",
        "eth0": f"{own['IPAddress'].text}/{own['IPPrefixLen'].number}",
    }
    assert "(mounted by the container itself)" in cais.docker_output("explain", "ex-a")


def test_rights_are_those_of_the_first_process(cais: Daemon) -> None:
    flags = ["--cap-drop", "KILL", "--cap-add", "NET_ADMIN", "-u", "1000:1001", "--security-opt", "no-new-privileges"]
    cais.docker_output("run", "-d", "--name", "ex-a", *flags, "busybox", "sleep", "1000")
    found = explained(cais, "ex-a")["Security"]
    assert (found["Uid"], found["Gid"], found["Groups"]) == (1000, 1001, [1001])
    assert (found["Added"], found["Dropped"], found["Effective"]) == (["CAP_NET_ADMIN"], ["CAP_KILL"], [])
    assert len(found["Capabilities"]) == 14
    assert (found["Seccomp"], found["SeccompFilters"], found["NoNewPrivileges"]) == ("default", 1, True)
    assert "/proc/sys" in found["ReadonlyPaths"]
    assert "/proc/timer_list" in found["MaskedPaths"] or not Path("/proc/timer_list").exists()
    assert found["ExposedPaths"] == []


def test_a_privileged_container_on_the_host_s_network_shows_it(cais: Daemon) -> None:
    cais.docker_output("run", "-d", "--name", "ex-a", "--privileged", "--network", "host", "busybox", "sleep", "1000")
    found = explained(cais, "ex-a")
    security = found["Security"]
    assert security["Privileged"]
    assert (security["Seccomp"], security["SeccompFilters"]) == ("unconfined", 0)
    assert "CAP_SYS_ADMIN" in security["Added"]
    assert (security["MaskedPaths"], security["ReadonlyPaths"]) == ([], [])
    assert (namespace(found, "network")["Sharing"], namespace(found, "network")["Wanted"]) == ("host", "host")
    assert {item["Name"] for item in found["Network"]["Interfaces"]} == set(os.listdir("/sys/class/net"))
    text = cais.docker_output("explain", "ex-a")
    assert "Rights: privileged" in text
    assert "Network: host" in text


def test_a_paused_container_is_explained(cais: Daemon) -> None:
    cais.docker_output("run", "-d", "--name", "ex-a", "busybox", "sleep", "1000")
    cais.docker_output("pause", "ex-a")
    found = explained(cais, "ex-a")
    assert (found["Status"], found["Limits"]["Cpu"]["UsedCpus"], found["End"]) == ("paused", None, None)
    assert found["Processes"]["Count"] == 1


def test_an_unhealthy_container_shows_its_check(cais: Daemon) -> None:
    flags = ["--health-cmd", "echo bad; exit 3", "--health-interval", "100ms", "--health-retries", "2"]
    cais.docker_output("run", "-d", "--name", "ex-a", *flags, "busybox", "sleep", "1000")
    wait_until(lambda: explained(cais, "ex-a")["Health"]["Status"] == "unhealthy", PROMPT_SECONDS)
    health = explained(cais, "ex-a")["Health"]
    assert (health["LastExitCode"], health["LastOutput"]) == (3, "bad\n")
    assert health["FailingStreak"] >= 2
    assert "Health: unhealthy" in cais.docker_output("explain", "ex-a")
    cais.docker_output("kill", "ex-a")
    assert "Its health check had failed" in words(explained(cais, "ex-a"))


def test_what_a_container_does_to_its_names_reaches_no_terminal(cais: Daemon) -> None:
    script = "cp /bin/busybox \"/tmp/$(printf '\\033[31msleep')\"; exec \"/tmp/$(printf '\\033[31msleep')\" 1000"
    cais.docker_output("run", "-d", "--name", "ex-a", "busybox", "sh", "-c", f"mkdir -p /tmp; {script}")
    assert "\x1b" not in cais.docker_output("explain", "ex-a")


def test_pids_inside_are_those_of_the_namespace_that_the_container_is_in(cais: Daemon) -> None:
    cais.docker_output("run", "-d", "--name", "ex-a", "busybox", "sleep", "1000")
    cais.docker_output("run", "-d", "--name", "ex-b", "--pid", "container:ex-a", "busybox", "sleep", "1000")
    shown = explained(cais, "ex-b")["Processes"]["Shown"]
    inside = cais.docker_output("exec", "ex-b", "pidof", "sleep").split()
    assert {*(str(item["PidInside"]) for item in shown), "1"} == set(inside)
    assert shown[0]["PidInside"] != shown[0]["Pid"]
    cais.docker_output("run", "-d", "--name", "ex-c", "--pid", "host", "busybox", "sleep", "1000")
    (host,) = explained(cais, "ex-c")["Processes"]["Shown"]
    assert host["PidInside"] == host["Pid"] == cais.container_pid("ex-c")


# What does not run


def test_a_created_container_shows_what_a_start_would_give_it(cais: Daemon) -> None:
    create(cais, "true", name="ex-a", host_config={"Memory": 64 * MIB, "NetworkMode": "host"})
    found = explained(cais, "ex-a")
    assert (found["Status"], found["Pid"], found["End"]) == ("created", 0, None)
    assert found["Limits"]["Memory"]["LimitBytes"] == 64 * MIB
    assert (namespace(found, "network")["Sharing"], namespace(found, "mount")["Sharing"]) == ("host", "private")
    assert found["Processes"]["Count"] == 0
    assert "It does not run: what follows is what a start would give it" in cais.docker_output("explain", "ex-a")


def test_a_created_container_whose_partner_is_not_there_says_so(cais: Daemon) -> None:
    partner = create(cais, "true", name="ex-a")
    create(cais, "true", name="ex-b", host_config={"PidMode": "container:ex-a"})
    (note,) = explained(cais, "ex-b")["Notes"]
    assert note == f"A start would fail now: cannot join PID namespace of a non running container: {partner}"


@pytest.mark.parametrize(("code", "expected"), [(0, "it was done"), (3, "ended by itself with exit code 3.")])
def test_an_exit_code_is_put_in_words(cais: Daemon, code: int, expected: str) -> None:
    run(cais, "sh", "-c", f"exit {code}", name="ex-a")
    wait_for_status(cais, "ex-a", "exited")
    found = explained(cais, "ex-a")
    assert (found["End"]["ExitCode"], found["End"]["Signal"], found["End"]["Sender"]) == (code, "", "")
    assert expected in words(found)


def test_a_signal_of_the_api_has_its_sender_even_after_the_daemon_is_started_again(private_caisd: Daemon) -> None:
    daemon = private_caisd
    run(daemon, "sh", "-c", "trap '' TERM; sleep 1000", name="ex-a")
    run(daemon, "sh", "-c", "trap 'exit 5' TERM; sleep 1000 & wait", name="ex-b")
    run(daemon, "sleep", "1000", name="ex-c")
    time.sleep(0.3)  # the traps are set
    daemon.ask("POST", "/containers/ex-a/stop?t=1")
    daemon.ask("POST", "/containers/ex-b/stop")
    daemon.ask("POST", "/containers/ex-c/kill")
    for _ in range(2):
        first, second, third = (explained(daemon, name) for name in ("ex-a", "ex-b", "ex-c"))
        assert (first["End"]["ExitCode"], first["End"]["Signal"]) == (137, "SIGKILL")
        assert "for a request to stop it, when it had not ended in the time it was given" in first["End"]["Sender"]
        assert (second["End"]["ExitCode"], second["End"]["Signal"]) == (5, "")
        assert "Before, SIGTERM was sent by this engine" in words(second)
        assert "for a request to kill it" in third["End"]["Sender"]
        daemon.restart()


def test_a_signal_from_elsewhere_has_no_known_sender_also_when_no_daemon_saw_it(private_caisd: Daemon) -> None:
    daemon = private_caisd
    run(daemon, "sleep", "1000", name="ex-a")
    run(daemon, "sleep", "1000", name="ex-b")
    second = daemon.container_pid("ex-b")
    os.kill(daemon.container_pid("ex-a"), signal.SIGKILL)
    wait_for_status(daemon, "ex-a", "exited")
    daemon.kill()
    os.kill(second, signal.SIGKILL)
    daemon.start()
    wait_for_status(daemon, "ex-b", "exited")
    for name in ("ex-a", "ex-b"):
        end = explained(daemon, name)["End"]
        assert (end["ExitCode"], end["Signal"]) == (137, "SIGKILL")
        assert end["Sender"] == "sender unknown (from inside the container or the host)"


def test_a_lack_of_memory_is_told_with_its_figures_also_when_no_daemon_saw_it(private_caisd: Daemon) -> None:
    daemon = private_caisd
    limits = {"Memory": 20 * MIB, "MemorySwap": 20 * MIB}
    run(daemon, "sh", "-c", "sleep 2; x=x; while :; do x=$x$x; done", name="ex-a", host_config=limits)
    monitor = daemon.monitor_pid("ex-a")
    daemon.kill()
    wait_until(lambda: not os.path.exists(f"/proc/{monitor}/exe"), PROMPT_SECONDS)
    daemon.start()
    end = explained(daemon, "ex-a")["End"]
    assert (end["ExitCode"], end["OomKilled"]) == (137, True)
    assert end["Sender"] == "sent by the kernel, for want of memory"
    assert (end["Oom"]["LimitBytes"], end["Oom"]["Kills"]) == (20 * MIB, 1)
    assert 19 * MIB < end["Oom"]["PeakBytes"] <= 20 * MIB
    daemon.client = "cais"
    assert "Why it ended: exit code 137, out of memory" in daemon.docker_output("explain", "ex-a")


def test_a_command_that_is_not_there_is_told(cais: Daemon) -> None:
    done = cais.docker("run", "--name", "ex-a", "busybox", "no-such-command")
    assert done.returncode == 127
    found = explained(cais, "ex-a")
    assert found["End"]["ExitCode"] == 127
    assert words(found).startswith("Its command was not found in the container: ")
    assert "Why it did not start: exit code 127" in cais.docker_output("explain", "ex-a")


def test_restarts_are_told(cais: Daemon) -> None:
    cais.docker_output("run", "-d", "--name", "ex-a", "--restart", "on-failure:2", "busybox", "sh", "-c", "exit 3")
    wait_until(lambda: state(cais, "ex-a")["Status"].text == "exited", PROMPT_SECONDS)
    found = explained(cais, "ex-a")
    assert found["Restarts"] == {"Policy": "on-failure", "Most": 2, "Count": 2}
    assert "started again 2 times by the engine. Its restart policy allows 2 times" in words(found)


def test_a_restart_for_its_health_is_told(cais: Daemon) -> None:
    flags = ["--health-cmd", "false", "--health-interval", "100ms", "--health-retries", "1", "--stop-signal", "KILL"]
    label = ["--label", "cais.restart-unhealthy=true"]
    cais.docker_output("run", "-d", "--name", "ex-a", *flags, *label, "busybox", "sleep", "1000")

    def told() -> bool:
        end = explained(cais, "ex-a")["End"]
        return end is not None and "since it was unhealthy" in end["Sender"]

    wait_until(told, PROMPT_SECONDS)


def test_a_container_that_does_not_exist_is_not_explained(cais: Daemon) -> None:
    answer = cais.ask("GET", "/v1.51/cais/containers/ex-nothing/explain")
    assert (answer.status, answer.message) == (404, "No such container: ex-nothing")
    done = cais.docker("explain", "ex-nothing")
    assert (done.returncode, done.stderr) == (1, "Error response from daemon: No such container: ex-nothing\n")


# What a run would do


def _everything(daemon: Daemon) -> tuple[object, ...]:
    """What there is of an engine: its files, its groups, its containers and what it has told."""
    files = sorted(
        str(path.relative_to(daemon.root))
        for path in daemon.root.rglob("*")
        if "cais.db" not in path.name and path != daemon.log
    )
    events = daemon.ask("GET", f"/events?since=0&until={time.time():.6f}").body
    groups = sorted(str(path) for path in Path("/sys/fs/cgroup").glob("*/cais-*/*"))
    images = daemon.ask("GET", "/images/json").body
    return files, groups, daemon.containers(), events, images


def test_explaining_a_run_leaves_nothing_behind(private_caisd: Daemon, tmp_path: Path) -> None:
    daemon = private_caisd
    daemon.client = "cais"
    daemon.docker_output("run", "--rm", "busybox", "true")  # what a first run makes once is made
    time.sleep(0.5)
    before = _everything(daemon)
    source = tmp_path / "missing"
    flags = ["--name", "ex-a", "--cidfile", str(tmp_path / "cid"), "-v", f"{source}:/in"]
    plan = planned(daemon, *flags, "busybox")
    assert plan["Errors"] == []
    assert [item["Made"] for item in plan["Mounts"] if item["Destination"] == "/in"] == [True]
    planned(daemon, "--cap-drop", "ALL", "busybox", "nothing")
    planned(daemon, "cais.local/hello-world")
    assert daemon.docker("explain", "create", "busybox").returncode == 0
    assert _everything(daemon) == before
    assert list(tmp_path.iterdir()) == []


def test_a_run_does_what_was_said_of_it(cais: Daemon, tmp_path: Path) -> None:
    flags = [
        *("--name", "ex-a", "-m", "64m", "--memory-swap", "80m", "--cpus", "0.5", "--pids-limit", "30", "--read-only"),
        *("--cap-add", "NET_ADMIN", "--cap-drop", "CHOWN", "-u", "nobody", "-v", f"{tmp_path}:/in:ro", "-h", "quay"),
        *("--ulimit", "nofile=40:50", "--tmpfs", "/scratch", "--restart", "on-failure:2", "--security-opt"),
        *("no-new-privileges", "--pid", "host", "--oom-score-adj", "500", "--health-cmd", "true"),
    ]
    plan = planned(cais, *flags, "busybox", "sleep", "1000")
    assert plan["Errors"] == []
    cais.docker_output("run", "-d", *flags, "busybox", "sleep", "1000")
    found = explained(cais, "ex-a")
    for plan_part, kind in ((plan, "Planned"), (found, "Found")):
        assert plan_part["Restarts"]["Policy"] == "on-failure", kind
    assert [(item["Kind"], item["Sharing"]) for item in plan["Namespaces"]] == [
        (item["Kind"], item["Sharing"]) for item in found["Namespaces"]
    ]
    for part, keys in (
        ("Memory", ("LimitBytes", "SwapLimitBytes")), ("Cpu", ("Cpus",)), ("Pids", ("Limit",)),
    ):  # fmt: skip
        for key in keys:
            assert plan["Limits"][part][key] == found["Limits"][part][key] or found["Limits"][part][key] is None, key
    (files,) = plan["Limits"]["Ulimits"]
    in_force = next(item for item in found["Limits"]["Ulimits"] if item["Name"] == "nofile")
    assert (files["Soft"], files["Hard"]) == (in_force["Soft"], in_force["Hard"])
    security, real = plan["Security"], found["Security"]
    assert set(security["Capabilities"]) == set(real["Capabilities"])
    for key in ("Uid", "Gid", "Groups", "NoNewPrivileges", "Added", "Dropped", "Seccomp", "OomScoreAdj"):
        assert security[key] == real[key], key
    assert plan["Network"]["Hostname"] == found["Network"]["Hostname"] == "quay"
    destinations = {item["Destination"] for item in found["Mounts"]}
    assert {item["Destination"] for item in plan["Mounts"]} <= destinations
    assert plan["Root"]["ReadOnly"]
    assert plan["Root"]["Layers"] == found["Root"]["Layers"]
    assert plan["Process"]["Path"] == "/bin/sleep"
    assert plan["Health"]["Command"] == found["Health"]["Command"]
    real_config = json.loads((cais.exec_root / "containers" / found["Id"] / "config.json").read_bytes())
    assert json.loads(json.dumps(plan["Config"]).replace("<id>", found["Id"])) == real_config


@pytest.mark.parametrize(
    ("arguments", "step"),
    [
        (["--name", "ex-taken", "busybox", "true"], "name"),
        (["--name", "a b", "busybox", "true"], "name"),
        (["--pull", "never", "nothing-of-this-name", "true"], "image"),
        (["cais.local/nothing", "true"], "image"),
        (["-m", "1m", "busybox", "true"], "configuration"),
        (["--device", "/dev/nothing", "busybox", "true"], "configuration"),
        (["--network", "container:ex-created", "busybox", "true"], "namespaces"),
        (["--pull", "never", "--pid", "container:ex-none", "busybox", "true"], "configuration"),
        (["-v", "/tmp:/proc/x", "busybox", "true"], "mounts"),
        (["-u", "nobody-of-this-name", "busybox", "true"], "user"),
        (["busybox", "no-such-command"], "command"),
        (["busybox", "/no/such/command"], "command"),
        (["busybox", "/etc"], "command"),
        (["busybox", "/etc/passwd"], "command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_a_run_fails_as_was_said_of_it(cais: Daemon, arguments: list[str], step: str) -> None:
    create(cais, "true", name="ex-taken")
    create(cais, "true", name="ex-created")
    plan = planned(cais, *arguments)
    assert [error["Step"] for error in plan["Errors"]] == [step], plan["Errors"]
    done = cais.docker("run", "--rm", *arguments)
    said = plan["Errors"][0]["Message"]
    assert said in done.stderr, (said, done.stderr)
    text = cais.docker_output("explain", "run", *arguments)
    assert text.startswith("This would fail; nothing has been run or changed\n")
    assert f"(exit status {done.returncode})" in " ".join(text.split())


def test_files_below_a_mount_are_not_guessed_at(cais: Daemon, tmp_path: Path) -> None:
    plan = planned(cais, "-v", f"{tmp_path}:/opt", "busybox", "/opt/tool")
    assert plan["Errors"] == []
    assert "The mount at /opt hides files of the image" in plan["Notes"][0]
    plan = planned(cais, "-v", f"{tmp_path}:/opt", "busybox", "ls")
    assert (plan["Process"]["Path"], plan["Notes"]) == ("/bin/ls", [])


def test_an_image_that_would_be_pulled(cais: Daemon) -> None:
    plan = planned(cais, "cais.local/hello-world")
    assert (plan["Image"]["Present"], plan["Image"]["Pull"], plan["Errors"]) == (False, True, [])
    assert "1. Pull the image cais.local/hello-world" in cais.docker_output("explain", "run", "cais.local/hello-world")


def test_the_namespace_of_a_partner_has_its_inode(cais: Daemon) -> None:
    run(cais, "sleep", "1000", name="ex-a")
    plan = planned(cais, "--network", "container:ex-a", "busybox", "true")
    shared = namespace(plan, "network")
    assert (shared["SharedWith"], shared["Inode"]) == (["ex-a"], inode(cais.container_pid("ex-a"), "net"))


def test_a_request_that_makes_no_sense_is_refused(caisd: Daemon) -> None:
    for body, query, message in (
        ({}, "", "config cannot be empty in order to create a container"),
        ({"Image": "busybox"}, "?pull=often", "invalid pull option: 'often'"),
    ):
        answer = caisd.ask("POST", f"/cais/containers/explain{query}", body)
        assert (answer.status, answer.message) == (400, message)
