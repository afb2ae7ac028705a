"""Run, exec, logs and the life of a container, by the real docker client and by our own command."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.harness.engine import Engine, wait_until

ID_LENGTH = 64


def test_run_shows_output_and_errors_apart_and_exits_with_the_container_s_status(engine: Engine) -> None:
    done = engine.docker("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)


def test_run_passes_standard_input_on_to_its_end(engine: Engine) -> None:
    done = engine.docker("run", "--rm", "-i", "busybox", "wc", "-c", stdin="x" * 300_000)
    assert done.stdout.strip() == "300000"


def test_closing_standard_input_leaves_the_output_open(engine: Engine) -> None:
    script = "cat >/dev/null; sleep 0.3; echo after the end of input"
    done = engine.docker("run", "--rm", "-i", "busybox", "sh", "-c", script, stdin="some\n")
    assert (done.stdout, done.returncode) == ("after the end of input\n", 0)


def test_output_comes_in_order_and_whole(engine: Engine) -> None:
    done = engine.docker("run", "--rm", "busybox", "seq", "1", "200000")
    assert done.stdout == "".join(f"{number}\n" for number in range(1, 200_001))


def test_binary_output_is_unchanged(engine: Engine) -> None:
    script = 'i=0; while [ $i -lt 256 ]; do printf "\\\\$(printf %o $i)"; i=$((i+1)); done'
    client = engine.docker_start("run", "--rm", "busybox", "sh", "-c", script)
    output, _ = client.communicate(timeout=30)
    assert output == bytes(range(256))


def test_output_shows_while_the_container_runs(engine: Engine) -> None:
    client = engine.docker_start("run", "--rm", "--name", "live", "busybox", "sh", "-c", "echo first; sleep 60")
    assert client.stdout is not None
    assert client.stdout.readline() == b"first\n"
    assert client.poll() is None
    engine.docker_output("kill", "live")
    assert client.wait(20) == 137
    client.communicate()


def test_run_removes_the_container_when_told_to(engine: Engine) -> None:
    engine.docker_output("run", "--rm", "--name", "brief", "busybox", "true")
    wait_until(lambda: engine.docker("inspect", "brief").returncode == 1)


@pytest.mark.parametrize(
    ("command", "status", "says"),
    [
        (["no-such-command"], 127, 'exec: "no-such-command": executable file not found in $PATH'),
        (["/no/such/file"], 127, "no such file or directory"),
        (["/etc/passwd"], 126, "permission denied"),
    ],
)
def test_a_command_that_cannot_run_gives_docker_s_status(
    engine: Engine, command: list[str], status: int, says: str
) -> None:
    done = engine.docker("run", "--rm", "busybox", *command)
    assert done.returncode == status
    assert says in done.stderr
    assert engine.containers() == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--pull", "never", "no-such-image:tag"], "No such image: no-such-image:tag"),
        (["--no-such-flag", "busybox"], "unknown flag: --no-such-flag"),
        (["-u", "nobody-here", "busybox"], "unable to find user nobody-here: no matching entries in passwd file"),
        (["--name", "not/good", "busybox"], "Invalid container name (not/good)"),
        (["--cap-add", "NOPE", "busybox"], 'unknown capability: "CAP_NOPE"'),
        (["-m", "1k", "busybox"], "inimum memory limit allowed is 6MB"),
        (["-v", "relative:also-relative", "busybox"], "invalid"),
    ],
)
def test_a_run_that_cannot_start_gives_125_and_leaves_nothing(engine: Engine, options: list[str], says: str) -> None:
    done = engine.docker("run", "--rm", *options, "true")
    assert done.returncode == 125
    assert says in done.stderr
    assert engine.containers() == []


def test_a_second_container_of_one_name_is_refused(engine: Engine) -> None:
    first = engine.docker_output("create", "--name", "taken", "busybox", "true")
    done = engine.docker("create", "--name", "taken", "busybox", "true")
    assert done.returncode == 1
    assert f'Conflict. The container name "/taken" is already in use by container "{first}"' in done.stderr


def test_run_detached_prints_the_id_and_ps_shows_it(engine: Engine) -> None:
    identity = engine.docker_output("run", "-d", "--name", "shown", "--label", "a=b", "busybox", "sleep", "100")
    assert len(identity) == ID_LENGTH
    (line,) = engine.docker_output("ps", "--no-trunc").splitlines()[1:]
    assert re.match(rf'{identity} +busybox +"sleep 100" +[^ ].* +Up .* +shown$', line)
    assert engine.docker_output("ps", "-q", "--filter", "label=a=b") == identity[:12]
    assert engine.docker_output("ps", "-q", "--filter", "label=a=c") == ""


def test_options_reach_the_process(engine: Engine) -> None:
    script = "echo $A; pwd; id -u; id -g; hostname; cat /etc/hostname"
    options = ["-e", "A=one two", "-w", "/made/here", "-u", "1000:1001", "--hostname", "box"]
    shown = engine.docker_output("run", "--rm", *options, "busybox", "sh", "-c", script)
    assert shown.splitlines() == ["one two", "/made/here", "1000", "1001", "box", "box"]


def test_the_entry_point_is_replaced(engine: Engine) -> None:
    assert engine.docker_output("run", "--rm", "--entrypoint", "/bin/echo", "busybox", "a", "b") == "a b"


def test_a_folder_of_the_host_is_bound(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "from-host").write_text("hello\n")
    command = ["busybox", "sh", "-c", "cat /mnt/x/from-host; echo back >/mnt/x/from-container"]
    assert engine.docker_output("run", "--rm", "-v", f"{tmp_path}:/mnt/x", *command) == "hello"
    assert (tmp_path / "from-container").read_text() == "back\n"


def test_a_folder_bound_read_only_cannot_be_written(engine: Engine, tmp_path: Path) -> None:
    done = engine.docker("run", "--rm", "-v", f"{tmp_path}:/mnt/x:ro", "busybox", "touch", "/mnt/x/file")
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert os.listdir(tmp_path) == []


def test_a_read_only_root_cannot_be_written(engine: Engine) -> None:
    done = engine.docker("run", "--rm", "--read-only", "busybox", "touch", "/x")
    assert (done.returncode, done.stderr) == (1, "touch: /x: Read-only file system\n")


def test_logs_tell_streams_apart_and_keep_their_last_lines(engine: Engine) -> None:
    script = "echo one; echo two; sleep 0.1; echo bad >&2; sleep 0.1; echo three"
    engine.docker_output("run", "-d", "--name", "talker", "busybox", "sh", "-c", script)
    engine.docker_output("wait", "talker")
    done = engine.docker("logs", "talker")
    assert (done.stdout, done.stderr) == ("one\ntwo\nthree\n", "bad\n")
    assert engine.docker("logs", "-n", "1", "talker").stdout == "three\n"
    stamped = engine.docker("logs", "-t", "talker").stdout.splitlines()
    assert [line.split(" ", 1)[1] for line in stamped] == ["one", "two", "three"]
    assert all(line[4] == "-" and "T" in line for line in stamped)


def test_followed_logs_end_with_the_container(engine: Engine) -> None:
    script = "for i in 1 2 3 4 5; do echo $i; sleep 0.1; done"
    engine.docker_output("run", "-d", "--name", "slow", "busybox", "sh", "-c", script)
    assert engine.docker("logs", "-f", "slow").stdout == "1\n2\n3\n4\n5\n"


def test_logs_of_a_line_without_its_end_are_kept(engine: Engine) -> None:
    engine.docker_output("run", "--name", "cut", "busybox", "printf", "no end")
    assert engine.docker("logs", "cut").stdout == "no end"


def test_exec_runs_beside_with_its_own_environment_user_and_folder(engine: Engine) -> None:
    engine.docker_output("run", "-d", "--name", "host", "-e", "A=b", "busybox", "sleep", "100")
    options = ["-e", "X=y", "-u", "7", "-w", "/tmp"]
    done = engine.docker("exec", *options, "host", "sh", "-c", "echo $A $X $(id -u) $(pwd); echo e >&2; exit 4")
    assert (done.stdout, done.stderr, done.returncode) == ("b y 7 /tmp\n", "e\n", 4)
    assert engine.docker("exec", "-i", "host", "wc", "-l", stdin="a\nb\n").stdout == "2\n"


@pytest.mark.parametrize(("command", "status"), [("no-such", 127), ("/etc/passwd", 126)])
def test_exec_of_what_cannot_run_gives_docker_s_status(engine: Engine, command: str, status: int) -> None:
    engine.docker_output("run", "-d", "--name", "host", "busybox", "sleep", "100")
    assert engine.docker("exec", "host", command).returncode == status


def test_exec_detached_goes_on_by_itself(engine: Engine) -> None:
    engine.docker_output("run", "-d", "--name", "host", "busybox", "sleep", "100")
    engine.docker_output("exec", "-d", "host", "sh", "-c", "sleep 0.2; touch /tmp/mark")
    wait_until(lambda: engine.docker("exec", "host", "test", "-f", "/tmp/mark").returncode == 0)


def test_exec_in_a_container_that_does_not_run_is_refused(engine: Engine) -> None:
    engine.docker_output("create", "--name", "idle", "busybox", "true")
    done = engine.docker("exec", "idle", "true")
    assert done.returncode == 1
    assert "is not running" in done.stderr


def test_top_shows_the_container_s_processes_alone(engine: Engine) -> None:
    engine.docker_output("run", "-d", "--name", "host", "busybox", "sleep", "4321")
    lines = engine.docker_output("top", "host").splitlines()
    assert lines[0].split()[0] == "UID"
    assert [line for line in lines[1:] if line.endswith("sleep 4321")] == lines[1:]
    assert len(lines) == 2


def test_start_attach_and_wait(engine: Engine) -> None:
    engine.docker_output("create", "-i", "--name", "reader", "busybox", "sh", "-c", "read x; echo got $x; exit 3")
    done = engine.docker("start", "-a", "-i", "reader", stdin="word\n")
    assert (done.stdout, done.returncode) == ("got word\n", 3)
    assert engine.docker_output("wait", "reader") == "3"


def test_attach_takes_part_in_what_comes(engine: Engine) -> None:
    engine.docker_output("run", "-d", "-i", "--name", "echo", "busybox", "cat")
    attached = engine.docker_start("attach", "echo", stdin=subprocess.PIPE)
    assert attached.stdin is not None
    assert attached.stdout is not None
    attached.stdin.write(b"hello\n")
    attached.stdin.flush()
    assert attached.stdout.readline() == b"hello\n"
    attached.stdin.close()
    # The input of a container that was started detached outlives its clients.
    assert engine.inspect("echo")["State"]["Running"].flag
    engine.docker_output("kill", "echo")
    attached.wait(20)
    attached.stdout.close()


def test_two_attached_clients_see_the_same(engine: Engine) -> None:
    engine.docker_output("run", "-d", "--name", "speaker", "busybox", "sh", "-c", "sleep 1; echo to all; sleep 0.2")
    clients = [engine.docker_start("attach", "speaker") for _ in range(2)]
    assert [client.communicate(timeout=30)[0] for client in clients] == [b"to all\n"] * 2


def test_stop_sends_term_and_the_container_may_answer_it(engine: Engine) -> None:
    script = 'trap "exit 3" TERM; echo up; while :; do sleep 0.1; done'
    engine.docker_output("run", "-d", "--name", "polite", "busybox", "sh", "-c", script)
    wait_until(lambda: "up" in engine.docker("logs", "polite").stdout)
    engine.docker_output("stop", "polite")
    assert engine.inspect("polite")["State"]["ExitCode"].number == 3


def test_stop_kills_what_does_not_listen(engine: Engine) -> None:
    script = 'trap "" TERM; echo up; while :; do sleep 0.1; done'
    engine.docker_output("run", "-d", "--name", "deaf", "busybox", "sh", "-c", script)
    wait_until(lambda: "up" in engine.docker("logs", "deaf").stdout)
    began = time.monotonic()
    engine.docker_output("stop", "-t", "1", "deaf")
    assert 0.9 < time.monotonic() - began < 8
    assert engine.inspect("deaf")["State"]["ExitCode"].number == 137


def test_kill_ends_at_once_with_137(engine: Engine) -> None:
    engine.docker_output("run", "-d", "--name", "victim", "busybox", "sleep", "100")
    engine.docker_output("kill", "victim")
    assert engine.docker_output("wait", "victim") == "137"


@pytest.mark.parametrize("name", ["USR1", "SIGUSR1", "10"])
def test_kill_sends_the_named_signal(engine: Engine, name: str) -> None:
    script = 'trap "exit 5" USR1; echo up; while :; do sleep 0.1; done'
    engine.docker_output("run", "-d", "--name", "listener", "busybox", "sh", "-c", script)
    wait_until(lambda: "up" in engine.docker("logs", "listener").stdout)
    engine.docker_output("kill", "-s", name, "listener")
    assert engine.docker_output("wait", "listener") == "5"


def test_kill_with_an_unknown_signal_is_refused(engine: Engine) -> None:
    engine.docker_output("run", "-d", "--name", "victim", "busybox", "sleep", "100")
    done = engine.docker("kill", "-s", "NOSUCH", "victim")
    assert done.returncode == 1
    assert "NOSUCH" in done.stderr


def test_a_running_container_is_removed_by_force_only(engine: Engine) -> None:
    engine.docker_output("run", "-d", "--name", "busy", "busybox", "sleep", "100")
    assert engine.docker("rm", "busy").returncode == 1
    assert engine.docker_output("rm", "-f", "busy") == "busy"
    assert "No such container: busy" in engine.docker("rm", "busy").stderr


def test_a_stopped_container_starts_again_with_its_files(engine: Engine) -> None:
    script = "test -f /mark && echo again; touch /mark"
    engine.docker_output("run", "--name", "twice", "busybox", "sh", "-c", script)
    assert engine.docker_output("start", "-a", "twice") == "again"


def test_inspect_has_what_was_asked_for(engine: Engine) -> None:
    options = ["--name", "full", "--label", "k=v", "-m", "64m", "--cpus", "0.5", "--pids-limit", "50", "-e", "A=b"]
    engine.docker_output("create", *options, "busybox", "sleep", "100")
    (shown,) = json.loads(engine.docker_output("inspect", "full"))
    assert shown["Name"] == "/full"
    assert shown["Path"] == "sleep"
    assert shown["Args"] == ["100"]
    assert shown["State"]["Status"] == "created"
    assert shown["Config"]["Labels"] == {"k": "v"}
    assert "A=b" in shown["Config"]["Env"]
    assert shown["HostConfig"]["Memory"] == 64 << 20
    assert shown["HostConfig"]["NanoCpus"] == 500_000_000
    assert shown["HostConfig"]["PidsLimit"] == 50


def test_containers_are_found_by_the_beginning_of_their_id(engine: Engine) -> None:
    identity = engine.docker_output("create", "busybox", "true")
    (shown,) = json.loads(engine.docker_output("inspect", identity[:7]))
    assert shown["Id"] == identity
    assert engine.docker("inspect", "0" * 20).returncode == 1


def test_many_arguments_and_odd_characters_arrive_unchanged(engine: Engine) -> None:
    odd = ["", " ", "'", '"', "$HOME", "\\n", "ünï", "--", "-x", "a" * 5000]
    command = ["busybox", "sh", "-c", 'for a; do echo "[$a]"; done', "sh", *odd]
    assert engine.docker_output("run", "--rm", *command).split("\n") == [f"[{text}]" for text in odd]


def test_version_and_info_answer(engine: Engine) -> None:
    assert re.search(r"^Server:(.*\n)+? +OS/Arch: +linux/", engine.docker_output("version"), re.MULTILINE)
    assert re.search(r"^ *Storage Driver: overlay2$", engine.docker_output("info"), re.MULTILINE)
