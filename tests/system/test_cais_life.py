"""The whole life of a container, by the cais command: pause, rename, update, stats, files, health, pruning."""

import io
import json
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.engine import Engine, wait_until

PROMPT_SECONDS = 20


@pytest.fixture
def cais(engine: Engine) -> Iterator[Engine]:
    """The engine, whose `docker…` methods run our own command."""
    engine.client = "cais"
    yield engine
    engine.client = "docker"


@pytest.fixture
def sleeper(cais: Engine) -> Engine:
    """A container sleeps."""
    cais.docker_output("run", "-d", "--name", "lc-one", "busybox", "sleep", "1000")
    return cais


def _field(engine: Engine, container: str, template: str) -> str:
    return engine.docker_output("inspect", "-f", template, container)


def test_a_container_is_paused_and_goes_on(sleeper: Engine) -> None:
    assert sleeper.docker_output("pause", "lc-one") == "lc-one"
    assert sleeper.docker_output("ps", "--filter", "name=lc-one", "--format", "{{.Status}}").endswith(" (Paused)")
    assert _field(sleeper, "lc-one", "{{.State.Status}} {{.State.Paused}} {{.State.Running}}") == "paused true true"
    assert "lc-one" in sleeper.docker_output("ps", "--filter", "status=paused", "--format", "{{.Names}}").split()
    identity = _field(sleeper, "lc-one", "{{.Id}}")
    done = sleeper.docker("pause", "lc-one")
    assert done.stderr == f"Error response from daemon: container {identity} is already paused\n"
    done = sleeper.docker("exec", "lc-one", "true")
    assert done.returncode == 1
    assert "is paused, unpause the container before exec" in done.stderr
    done = sleeper.docker("unpause", "lc-one", "lc-nothing")
    assert (done.returncode, done.stdout) == (1, "lc-one\n")
    assert sleeper.docker_output("exec", "lc-one", "echo", "awake") == "awake"
    assert sleeper.docker("unpause", "lc-one").stderr == (
        f"Error response from daemon: Container {identity} is not paused\n"
    )


def test_a_container_is_renamed(sleeper: Engine) -> None:
    sleeper.docker_output("create", "--name", "lc-two", "busybox", "true")
    assert sleeper.docker_output("rename", "lc-one", "lc-three") == ""
    assert _field(sleeper, "lc-three", "{{.Name}}") == "/lc-three"
    assert sleeper.docker("inspect", "lc-one").returncode == 1
    done = sleeper.docker("rename", "lc-three", "lc-two")
    assert done.returncode == 1
    assert 'Conflict. The container name "/lc-two" is already in use by container' in done.stderr
    assert done.stderr.endswith("Error: failed to rename container named lc-three\n")


def test_limits_are_changed_while_a_container_runs(sleeper: Engine) -> None:
    changes = ["-m", "64m", "--memory-swap", "64m", "--cpus", "0.5", "--restart", "on-failure:3", "--pids-limit", "50"]
    assert sleeper.docker_output("update", *changes, "lc-one").splitlines()[0] == "lc-one"
    host = "{{with .HostConfig}}{{.Memory}} {{.NanoCpus}} {{.RestartPolicy.Name}} {{.PidsLimit}}{{end}}"
    assert _field(sleeper, "lc-one", host) == f"{64 << 20} 500000000 on-failure 50"
    limits = "/sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max"
    assert sleeper.docker("exec", "lc-one", "sh", "-c", f"cat {limits} 2>/dev/null").stdout == f"{64 << 20}\n"
    done = sleeper.docker("update", "-m", "1k", "lc-one")
    assert done.returncode == 1
    assert "Minimum memory limit allowed is 6MB" in done.stderr


def test_changed_files_are_listed(sleeper: Engine) -> None:
    sleeper.docker_output("exec", "lc-one", "sh", "-c", "mkdir /x; touch /x/y; echo z >> /etc/passwd; rm /bin/busybox")
    lines = sleeper.docker_output("diff", "lc-one").splitlines()
    assert {"A /x", "A /x/y", "C /etc", "C /etc/passwd", "C /bin", "D /bin/busybox"} <= set(lines)
    assert not any(line.endswith(("/etc/hosts", "/dev", "/proc")) for line in lines)


