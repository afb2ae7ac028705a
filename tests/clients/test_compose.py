"""`cais compose` at work, and Docker Compose with it: both manage each other's projects."""

import json
import os
import re
import signal
import time

import pytest

from tests.harness.compose import Project
from tests.harness.engine import wait_until

TWO = """
services:
  web:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    volumes: [data:/data]
    depends_on: [db]
  db:
    image: busybox
    command: sh -c 'echo ready; exec sleep 1000'
    stop_grace_period: 0s
    environment: {COLOUR: red}
volumes: {data: }
"""


def _inspected(project: Project, kind: str, name: str, field: str) -> object:
    found: object = json.loads(project.engine.docker_output(kind, "inspect", "-f", f"{{{{json {field}}}}}", name))
    return found


def _without_empty(settings: object) -> dict[str, object]:
    assert isinstance(settings, dict)
    return {name: value for name, value in settings.items() if value not in (None, False, 0, "", [], {})}


def test_up_makes_what_docker_compose_would_make(project: Project) -> None:
    project.write(TWO)
    made = {}
    for program in ("docker", "cais"):
        project.good("up", "-d", program=program)
        made[program] = [
            _without_empty(_inspected(project, "container", f"{project.name}-web-1", ".HostConfig")),
            _without_empty(_inspected(project, "container", f"{project.name}-db-1", ".HostConfig")),
            _inspected(project, "container", f"{project.name}-db-1", ".Config.Env"),
            _inspected(project, "container", f"{project.name}-db-1", ".Config.Cmd"),
            _inspected(project, "container", f"{project.name}-web-1", ".Config.Labels"),
            _inspected(project, "container", f"{project.name}-db-1", ".Config.Labels"),
            _inspected(project, "network", f"{project.name}_default", ".Labels"),
            _inspected(project, "volume", f"{project.name}_data", ".Labels"),
        ]
        project.good("down", "-v", program=program)
    assert made["cais"] == made["docker"]


def test_each_program_finds_nothing_to_change_in_what_the_other_has_made(project: Project) -> None:
    project.write(TWO)
    project.good("up", "-d")
    before = project.containers()
    project.good("up", "-d", program="docker")
    assert project.containers() == before
    project.good("down", "-v", program="docker")
    assert project.containers() == {}
    project.good("up", "-d", program="docker")
    before = project.containers()
    done = project.run("up", "-d")
    assert done.returncode == 0
    assert f"Container {project.name}-db-1 Running" in done.stderr
    assert project.containers() == before
    project.good("down")


def test_only_what_has_changed_is_made_anew(project: Project) -> None:
    project.write(TWO)
    project.good("up", "-d")
    before = project.containers()
    project.write(TWO.replace("red", "blue"))
    done = project.run("up", "-d")
    assert f"Container {project.name}-db-1 Recreated" in done.stderr
    after = project.containers()
    assert after["web-1"] == before["web-1"]
    assert after["db-1"] != before["db-1"]
    assert project.good("exec", "db", "sh", "-c", "echo $COLOUR") == "blue\n"
    project.good("up", "-d", "--force-recreate", "web")
    assert project.containers()["web-1"] != after["web-1"]
    project.write(TWO.replace("red", "green"))
    project.good("up", "-d", "--no-recreate")
    assert project.good("exec", "db", "sh", "-c", "echo $COLOUR") == "blue\n"


def test_scale_adds_and_removes_containers(project: Project) -> None:
    project.write(TWO)
    project.good("up", "-d", "--scale", "db=3")
    assert project.running() == ["db-1", "db-2", "db-3", "web-1"]
    project.good("scale", "db=1")
    assert project.running() == ["db-1", "web-1"]
    assert project.run("up", "-d", "--scale", "nope=2").returncode == 1


def test_a_volume_outlives_down_and_goes_with_v(project: Project) -> None:
    project.write(TWO)
    project.good("up", "-d")
    project.good("exec", "web", "sh", "-c", "echo kept > /data/file")
    project.good("down")
    project.good("up", "-d")
    assert project.good("exec", "web", "cat", "/data/file") == "kept\n"
    project.good("down", "-v")
    project.good("up", "-d")
    assert project.run("exec", "web", "cat", "/data/file").returncode == 1


def test_a_service_reaches_another_by_its_name(project: Project) -> None:
    project.write(
        "services:\n"
        "  server: {image: busybox, command: sh -c 'mkdir /w; echo served > /w/index.html; exec httpd -f -h /w', "
        "stop_grace_period: 0s}\n"
        "  client: {image: busybox, command: sleep 1000, depends_on: [server], stop_grace_period: 0s}\n"
    )
    project.good("up", "-d")

    def answers() -> bool:
        return project.run("exec", "client", "wget", "-qO-", "http://server/").stdout == "served\n"

    wait_until(answers, 10)


