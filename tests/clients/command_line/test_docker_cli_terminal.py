"""The same clients on a terminal: sizes, keys and detaching."""

from tests.harness.engine import Engine, wait_until
from tests.harness.terminal import Terminal

DETACH = "\x10\x11"  # ctrl-p ctrl-q
PROMPT = "/ # "


def _command(terminal: Terminal, typed: str, answer: str) -> None:
    terminal.send(f"{typed}\r")
    terminal.expect(f"{answer}\r\n")
    terminal.expect(PROMPT)


def test_a_shell_on_a_terminal_answers_and_ends_with_its_status(engine: Engine) -> None:
    with engine.docker_terminal("run", "--rm", "-it", "busybox") as terminal:
        terminal.expect(PROMPT)
        _command(terminal, "test -t 0 && test -t 1 && echo on a $(echo terminal)", "\non a terminal")
        _command(terminal, "tty", "\n/dev/pts/0")
        terminal.send("exit 3\r")
        assert terminal.wait() == 3


def test_the_terminal_has_the_size_of_the_client_s_and_follows_it(engine: Engine) -> None:
    with engine.docker_terminal("run", "--rm", "-it", "busybox", rows=31, columns=117) as terminal:
        terminal.expect(PROMPT)
        # The client sends the size after the start.
        terminal.send("while [ \"$(stty size)\" != '31 117' ]; do sleep 0.1; done; echo size is $((31)) 117\r")
        terminal.expect("\nsize is 31 117\r\n")
        terminal.resize(43, 99)
        terminal.send("while [ \"$(stty size)\" != '43 99' ]; do sleep 0.1; done; echo size is $((43)) 99\r")
        terminal.expect("\nsize is 43 99\r\n")
        terminal.send("exit\r")
        assert terminal.wait() == 0


def test_ctrl_c_interrupts_the_program_on_the_terminal(engine: Engine) -> None:
    with engine.docker_terminal("run", "--rm", "-it", "--name", "shell", "busybox") as terminal:
        terminal.expect(PROMPT)
        terminal.send("sleep 77\r")
        wait_until(lambda: "sleep 77" in engine.docker("top", "shell").stdout)
        terminal.send("\x03")
        terminal.expect(PROMPT)
        terminal.send("\x04")  # ctrl-d, the end of input
        terminal.wait()


def test_ctrl_c_ends_an_attached_run_without_a_terminal_in_the_container(engine: Engine) -> None:
    script = 'trap "echo interrupted; exit 9" INT; echo up; while :; do sleep 0.1; done'
    with engine.docker_terminal("run", "--rm", "busybox", "sh", "-c", script) as terminal:
        terminal.expect("up\r\n")
        terminal.send("\x03")
        terminal.expect("interrupted")
        assert terminal.wait() == 9


def test_the_detach_keys_leave_the_container_running_and_attach_returns_to_it(engine: Engine) -> None:
    with engine.docker_terminal("run", "-it", "--name", "kept", "busybox") as terminal:
        terminal.expect(PROMPT)
        _command(terminal, "kept=here; echo $kept", "\nhere")
        terminal.send(DETACH)
        assert terminal.wait() == 0
    assert engine.inspect("kept")["State"]["Running"].flag
    with engine.docker_terminal("attach", "kept") as terminal:
        terminal.send("\r")
        terminal.expect(PROMPT)
        _command(terminal, "echo still $kept", "\nstill here")
        terminal.send("exit 6\r")
        assert terminal.wait() == 6


def test_other_detach_keys_can_be_chosen(engine: Engine) -> None:
    with engine.docker_terminal("run", "-it", "--detach-keys", "ctrl-x,x", "--name", "kept", "busybox") as terminal:
        terminal.expect(PROMPT)
        # The usual keys are ordinary input now, and so is the beginning of the chosen ones.
        terminal.send("\x18")
        terminal.send("\x15")  # ctrl-u empties the line
        _command(terminal, "echo as $((1+1))", "\nas 2")
        terminal.send("\x18x")
        assert terminal.wait() == 0
    assert engine.inspect("kept")["State"]["Running"].flag


def test_exec_on_a_terminal_has_one_of_its_own(engine: Engine) -> None:
    engine.docker_output("run", "-d", "--name", "host", "busybox", "sleep", "100")
    with engine.docker_terminal("exec", "-it", "host", "sh", rows=31, columns=117) as terminal:
        terminal.expect(PROMPT)
        terminal.send("while [ \"$(stty size)\" != '31 117' ]; do sleep 0.1; done; echo size is $((31)) 117\r")
        terminal.expect("\nsize is 31 117\r\n")
        terminal.send("exit 4\r")
        assert terminal.wait() == 4


def test_exec_can_be_detached_from(engine: Engine) -> None:
    engine.docker_output("run", "-d", "--name", "host", "busybox", "sleep", "100")
    with engine.docker_terminal("exec", "-it", "host", "sh", "-c", "sleep 77") as terminal:
        wait_until(lambda: "sleep 77" in engine.docker("top", "host").stdout)
        terminal.send(DETACH)
        terminal.wait()
    assert "sleep 77" in engine.docker("top", "host").stdout


def test_a_terminal_s_log_has_what_the_screen_showed(engine: Engine) -> None:
    engine.docker_output("run", "-d", "-t", "--name", "screen", "busybox", "sh", "-c", "echo out; echo err >&2")
    engine.docker_output("wait", "screen")
    assert engine.docker("logs", "screen").stdout == "out\nerr\n"
    assert engine.ask("GET", "/containers/screen/logs?stdout=1").body == b"out\r\nerr\r\n"


def test_input_that_is_no_terminal_is_refused_for_one(engine: Engine) -> None:
    done = engine.docker("run", "--rm", "-it", "busybox", "true", stdin="")
    assert done.returncode == 1
    assert "the input device is not a TTY" in done.stderr