def test_files_are_exported(sleeper: Engine) -> None:
    sleeper.docker_output("exec", "lc-one", "sh", "-c", "mkdir /made; echo content > /made/here")
    target = sleeper.folder / "lc.tar"
    assert sleeper.docker_output("export", "-o", str(target), "lc-one") == ""
    with tarfile.open(target) as archive:
        member = archive.extractfile("made/here")
        assert member is not None
        assert member.read() == b"content\n"
        assert "bin/busybox" in archive.getnames()
    with sleeper.docker_start("export", "lc-one") as client:
        data, _ = client.communicate()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert "made/here" in archive.getnames()
    with sleeper.docker_terminal("export", "lc-one") as terminal:
        terminal.expect("cowardly refusing to save to a terminal. Use the -o flag or redirect")
        assert terminal.wait() == 1


def test_what_containers_use_is_shown_once(sleeper: Engine) -> None:
    lines = sleeper.docker_output("stats", "--no-stream", "lc-one").splitlines()
    assert lines[0].split("  ")[0] == "CONTAINER ID"
    assert lines[1].split()[1] == "lc-one"
    columns = "{{.Name}} {{.PIDs}} {{.MemUsage}}"
    shown = sleeper.docker_output("stats", "--no-stream", "--format", columns, "lc-one")
    assert shown.startswith("lc-one 1 ")
    assert shown.endswith("iB")
    assert (
        json.loads(sleeper.docker_output("stats", "--no-stream", "--format", "json", "lc-one"))["Container"] == "lc-one"
    )
    done = sleeper.docker("stats", "--no-stream", "lc-nothing")
    assert (done.returncode, done.stderr) == (1, "Error response from daemon: No such container: lc-nothing\n")


def test_a_busy_container_uses_a_processor(cais: Engine) -> None:
    cais.docker_output("run", "-d", "--name", "lc-busy", "--cpus", "0.5", "busybox", "sh", "-c", "while :; do :; done")
    time.sleep(1)
    used = float(cais.docker_output("stats", "--no-stream", "--format", "{{.CPUPerc}}", "lc-busy").rstrip("%"))
    assert 5 < used < 90
    cais.docker_output("rm", "-f", "lc-busy")


def test_what_containers_use_is_followed(sleeper: Engine) -> None:
    with sleeper.docker_terminal("stats", "--format", "table {{.Name}}\\t{{.PIDs}}") as terminal:
        terminal.expect("NAME")
        terminal.expect("lc-one", PROMPT_SECONDS)
        sleeper.docker_output("run", "-d", "--name", "lc-later", "busybox", "sleep", "1000")
        terminal.expect("lc-later", PROMPT_SECONDS)
        terminal.send("\x03")
        assert terminal.wait() == 130


def test_only_stopped_containers_with_the_label_are_pruned(cais: Engine) -> None:
    cais.docker_output("run", "-d", "--name", "lc-runs", "--label", "lc=1", "busybox", "sleep", "1000")
    for name, label in (("lc-a", "lc=1"), ("lc-b", "lc=2")):
        cais.docker_output("run", "--name", name, "--label", label, "busybox", "sh", "-c", "echo x > /f")
    identity = _field(cais, "lc-a", "{{.Id}}")
    done = cais.docker("container", "prune", "--filter", "label=lc=1", stdin="n\n")
    assert done.stdout.endswith("[y/N] ")
    done = cais.docker("container", "prune", "--filter", "label=lc=1", stdin="y\n")
    assert done.stdout.endswith(f"[y/N] Deleted Containers:\n{identity}\n\nTotal reclaimed space: 2B\n")
    left = cais.docker_output("ps", "-a", "--filter", "label=lc", "--format", "{{.Names}}").split()
    assert left == ["lc-b", "lc-runs"]
    assert cais.docker_output("container", "prune", "-f", "--filter", "label=lc=1") == "Total reclaimed space: 0B"