def test_conditions_of_depends_on_are_waited_for(project: Project) -> None:
    project.write(
        """
services:
  app:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    depends_on:
      prepared: {condition: service_completed_successfully}
      healthy: {condition: service_healthy}
  prepared: {image: busybox, command: sleep 1}
  healthy:
    image: busybox
    command: sh -c 'sleep 1; touch /ok; exec sleep 1000'
    stop_grace_period: 0s
    healthcheck: {test: test -e /ok, interval: 200ms, retries: 50}
"""
    )
    begun = time.monotonic()
    done = project.run("up", "-d")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begun > 1
    assert f"Container {project.name}-healthy-1 Healthy" in done.stderr
    assert f"Container {project.name}-prepared-1 Exited" in done.stderr
    assert project.running() == ["app-1", "healthy-1"]


@pytest.mark.parametrize(
    ("command", "condition", "said"),
    [
        ("exit 3", "service_completed_successfully", "didn't complete successfully: exit 3"),
        ("exit 3", "service_healthy", "dependency failed to start: container"),
        ("sleep 1000", "service_healthy", "has no healthcheck configured"),
    ],
)
def test_a_dependency_that_fails_fails_up(project: Project, command: str, condition: str, said: str) -> None:
    project.write(
        "services:\n"
        f"  app: {{image: busybox, command: 'true', depends_on: {{bad: {{condition: {condition}}}}}}}\n"
        f"  bad: {{image: busybox, command: sh -c '{command}', stop_grace_period: 0s}}\n"
    )
    done = project.run("up", "-d")
    assert done.returncode == 1
    assert said in done.stderr
    assert "app-1" not in project.running()


def test_wait_waits_until_all_are_healthy_and_fails_when_one_ends(project: Project) -> None:
    project.write(TWO)
    project.good("up", "-d", "--wait")
    project.write("services: {a: {image: busybox, command: 'sh -c \"exit 4\"'}}\n")
    done = project.run("up", "-d", "--wait", "--remove-orphans")
    assert done.returncode == 1
    assert f"container {project.name}-a-1 exited (4)" in done.stderr


LOUD = """
services:
  first: {image: busybox, command: sh -c 'echo one; echo two >&2; sleep 1; exit 3'}
  second: {image: busybox, command: sh -c 'echo begun; exec sleep 1000', stop_grace_period: 0s}
"""


def test_attached_up_shows_each_line_with_the_name_of_its_container(project: Project) -> None:
    project.write(LOUD)
    done = project.run("up", "--abort-on-container-exit")
    assert done.returncode == 3
    assert "first-1   | one\n" in done.stdout
    assert "second-1  | begun\n" in done.stdout
    assert "first-1   | two\n" in done.stderr
    assert "first-1 exited with code 3" in done.stdout
    assert project.running() == []
    assert project.run("up", "--exit-code-from", "second", "--no-log-prefix").returncode == 137


def test_ctrl_c_stops_in_order_and_a_second_one_kills(project: Project) -> None:
    project.write(
        "services:\n"
        "  a: {image: busybox, command: sh -c 'trap \"\" TERM; echo begun; sleep 1000 & wait; wait', "
        "stop_grace_period: 30s}\n"
    )
    running = project.start("up")
    assert running.stdout is not None
    wait_until(lambda: project.running() == ["a-1"], 20)
    time.sleep(0.5)
    running.send_signal(signal.SIGINT)
    time.sleep(1)
    assert running.poll() is None
    running.send_signal(signal.SIGINT)
    output = running.communicate(timeout=20)[0].decode()
    assert running.returncode == 130
    assert "Gracefully Stopping... press Ctrl+C again to force" in output
    assert project.running() == []


def test_logs_of_all_or_of_some(project: Project) -> None:
    project.write(LOUD)
    project.good("up", "-d")
    wait_until(lambda: "begun" in project.run("logs").stdout, 10)
    done = project.run("logs", "first")
    assert sorted((done.stdout + done.stderr).splitlines()) == ["first-1  | one", "first-1  | two"]
    assert project.good("logs", "--no-log-prefix", "--tail", "1", "second") == "begun\n"
    assert project.run("-f", "compose.yaml", "logs", "nope").stderr == "no such service: nope\n"


