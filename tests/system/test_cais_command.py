"""The cais command on a real engine."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.harness.engine import Daemon, wait_until
from tests.harness.terminal import Terminal

DETACH = "\x10\x11"  # ctrl-p ctrl-q
PROMPT = "/ # "


PROGRAM = [sys.executable, "-m", "cais.cli"]


def _cais(caisd: Daemon, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*PROGRAM, *arguments],
        input=stdin,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=caisd.environment(),
    )


def _terminal(caisd: Daemon, *arguments: str, rows: int = 24, columns: int = 80) -> Terminal:
    environment = caisd.environment() | {"TERM": "xterm"}
    return Terminal([*PROGRAM, *arguments], environment, rows=rows, columns=columns)


def _output(caisd: Daemon, *arguments: str, stdin: str = "") -> str:
    done = _cais(caisd, *arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _sleeper(caisd: Daemon, name: str) -> str:
    return _output(caisd, "run", "-d", "--name", name, "busybox", "sleep", "1000").strip()


def test_run_shows_both_outputs_and_ends_with_the_status(caisd: Daemon) -> None:
    done = _cais(caisd, "run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)
    assert caisd.containers() == []


def test_run_passes_input_on_to_its_end(caisd: Daemon) -> None:
    assert _output(caisd, "run", "--rm", "-i", "busybox", "wc", "-c", stdin="x" * 300_000) == "300000\n"


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("no-such", 127, 'exec: "no-such": executable file not found in $PATH'),
        ("/etc/passwd", 126, 'exec: "/etc/passwd": permission denied'),
    ],
)
def test_what_cannot_be_run_leaves_nothing(caisd: Daemon, command: str, status: int, message: str) -> None:
    done = _cais(caisd, "run", "--rm", "busybox", command)
    assert done.returncode == status
    assert message in done.stderr
    assert done.stderr.startswith("cais: Error response from daemon: ")
    assert done.stderr.endswith("\n\nRun 'cais run --help' for more information\n")
    assert caisd.containers() == []


def test_a_million_lines_come_complete_and_in_order(caisd: Daemon) -> None:
    script = "yes 0123456789012345678901234567890123456789 | head -n 1000000"
    output = _output(caisd, "run", "--rm", "busybox", "sh", "-c", script)
    expected = (b"0123456789" * 4 + b"\n") * 1_000_000
    assert hashlib.sha256(output.encode()).digest() == hashlib.sha256(expected).digest()


def test_a_container_goes_through_its_life(caisd: Daemon) -> None:
    created = _output(caisd, "create", "--name", "one", "busybox", "sh", "-c", "echo hello; exec sleep 1000").strip()
    assert len(created) == 64
    assert "Created" in _output(caisd, "ps", "-a", "--filter", "name=one")
    assert _output(caisd, "start", "one") == "one\n"
    wait_until(lambda: _output(caisd, "logs", "one") == "hello\n")
    assert _output(caisd, "ps", "-q") == f"{created[:12]}\n"
    assert "sleep 1000" in _output(caisd, "top", "one")
    assert _cais(caisd, "rm", "one").returncode == 1
    assert _output(caisd, "stop", "-t", "0", "one") == "one\n"
    assert _output(caisd, "wait", "one") == "137\n"
    assert _output(caisd, "rm", "one") == "one\n"
    assert _cais(caisd, "rm", "one").stderr == "Error response from daemon: No such container: one\n"


def test_exec_ends_with_the_status_of_its_command(caisd: Daemon) -> None:
    _sleeper(caisd, "one")
    done = _cais(
        caisd, "exec", "-e", "X=y", "-w", "/tmp", "-u", "7", "one", "sh", "-c", "echo $X $(id -u) $(pwd); exit 4"
    )
    assert (done.stdout, done.returncode) == ("y 7 /tmp\n", 4)
    assert _output(caisd, "exec", "-i", "one", "cat", stdin="a\nb\n") == "a\nb\n"
    assert _output(caisd, "exec", "-d", "one", "touch", "/tmp/mark") == ""
    wait_until(lambda: _cais(caisd, "exec", "one", "test", "-f", "/tmp/mark").returncode == 0)


def test_start_attaches(caisd: Daemon) -> None:
    _output(caisd, "create", "--name", "one", "-i", "busybox", "sh", "-c", "cat; exit 5")
    done = _cais(caisd, "start", "-ai", "one", stdin="typed\n")
    assert (done.stdout, done.returncode) == ("typed\n", 5)


def test_inspect_is_indented_and_an_array(caisd: Daemon) -> None:
    _sleeper(caisd, "one")
    text = _output(caisd, "inspect", "one", "busybox")
    assert text.startswith('[\n    {\n        "Id": "')
    assert text.endswith("\n    }\n]\n")


def test_images_are_tagged_listed_and_removed(caisd: Daemon) -> None:
    assert _output(caisd, "tag", "busybox", "copy:1") == ""
    lines = _output(caisd, "images", "copy").splitlines()
    assert lines[0].split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert lines[1].startswith("copy         1         ")
    assert _output(caisd, "images", "-q", "copy:1") == _output(caisd, "images", "-q", "busybox")
    assert _output(caisd, "rmi", "copy:1") == "Untagged: copy:1\n"


def test_an_archive_is_imported_and_runs(caisd: Daemon, tmp_path: Path) -> None:
    archive = tmp_path / "root.tar"
    with subprocess.Popen(["tar", "-cf", str(archive), "-C", "/", "bin/busybox"]) as tar:
        assert tar.wait() == 0
    try:
        imported = _output(caisd, "import", "-c", 'ENTRYPOINT ["/bin/busybox"]', str(archive), "own:1")
        assert imported.startswith("sha256:")
        assert _output(caisd, "run", "--rm", "own:1", "echo", "hi") == "hi\n"
    finally:
        _cais(caisd, "rmi", "own:1")


def test_a_terminal_works_in_both_directions(caisd: Daemon) -> None:
    with _terminal(caisd, "run", "--rm", "-it", "busybox", rows=31, columns=117) as terminal:
        terminal.expect(PROMPT)
        terminal.send("while [ \"$(stty size)\" != '31 117' ]; do sleep 0.1; done; echo size is $((31)) 117\r")
        terminal.expect("\nsize is 31 117\r\n")
        terminal.resize(43, 99)
        terminal.send("while [ \"$(stty size)\" != '43 99' ]; do sleep 0.1; done; echo size is $((43)) 99\r")
        terminal.expect("\nsize is 43 99\r\n")
        # The words are broken in what is typed, which is shown too.
        script = "trap \"echo inter''rupted; exit\" INT; echo rea''dy; while :; do sleep 0.1; done"
        terminal.send(f"({script})\r")
        terminal.expect("ready\r\n")
        terminal.send("\x03")
        terminal.expect("interrupted\r\n")
        terminal.expect(PROMPT)
        terminal.send("exit 3\r")
        assert terminal.wait() == 3


def test_the_detach_keys_leave_the_container_running_and_attach_returns(caisd: Daemon) -> None:
    with _terminal(caisd, "run", "-it", "--name", "one", "busybox") as terminal:
        terminal.expect(PROMPT)
        terminal.send(DETACH)
        assert terminal.wait() == 0
    with _terminal(caisd, "attach", "one") as terminal:
        terminal.send("echo back $((40 + 2))\r")
        terminal.expect("back 42\r\n")
        terminal.send("exit 6\r")
        assert terminal.wait() == 6


def test_the_terminal_is_as_before_after_every_end(caisd: Daemon) -> None:
    environment = caisd.environment() | {"TERM": "xterm", "PATH": os.environ["PATH"]}
    script = f"""
        stty -g > {caisd.root}/before
        {sys.executable} -m cais.cli run --rm -it busybox true
        {sys.executable} -m cais.cli run --rm -it busybox no-such-command
        {sys.executable} -m cais.cli exec -it no-such-container sh
        stty -g > {caisd.root}/after
        cmp {caisd.root}/before {caisd.root}/after && echo un''changed
    """
    with Terminal(["/bin/sh", "-c", script], environment) as terminal:
        terminal.expect("unchanged", 60)
        assert terminal.wait() == 0


def test_signals_reach_the_container(caisd: Daemon) -> None:
    script = 'trap "echo got it; exit 9" USR1; echo up; while :; do sleep 0.1; done'
    command = [*PROGRAM, "run", "--rm", "busybox", "sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=caisd.environment()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(10)
        assert process.stdout.readline() == "got it\n"
        assert process.wait(20) == 9


def test_a_reader_that_leaves_ends_the_command_quietly(caisd: Daemon) -> None:
    _output(caisd, "run", "--name", "one", "busybox", "sh", "-c", "yes | head -n 100000")
    command = f"{sys.executable} -m cais.cli logs one | head -n 1"
    done = subprocess.run(
        ["/bin/sh", "-c", command], check=True, capture_output=True, text=True, env=caisd.environment(), timeout=30
    )
    assert (done.stdout, done.stderr) == ("y\n", "")


def test_a_run_survives_the_death_of_the_daemon(private_caisd: Daemon) -> None:
    script = "echo up; sleep 3; echo done; exit 7"
    command = [*PROGRAM, "run", "--rm", "busybox", "sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=private_caisd.environment()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        private_caisd.kill()
        private_caisd.start()
        assert process.stdout.readline() == "done\n"
        assert process.wait(20) == 7


def test_events_tell_what_happened(caisd: Daemon) -> None:
    _output(caisd, "run", "--rm", "--name", "told", "busybox", "true")
    text = _output(caisd, "events", "--since", "1m", "--until", f"{time.time():.9f}", "--filter", "container=told")
    actions = [line.split()[2] for line in text.splitlines()]
    assert [action for action in actions if action in {"create", "start", "die", "destroy"}] == [
        "create",
        "start",
        "die",
        "destroy",
    ]
