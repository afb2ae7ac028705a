"""What the cais command shows of a real engine: lists, templates, events, contexts, completion."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.harness.engine import Daemon, wait_until


@pytest.fixture
def cais(caisd: Daemon) -> Iterator[Daemon]:
    """The session's caisd, whose `docker…` methods run our own command."""
    caisd.client = "cais"
    yield caisd
    caisd.client = "docker"


@pytest.fixture
def three(cais: Daemon) -> Daemon:
    """Containers: one runs, one has ended, one was never started."""
    cais.docker_output(
        "run", "-d", "--name", "up", "--label", "team=core", "--label", "n=1", "busybox", "sleep", "1000"
    )
    cais.docker("run", "--name", "down", "--label", "n=2", "busybox", "sh", "-c", "exit 3")
    cais.docker_output("create", "--name", "new", "--label", "n=3", "busybox", "true")
    return cais


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ([], "up"),
        (["-a"], "new down up"),
        (["-l"], "new"),
        (["-n", "2"], "new down"),
        (["-a", "-f", "name=n"], "new down"),
        (["-a", "-f", "status=exited", "-f", "status=created"], "new down"),
        (["-a", "-f", "exited=3"], "down"),
        (["-a", "-f", "label=team"], "up"),
        (["-a", "-f", "label=n=2"], "down"),
        (["-a", "-f", "ancestor=busybox", "-f", "status=running"], "up"),
        (["-a", "-f", "before=new", "-f", "since=up"], "down"),
        (["-a", "-f", "name=nothing"], ""),
    ],
)
def test_filters_choose_containers(three: Daemon, flags: list[str], names: str) -> None:
    assert three.docker_output("container", "ls", *flags, "--format", "{{.Names}}").split() == names.split()


def test_every_form_of_ps_is_the_same(three: Daemon) -> None:
    lists = {three.docker_output(*words, "-aq") for words in (["ps"], ["container", "ls"], ["container", "list"])}
    assert len(lists) == 1


def test_columns_are_filled(three: Daemon) -> None:
    columns = '{{.ID}}|{{.Image}}|{{.Command}}|{{.State}}|{{.Label "team"}}|{{.LocalVolumes}}|{{.Names}}'
    shown = three.docker_output("ps", "--no-trunc", "--format", columns)
    identity = three.inspect("up")["Id"].text
    assert shown == f'{identity}|busybox|"sleep 1000"|running|core|0|up'
    assert three.docker_output("ps", "--format", "{{.Status}} {{.RunningFor}}").startswith("Up ")
    table = three.docker_output("ps", "--format", "table {{.Names}}\\t{{upper .State}}\\t{{.Labels}}")
    assert table.splitlines() == ["NAMES     STATE     LABELS", "up        RUNNING   n=1,team=core"]


def test_sizes_are_shown(three: Daemon) -> None:
    three.docker_output("exec", "up", "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=3")
    assert "(virtual " in three.docker_output("ps", "-s")
    assert three.docker_output("ps", "--format", "{{.Size}}").startswith("3.15MB (virtual ")


def test_inspect_applies_templates(three: Daemon) -> None:
    template = '{{.Name}} {{.State.Status}} {{.State.ExitCode}} {{index .Config.Labels "n"}} {{len .Config.Cmd}}'
    assert three.docker_output("inspect", "-f", template, "up", "down").splitlines() == [
        "/up running 0 1 2",
        "/down exited 3 2 3",
    ]
    done = three.docker("inspect", "-f", "{{.Name}}", "up", "nothing")
    assert (done.returncode, done.stdout, done.stderr) == (1, "/up\n", "Error: No such object: nothing\n")
    assert three.docker("inspect", "-f", "{{.Name", "up").returncode == 64
    assert int(three.docker_output("inspect", "-s", "-f", "{{.SizeRootFs}}", "up")) > 0


def test_version_and_info_apply_templates(cais: Daemon) -> None:
    assert cais.docker_output("version", "-f", "{{.Server.Os}} {{.Client.Context}}") == "linux default"
    assert cais.docker_output("info", "-f", "{{.OSType}} {{.Driver}} {{.ContainersRunning}}") == "linux overlay2 0"
    assert json.loads(cais.docker_output("info", "-f", "{{json .Plugins}}"))["Log"]
    assert cais.docker_output("system", "info", "-f", "{{.OSType}}") == "linux"