def test_exec_and_run(project: Project) -> None:
    project.write(TWO)
    project.good("up", "-d")
    assert project.good("exec", "-e", "X=1", "db", "sh", "-c", "echo $X $COLOUR") == "1 red\n"
    assert project.run("exec", "db", "sh", "-c", "exit 7").returncode == 7
    assert project.good("run", "--rm", "-e", "COLOUR=blue", "db", "sh", "-c", "echo $COLOUR") == "blue\n"
    assert project.run("run", "--rm", "--no-deps", "web", "sh", "-c", "exit 9").returncode == 9
    identity = project.good("run", "-d", "--name", f"{project.name}-one-off", "db", "sleep", "1000").strip()
    assert project.labels(identity)["com.docker.compose.oneoff"] == "True"
    assert project.running() == ["db-1", "web-1"]
    project.engine.docker_output("rm", "-f", identity)


def test_stop_start_restart_kill_pause_and_rm(project: Project) -> None:
    project.write(TWO)
    project.good("up", "-d")
    done = project.run("stop")
    lines = done.stderr.splitlines()
    web, db = f" Container {project.name}-web-1", f" Container {project.name}-db-1"
    assert lines.index(f"{web} Stopped ") < lines.index(f"{db} Stopping ")
    assert project.running() == []
    done = project.run("start")
    lines = done.stderr.splitlines()
    assert lines.index(f"{db} Started ") < lines.index(f"{web} Starting ")
    project.good("pause", "db")
    assert project.good("ps", "--status", "paused", "--format", "{{.Service}}") == "db\n"
    project.good("unpause", "db")
    project.good("restart", "-t", "0", "db")
    assert project.running() == ["db-1", "web-1"]
    project.good("kill", "web")
    assert project.running() == ["db-1"]
    project.good("rm", "-f")
    assert sorted(project.containers()) == ["db-1"]
    project.good("rm", "-fs", "db")
    assert project.containers() == {}


def test_secrets_and_configs_are_files_in_the_container(project: Project) -> None:
    (project.folder / "secret.txt").write_text("from a file")
    project.write(
        """
services:
  a:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    secrets: [filed, {source: given, target: /run/given, mode: 0400}]
    configs: [inline, {source: inline, target: /etc/deep/app.conf}]
secrets:
  filed: {file: ./secret.txt}
  given: {environment: PATH}
configs:
  inline: {content: "a ${UNSET:-b}"}
"""
    )
    project.good("up", "-d")
    assert project.good("exec", "a", "cat", "/run/secrets/filed") == "from a file"
    assert project.good("exec", "a", "cat", "/run/given") == os.environ["PATH"]
    assert project.good("exec", "a", "cat", "/inline") == "a b"
    assert project.good("exec", "a", "cat", "/etc/deep/app.conf") == "a b"
    assert project.good("exec", "a", "stat", "-c", "%a", "/run/given") == "400\n"


def test_hooks_are_executed_after_the_start_and_before_the_end(project: Project) -> None:
    project.write(
        """
services:
  a:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    volumes: [data:/data]
    post_start: [{command: [sh, -c, "echo started $$X >> /data/log"], environment: {X: "1"}}]
    pre_stop: [{command: sh -c 'echo stopped >> /data/log'}]
volumes: {data: }
"""
    )
    project.good("up", "-d")
    project.good("-f", "compose.yaml", "stop")
    assert project.good("run", "--rm", "a", "cat", "/data/log") == "started 1\nstopped\n"


def test_orphans_are_named_and_removed_when_asked(project: Project) -> None:
    project.write(TWO)
    project.good("up", "-d")
    project.write("services: {web: {image: busybox, command: sleep 1000, stop_grace_period: 0s}}\n")
    assert f"Found orphan containers ({project.name}-db-1)" in project.run("up", "-d").stderr
    assert sorted(project.containers()) == ["db-1", "web-1"]
    project.good("up", "-d", "--remove-orphans")
    assert sorted(project.containers()) == ["web-1"]


def test_a_changed_network_is_made_anew_and_a_changed_volume_only_when_allowed(project: Project) -> None:
    text = TWO + "networks: {default: {labels: {v: '1'}}}\n"
    project.write(text.replace("volumes: {data: }", "volumes: {data: {labels: {v: '1'}}}"))
    project.good("up", "-d")
    project.good("exec", "web", "sh", "-c", "echo kept > /data/file")
    project.write(text.replace("volumes: {data: }", "volumes: {data: {labels: {v: '2'}}}").replace("v: '1'", "v: '3'"))
    done = project.run("up", "-d")
    assert f"Network {project.name}_default Removed" in done.stderr
    assert "exists but doesn't match configuration in compose file" in done.stdout
    assert project.good("exec", "web", "cat", "/data/file") == "kept\n"
    done = project.run("up", "-d", "--yes")
    assert f"Volume {project.name}_data Removed" in done.stderr
    assert project.run("exec", "web", "cat", "/data/file").returncode == 1