def test_the_space_that_is_used_is_told(sleeper: Engine) -> None:
    sleeper.docker_output("exec", "lc-one", "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=3")
    lines = sleeper.docker_output("system", "df").splitlines()
    assert lines[0].split() == ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]
    assert [line[:16].strip() for line in lines[1:]] == ["Images", "Containers", "Local Volumes", "Build Cache"]
    found = json.loads(sleeper.docker_output("system", "df", "-v", "--format", "json"))
    (mine,) = [container for container in found["Containers"] if container["Names"] == "lc-one"]
    assert mine["Size"] == "3.15MB"


def test_health_is_checked(cais: Engine) -> None:
    flags = ["--health-cmd", "test -f /ok", "--health-interval", "200ms", "--health-retries", "2"]
    cais.docker_output("run", "-d", "--name", "lc-one", *flags, "busybox", "sh", "-c", "touch /ok; sleep 1000")
    health = "{{.State.Health.Status}}"
    wait_until(lambda: _field(cais, "lc-one", health) == "healthy", PROMPT_SECONDS)
    assert "(healthy)" in cais.docker_output("ps", "--filter", "name=lc-one", "--format", "{{.Status}}")
    assert "lc-one" in cais.docker_output("ps", "--filter", "health=healthy", "--format", "{{.Names}}").split()
    cais.docker_output("exec", "lc-one", "rm", "/ok")
    wait_until(lambda: _field(cais, "lc-one", health) == "unhealthy", PROMPT_SECONDS)
    assert int(_field(cais, "lc-one", "{{.State.Health.FailingStreak}}")) >= 2
    until = f"{time.time():.9f}"
    flags = ["--filter", "container=lc-one", "--filter", "event=health_status", "--format", "{{.Action}}"]
    told = cais.docker_output("events", "--since", "5m", "--until", until, *flags).splitlines()
    assert told[-2:] == ["health_status: healthy", "health_status: unhealthy"]


_ENDS_ON_TERM = ("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done")
_BAD = ("--health-cmd", "test ! -e /bad", "--health-interval", "100ms", "--health-retries", "1")


def test_an_unhealthy_container_is_restarted_by_flag(cais: Engine) -> None:
    cais.docker_output("run", "-d", "--name", "lc-one", *_BAD, "--restart-unhealthy", "busybox", *_ENDS_ON_TERM)
    annotations = _field(cais, "lc-one", "{{json .HostConfig.Annotations}}")
    assert json.loads(annotations) == {"cais.restart-unhealthy": "true"}
    cais.docker_output("exec", "lc-one", "touch", "/bad")
    wait_until(lambda: int(_field(cais, "lc-one", "{{.RestartCount}}")) >= 1, PROMPT_SECONDS)


def test_whether_an_unhealthy_container_is_restarted_can_be_changed(cais: Engine) -> None:
    cais.docker_output("run", "-d", "--name", "lc-one", *_BAD, "busybox", *_ENDS_ON_TERM)
    cais.docker_output("exec", "lc-one", "touch", "/bad")
    wait_until(lambda: _field(cais, "lc-one", "{{.State.Health.Status}}") == "unhealthy", PROMPT_SECONDS)
    assert _field(cais, "lc-one", "{{.RestartCount}}") == "0"
    cais.docker_output("exec", "lc-one", "rm", "/bad")
    wait_until(lambda: _field(cais, "lc-one", "{{.State.Health.Status}}") == "healthy", PROMPT_SECONDS)
    assert cais.docker_output("update", "--restart-unhealthy", "lc-one") == "lc-one"
    cais.docker_output("exec", "lc-one", "touch", "/bad")
    wait_until(lambda: int(_field(cais, "lc-one", "{{.RestartCount}}")) >= 1, PROMPT_SECONDS)