def test_images_apply_templates(cais: Daemon) -> None:
    assert cais.docker_output("images", "--format", "{{.Repository}}:{{.Tag}}", "busybox") == "busybox:latest"
    assert cais.docker_output("image", "ls", "--format", "table {{.Tag}}", "busybox") == "TAG\nlatest"


def test_events_are_followed_while_they_happen(cais: Daemon) -> None:
    flags = [
        "--filter",
        "container=heard",
        "--filter",
        "event=die",
        "--format",
        "{{.Action}} {{.Actor.Attributes.exitCode}}",
    ]
    with cais.docker_start("system", "events", *flags) as client:
        assert client.stdout is not None
        time.sleep(0.3)
        cais.docker("run", "--rm", "--name", "other", "busybox", "true")
        cais.docker("run", "--rm", "--name", "heard", "busybox", "sh", "-c", "exit 6")
        assert client.stdout.readline() == b"die 6\n"
        client.kill()
        client.communicate()


def test_containers_are_restarted(three: Daemon) -> None:
    before = three.inspect("up")["State"]["StartedAt"].text
    done = three.docker("restart", "-t", "0", "up", "nothing", "down")
    assert (done.returncode, done.stdout) == (1, "up\ndown\n")
    assert done.stderr == "Error response from daemon: No such container: nothing\n"
    assert three.inspect("up")["State"]["StartedAt"].text > before
    assert three.docker_output("wait", "down") == "3"


def test_several_containers_are_stopped_at_the_same_time(cais: Daemon) -> None:
    names = ["s1", "s2", "s3"]
    for name in names:  # which don't care for SIGTERM
        cais.docker_output("run", "-d", "--name", name, "busybox", "sleep", "1000")
    started = time.monotonic()
    assert cais.docker_output("stop", "-t", "2", *names).split() == names
    assert time.monotonic() - started < 2 * len(names) - 1
    assert cais.docker_output("container", "ls", "-q") == ""


def test_a_context_leads_to_the_engine(three: Daemon) -> None:
    without = {"CAIS_HOST": ""}

    def cais(*arguments: str) -> str:
        words = ["-m", "cais.cli", *arguments]
        done = three._run([three.command_line()[0], *words], None, 60, without)
        assert done.returncode == 0, done.stderr
        return done.stdout

    cais("context", "create", "here", "--docker", f"host={three.host}")
    try:
        assert cais("-c", "here", "ps", "--format", "{{.Names}}") == "up\n"
        cais("context", "use", "here")
        assert cais("ps", "--format", "{{.Names}}") == "up\n"
        assert cais("context", "show") == "here\n"
        # Docker's own command knows it, too.
        words = ["docker", "context", "ls", "--format", "{{if .Current}}{{.Name}} {{.DockerEndpoint}}{{end}}"]
        assert three._run(words, None, 60, without).stdout.strip() == f"here {three.host}"
        assert three._run(["docker", "ps", "--format", "{{.Names}}"], None, 60, without).stdout == "up\n"
    finally:
        cais("context", "rm", "-f", "here")
    assert cais("context", "show") == "default\n"


def test_names_are_completed(three: Daemon) -> None:
    def answers(*words: str) -> list[str]:
        return three.docker_output("__complete", "--", *words).splitlines()

    assert answers("rm", "") == ["down", "new", "up", ":4"]
    assert answers("stop", "") == ["up", ":4"]
    assert answers("start", "") == ["down", "new", ":4"]
    assert answers("run", "busy") == ["busybox:latest", ":4"]


def test_a_mistake_is_answered_with_what_was_meant(cais: Daemon) -> None:
    done = cais.docker("run", "--networking", "none", "busybox")
    assert done.returncode == 125
    assert done.stderr.startswith("unknown flag: --networking\n\nDid you mean --network?\n\nUsage:  cais run ")
    done = cais.docker("contaner", "ls")
    assert done.returncode == 1
    assert "Did you mean container?" in done.stderr


def test_a_terminal_follows_logs_to_their_end(cais: Daemon) -> None:
    cais.docker_output("run", "-d", "--name", "heard", "busybox", "sh", "-c", "echo one; sleep 0.5; echo two")
    assert cais.docker_output("logs", "-f", "heard") == "one\ntwo"
    wait_until(lambda: cais.docker_output("ps", "-q") == "")