def test_what_wants_to_be_restarted_with_its_dependency_is(project: Project) -> None:
    text = TWO.replace("depends_on: [db]", "depends_on: {db: {condition: service_started, restart: true}}")
    project.write(text)
    project.good("up", "-d")
    before = project.engine.inspect(f"{project.name}-web-1")["State"]["StartedAt"].text
    project.write(text.replace("red", "blue"))
    project.good("up", "-d")
    between = project.engine.inspect(f"{project.name}-web-1")["State"]["StartedAt"].text
    assert between > before
    project.good("restart", "-t", "0", "db")
    assert project.engine.inspect(f"{project.name}-web-1")["State"]["StartedAt"].text > between


def test_external_resources_have_to_exist(project: Project) -> None:
    project.write(
        "services: {a: {image: busybox, command: 'true', networks: [n]}}\n"
        "networks: {n: {external: true, name: no-such}}\n"
    )
    assert "network no-such declared as external, but could not be found" in project.run("up", "-d").stderr
    project.write(
        "services: {a: {image: busybox, command: 'true', volumes: ['vol:/v']}}\nvolumes: {vol: {external: true}}\n"
    )
    assert 'external volume "vol" not found' in project.run("up", "-d").stderr


def test_lists_are_those_of_docker_compose(project: Project) -> None:
    project.write(TWO)
    project.good("up", "-d")
    for words in (
        ("ps", "--services"),
        ("ps", "-q"),
        ("images",),
        ("ls", "--filter", f"name={project.name}"),
        ("volumes",),
        ("ps", "--format", "{{.Name}} {{.Image}} {{.Command}} {{.State}} {{.ExitCode}} {{.Health}}"),
        ("top",),
        ("config", "--hash", "*"),
    ):
        ours, theirs = (project.good(*words, program=program) for program in ("cais", "docker"))
        assert _steady(ours) == _steady(theirs), words


def _steady(text: str) -> list[list[str]]:
    """The words of each line, but for what has changed when the other program looks: ages, and ps' use of a CPU."""
    masked = re.sub(r"(\d+ \w+|About an? \w+|Less than a second) ago", "AGE", text)
    masked = re.sub(r"\d+( +\d\d:\d\d +\S+ +\d\d:\d\d:\d\d )", r"CPU\1", masked)
    return [line.split() for line in masked.splitlines()]


def test_cp_copies_both_ways(project: Project) -> None:
    project.write(TWO)
    project.good("up", "-d")
    (project.folder / "file").write_text("copied")
    project.good("cp", "file", "web:/there")
    assert project.good("exec", "web", "cat", "/there") == "copied"
    project.good("cp", "web:/there", "back")
    assert (project.folder / "back").read_text() == "copied"


def test_published_ports_are_told(project: Project) -> None:
    project.write(
        "services: {a: {image: busybox, command: sleep 1000, ports: ['127.0.0.1:0:80'], stop_grace_period: 0s}}\n"
    )
    project.good("up", "-d")
    assert project.good("port", "a", "80").startswith("127.0.0.1:")
    assert "no port 81/tcp" in project.run("port", "a", "81").stderr


def test_watch_copies_what_changes(project: Project) -> None:
    source = project.folder / "src"
    source.mkdir()
    (source / "page").write_text("old")
    project.write(
        """
services:
  a:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    develop: {watch: [{path: ./src, action: sync, target: /app, ignore: ["*.tmp"], initial_sync: true}]}
"""
    )
    watching = project.start("watch")
    try:
        wait_until(lambda: project.run("exec", "a", "cat", "/app/page").stdout == "old", 20)
        (source / "page").write_text("newer")
        (source / "left.tmp").write_text("x")
        wait_until(lambda: project.run("exec", "a", "cat", "/app/page").stdout == "newer", 20)
        assert project.run("exec", "a", "cat", "/app/left.tmp").returncode == 1
        (source / "page").unlink()
        wait_until(lambda: project.run("exec", "a", "cat", "/app/page").returncode == 1, 20)
    finally:
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=20)


def test_what_is_not_there_is_named(project: Project) -> None:
    project.write(TWO)
    for words in (("up", "nope"), ("logs", "nope"), ("stop", "nope"), ("run", "nope"), ("build", "nope")):
        done = project.run("-f", "compose.yaml", *words)
        assert (done.returncode, done.stderr) == (1, "no such service: nope\n"), words
    assert project.run("exec", "web", "true").stderr == 'service "web" is not running\n'
    assert "unknown command: cais compose nope" in project.run("nope").stderr
    assert "unknown flag: --nope" in project.run("up", "--nope").stderr
    project.write(
        "services: {a: {image: busybox, pull_policy: never}, b: {image: no-such-image, pull_policy: never}}\n"
    )
    assert "no-such-image" in project.run("up", "-d").stderr