def test_a_container_that_fails_is_started_again(cais: Engine) -> None:
    script = "echo try; exit 3"
    cais.docker_output("run", "-d", "--name", "lc-one", "--restart", "on-failure:2", "busybox", "sh", "-c", script)
    state = "{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}"
    wait_until(lambda: _field(cais, "lc-one", state) == "exited 2 3", PROMPT_SECONDS)
    assert cais.docker_output("logs", "lc-one").split() == ["try"] * 3


def test_a_container_that_always_runs_ends_when_it_is_stopped(cais: Engine) -> None:
    cais.docker_output("run", "-d", "--name", "lc-one", "--restart", "always", "busybox", "sleep", "0.3")
    wait_until(lambda: int(_field(cais, "lc-one", "{{.RestartCount}}")) >= 1, PROMPT_SECONDS)
    cais.docker_output("stop", "-t", "0", "lc-one")
    time.sleep(1)
    assert _field(cais, "lc-one", "{{.State.Running}} {{.State.Restarting}}") == "false false"


def test_logs_show_what_the_driver_was_told_to_add(cais: Engine) -> None:
    flags = ["--log-opt", "labels=team", "--label", "team=core", "--name", "lc-told"]
    cais.docker_output("run", *flags, "busybox", "echo", "hello")
    assert cais.docker_output("logs", "--details", "lc-told") == "team=core hello"


@pytest.mark.parametrize(
    ("flags", "script", "output"),
    [
        (["--pid", "host"], "[ $$ -gt 50 ] && echo host", "host"),
        (["--ipc", "container:lc-base"], "ls /dev/shm", "shared"),
        (["--network", "container:lc-base"], "hostname", "base"),
        (["--device", "/dev/null:/dev/nothing"], "echo x > /dev/nothing && echo written", "written"),
        (["--ulimit", "nofile=100:200"], "ulimit -Sn; ulimit -Hn", "100\n200"),
        (["--sysctl", "net.ipv4.ip_forward=1"], "cat /proc/sys/net/ipv4/ip_forward", "1"),
        (["--init"], "ps -o pid,args | grep -c '^ *1 .*init'", "1"),
        (["--read-only", "--tmpfs", "/x:size=1m"], "touch /x/y && ! touch /z 2>/dev/null && echo ok", "ok"),
        (["--group-add", "1234"], "id -G | tr ' ' '\\n' | grep 1234", "1234"),
        (["--domainname", "d.example", "-h", "h"], "cat /proc/sys/kernel/domainname", "d.example"),
        (["--oom-score-adj", "500"], "cat /proc/self/oom_score_adj", "500"),
        (["--log-opt", "mode=non-blocking", "--log-opt", "max-buffer-size=1m"], "echo ok", "ok"),
        (["--security-opt", "apparmor=unconfined", "--security-opt", "label=disable"], "echo ok", "ok"),
        (
            ["--userns", "host", "--isolation", "default", "--runtime", "runc", "--volume-driver", "local"],
            "echo ok",
            "ok",
        ),
        (["--stop-signal", "KILL", "--stop-timeout", "1", "--no-healthcheck"], "echo ok", "ok"),
    ],
)
def test_flags_of_run_do_what_they_say(cais: Engine, flags: list[str], script: str, output: str) -> None:
    if any("lc-base" in flag for flag in flags):
        base = ["--ipc", "shareable", "--hostname", "base", "busybox", "sh", "-c", "touch /dev/shm/shared; sleep 1000"]
        cais.docker_output("run", "-d", "--name", "lc-base", *base)
        wait_until(lambda: cais.docker("exec", "lc-base", "test", "-e", "/dev/shm/shared").returncode == 0)
    assert cais.docker_output("run", "--rm", *flags, "busybox", "sh", "-c", script) == output


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--gpus", "all"], 'could not select device driver "" with capabilities: [[gpu]]'),
        (
            ["--storage-opt", "size=1G"],
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
        ),
        (["--storage-opt", "foo=1"], "Unknown option foo"),
        (["--runtime", "foo"], "unknown or invalid runtime name: foo"),
        (["--isolation", "hyperv"], "invalid isolation \"hyperv\": linux only supports 'default'"),
        (["--log-driver", "foo"], 'error looking up logging plugin foo: plugin "foo" not found'),
        (["--log-opt", "mode=foo"], "logger: logging mode not supported: foo"),
        (["--pid", "container:lc-none"], "No such container: lc-none"),
        (["--tmpfs", "/x:foo"], 'invalid tmpfs option ["foo"]'),
        (
            ["--cpu-rt-period", "1000", "--cpu-rt-runtime", "2000"],
            "cpu real-time runtime cannot be higher than cpu real-time period",
        ),
    ],
)
def test_options_that_cannot_be_had_are_refused_in_docker_s_words(
    engine: Engine, flags: list[str], message: str
) -> None:
    done = engine.docker("run", "--rm", *flags, "busybox", "true")
    assert done.returncode == 125
    assert done.stderr.splitlines()[0] == f"docker: Error response from daemon: {message}"


KERNEL_MEMORY = (
    "WARNING: Your kernel does not support kernel memory limit capabilities or the cgroup is not mounted. "
    "Limitation discarded."
)


def test_what_the_engine_warns_of_is_said_once(cais: Engine) -> None:
    told = cais.docker("run", "--rm", "--oom-kill-disable", "busybox", "true").stderr
    assert told.startswith("WARNING: OOM killer is disabled for the container, but no memory limit is set")
    cais.client = "docker"
    assert told == cais.docker("run", "--rm", "--oom-kill-disable", "busybox", "true").stderr


def test_a_limit_of_kernel_memory_is_discarded_and_said_so(cais: Engine) -> None:
    done = cais.docker("run", "--rm", "--kernel-memory", "10m", "--disable-content-trust", "busybox", "echo", "ok")
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", KERNEL_MEMORY + "\n")


WINDOWS = (
    '"{flag}" is only supported on a Docker daemon running on windows, but the Docker daemon is running on linux\n'
)


@pytest.mark.parametrize(
    "flags",
    [["--cpu-count", "1"], ["--cpu-percent", "10"], ["--io-maxiops", "10"], ["--io-maxbandwidth", "1m"]],
    ids=lambda flags: flags[0],
)
@pytest.mark.parametrize("verb", ["run", "create"])
def test_flags_of_windows_are_refused_in_docker_s_words(engine: Engine, verb: str, flags: list[str]) -> None:
    done = engine.docker(verb, *flags, "busybox", "true")
    assert (done.returncode, done.stderr) == (1, WINDOWS.format(flag=flags[0]))


def test_starting_from_a_checkpoint_is_refused_in_docker_s_words(engine: Engine) -> None:
    engine.docker_output("create", "--name", "lc-checkpoint", "busybox", "true")
    for flag in ("--checkpoint", "--checkpoint-dir"):
        done = engine.docker("start", flag, "/x", "lc-checkpoint")
        expected = f'"{flag}" is only supported on a Docker daemon with experimental features enabled\n'
        assert (done.returncode, done.stderr) == (1, expected)


def test_what_this_engine_cannot_do_is_refused(cais: Engine) -> None:
    for flag, message in (
        ("--use-api-socket", "--use-api-socket is not supported: mount the engine's socket with --volume instead"),
        ("--disable-content-trust=false", "--disable-content-trust=false is not supported: there is no content trust"),
    ):
        for verb in ("run", "create"):
            done = cais.docker(verb, flag, "busybox", "true")
            assert (done.returncode, done.stderr) == (1, message + "\n")


def test_a_real_time_period_reaches_the_control_group(cais: Engine) -> None:
    path = "/sys/fs/cgroup/cpu/cpu.rt_period_us"
    if not Path(path).exists():
        done = cais.docker("run", "--rm", "--cpu-rt-period", "500000", "busybox", "true")
        assert "real-time scheduling is not possible on this host" in done.stderr
        return
    assert cais.docker_output("run", "--rm", "--cpu-rt-period", "500000", "busybox", "cat", path) == "500000"
