"""What `cais explain` asks for and draws."""

import json
import os
from typing import Any

import msgspec
import pytest

from cais.cli import explain_page
from cais.cli.explain_container import draw
from cais.cli.explain_page import Page, safe
from cais.cli.explain_plan import draw as draw_plan
from cais.cli.main import run
from cais.client.codec import dumps
from cais.engine import explain_models as models
from tests.unit.conftest import CannedEngine
from tests.unit.scripted_engine import answer

MIB = 1 << 20
PING = answer("200 OK", b"OK", "Server: Cais/0.1.0 (linux)")


def _explanation(**changes: Any) -> models.Explanation:
    namespaces = [
        models.Namespace(
            kind="network", inode=4026532257, sharing="container", shared_with=["other"], wanted="private"
        ),
        models.Namespace(kind="cgroup", inode=4026531835, sharing="host", wanted="private"),
    ]
    process = models.Process(
        pid=100, pid_inside=1, parent_pid=99, uid=0, state="S (sleeping)", threads=1, memory_bytes=2 * MIB,
        command="sleep \x1b[31m1000",
    )  # fmt: skip
    memory = models.MemoryLimit(
        limit_bytes=64 * MIB, wanted_bytes=64 * MIB, used_bytes=60 * MIB, peak_bytes=63 * MIB, failures=3
    )
    default: dict[str, Any] = {
        "id": "a" * 64, "name": "web", "status": "running", "image": "busybox", "image_id": "sha256:" + "b" * 64,
        "command": ["sleep", "1000"], "created": "2026-11-24T07:00:00Z", "started_at": "2026-11-24T07:00:01Z",
        "finished_at": "0001-01-01T00:00:00Z", "pid": 100,
        "restarts": models.Restarts(policy="on-failure", most=3, count=1),
        "processes": models.Processes(monitor_pid=99, count=1, shown=[process]),
        "namespaces": namespaces,
        "limits": models.Limits(
            cgroup="/cais/x", memory=memory, cpu=models.CpuLimit(cpus=0.5, wanted_cpus=1.0, used_cpus=0.25),
            pids=models.PidsLimit(limit=50, wanted=50, used=2),
            ulimits=[
                models.UlimitUse(
                    name="nofile", soft=20, hard=30, wanted_soft=20, wanted_hard=30, was_asked=True, used=3
                ),
                models.UlimitUse(name="rtprio", soft=0, hard=0),
            ],
        ),
        "root": models.Root(
            layers=[models.Layer(chain_id="sha256:" + "c" * 64, diff_id="sha256:d", size_bytes=1_980_000)],
            image_bytes=1_980_000, writable="/w/diff", writable_bytes=0,
        ),
        "mounts": [
            models.Mount(destination="/x", type="ext4", source="/tmp/x", options=["rw"], origin="user"),
            models.Mount(destination="/y", type="bind", source="/tmp/y", origin="user", missing=True),
            models.Mount(destination="/proc", type="proc", origin="default"),
        ],
        "network": models.Network(mode="bridge", interfaces=[models.Interface(name="lo", addresses=["127.0.0.1/8"])]),
        "security": models.Security(
            uid=0, gid=0, capabilities=["CAP_CHOWN", "CAP_NET_ADMIN"], added=["CAP_NET_ADMIN"], dropped=["CAP_KILL"],
            wanted_capabilities=["CAP_CHOWN", "CAP_NET_ADMIN"], effective=["CAP_CHOWN", "CAP_NET_ADMIN"],
            seccomp="default", seccomp_filters=1,
        ),
    }  # fmt: skip
    return models.Explanation(**{**default, **changes})


def _drawn(found: models.Explanation, columns: int = 100, *, colored: bool = False) -> str:
    page = Page(columns, colored=colored)
    draw(page, json.loads(msgspec.json.encode(found)))
    return page.text()


def _row(text: str, label: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"  {label} "))


def test_the_page_of_a_running_container() -> None:
    text = _drawn(_explanation())
    assert text.startswith("web: running\n")
    assert _row(text, "network").split(maxsplit=2)[1:] == ["4026532257", "shared with other"]
    assert _row(text, "cgroup").endswith("the host's  (asked for: private)")
    assert _row(text, "memory").split(maxsplit=3)[1:3] == ["[#########.]", "94%"]
    assert "60MiB of 64MiB, at most 63MiB, the limit was hit 3 times" in text
    assert "0.25 processors of 0.5 processors" in text
    assert "(asked for: 1 processors)" in " ".join(text.split())
    assert "3 of 20, hard 30" in _row(text, "nofile")
    assert "rtprio" not in text
    assert _row(text, "restart").endswith("on-failure:3, restarted once")
    assert "asked for, and not seen at this path" in _row(text, "/y")
    assert _row(text, "capabilities").endswith("2: the default ones +NET_ADMIN -KILL")
    assert _row(text, "lo").endswith("127.0.0.1/8")
    assert "Why it ended" not in text


def test_what_a_container_chose_itself_reaches_no_terminal_as_it_is() -> None:
    mount = models.Mount(destination="/\x1b[31m", type="tmpfs", origin="inside")
    text = _drawn(_explanation(mounts=[mount]))
    assert "\x1b" not in text
    assert "/\\x1b[31m" in text
    assert "sleep \\x1b[31m1000" in text
    assert safe("a\nb\tc") == "a\\nb\\tc"


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_lines_keep_to_the_width_but_for_words_that_are_longer(columns: int) -> None:
    for line in _drawn(_explanation(), columns).splitlines():
        assert len(line) <= columns or len(line.split()[-1]) > columns - 20, line


def test_colors_are_for_terminals_alone() -> None:
    assert "\x1b[31m[#########.]" in _drawn(_explanation(), colored=True)
    assert "\x1b" not in _drawn(_explanation(), colored=False)


@pytest.mark.parametrize(
    ("size", "variables", "columns", "colored"),
    [
        ((72, 24), {"TERM": "xterm"}, 72, True),
        ((72, 24), {"TERM": "xterm", "NO_COLOR": "1"}, 72, False),
        ((72, 24), {"TERM": "dumb"}, 72, False),
        (None, {"COLUMNS": "66"}, 66, False),
        (None, {}, 100, False),
    ],
)
def test_the_page_fits_where_it_is_printed(
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int] | None,
    variables: dict[str, str],
    columns: int,
    colored: bool,
) -> None:
    monkeypatch.setattr(explain_page, "terminal_size", lambda _: size)
    monkeypatch.setattr(os, "isatty", lambda _: size is not None)
    for name in ("COLUMNS", "NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    page = explain_page.terminal_page()
    page.title("x" * 10)
    page.sentence("word " * 60)
    assert max(len(line) for line in page.text().splitlines()) in range(columns - 6, columns + 1)
    assert ("\x1b" in page.text()) is colored


def test_the_page_of_one_that_has_ended_says_why() -> None:
    end = models.End(exit_code=137, signal="SIGKILL", oom_killed=True, words=["Memory ran out.", "So it is."])
    text = _drawn(_explanation(status="exited", pid=0, end=end))
    assert "Why it ended: exit code 137, out of memory\n  Memory ran out.\n  So it is.\n" in text
    assert "It does not run: what follows is what a start would give it" in text
    assert "Processes" not in text


def test_the_page_of_one_whose_start_failed() -> None:
    end = models.End(exit_code=127, words=["Its command was not found."])
    text = _drawn(_explanation(status="created", pid=0, end=end, started_at="0001-01-01T00:00:00Z"))
    assert "Why it did not start: exit code 127" in text


def _plan(**changes: Any) -> dict[str, Any]:
    sample = _explanation()
    image = models.PlannedImage(name="busybox", id="sha256:" + "b" * 64, present=True, platform="linux/amd64")
    default: dict[str, Any] = {
        "image": image, "name": "web", "restarts": sample.restarts, "limits": sample.limits, "root": sample.root,
        "namespaces": sample.namespaces, "network": sample.network, "security": sample.security,
        "mounts": sample.mounts,
        "process": models.PlannedProcess(args=["sleep", "1"], path="/bin/sleep"), "auto_remove": True,
    }  # fmt: skip
    plan: dict[str, Any] = json.loads(msgspec.json.encode(models.RunPlan(**{**default, **changes})))
    return plan


def test_the_steps_of_a_run_are_numbered() -> None:
    page = Page(100, colored=False)
    draw_plan(page, _plan(), {"AttachStdout": True})
    titles = [line for line in page.text().splitlines() if line[:1].isdigit()]
    assert titles[0] == "1. Use the image busybox, which is here"
    assert titles[-1] == f"{len(titles)}. Afterwards"
    assert page.text().startswith("This would work, as far as can be told")
    assert _row(page.text(), "program").endswith("/bin/sleep")
    assert _row(page.text(), "attached").endswith("stdout")
    assert _row(page.text(), "at its end").endswith("the container is removed")


def test_what_a_run_would_fail_with_comes_first_and_with_its_exit_status() -> None:
    page = Page(100, colored=False)
    error = models.PlannedError(step="command", message='exec: "x": executable file not found in $PATH')
    draw_plan(page, _plan(errors=[error]), {})
    first, second, *_ = page.text().splitlines()
    assert first == "This would fail; nothing has been run or changed"
    assert second.endswith("executable file not found in $PATH (exit status 127)")


def test_a_container_is_asked_for_at_a_path_of_our_own(canned: CannedEngine, capfd: pytest.CaptureFixture[str]) -> None:
    canned.answers["GET /cais/containers/web/explain"] = {"Pid": 12345678901234567890, "Limits": {"Cpu": {"Cpus": 0.5}}}
    assert run(["explain", "--format", "{{.Pid}} {{.Limits.Cpu.Cpus}}", "web"]) == 0
    assert capfd.readouterr().out == "12345678901234567890 0.5\n"
    assert run(["container", "explain", "web", "-f", "json"]) == 0
    assert json.loads(capfd.readouterr().out)["Limits"] == {"Cpu": {"Cpus": 0.5}}
    assert canned.requests == ["GET /cais/containers/web/explain"] * 2


def test_a_run_is_asked_for_with_what_goes_with_it(canned: CannedEngine, capfd: pytest.CaptureFixture[str]) -> None:
    canned.answers["POST /cais/containers/explain"] = _plan()
    words = ["explain", "run", "--format", "{{len .Errors}}", "--name", "web", "--pull", "never", "-d", "-m", "64m"]
    assert run([*words, "busybox", "sleep", "--format", "1"]) == 0
    assert capfd.readouterr().out == "0\n"
    assert canned.requests == ["POST /cais/containers/explain?name=web&pull=never"]
    body = json.loads(canned.bodies[0])
    assert body["Cmd"] == ["sleep", "--format", "1"]
    assert body["HostConfig"]["Memory"] == 64 * MIB
    assert body["AttachStdout"] is False


def test_a_file_for_the_id_that_exists_is_foretold(
    canned: CannedEngine, capfd: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    canned.answers["POST /cais/containers/explain"] = _plan()
    (tmp_path / "id").write_text("")
    assert run(["explain", "create", "--format", "json", "--cidfile", str(tmp_path / "id"), "busybox"]) == 0
    errors = json.loads(capfd.readouterr().out)["Errors"]
    assert "container ID file found" in errors[0]["Message"]


def test_another_engine_is_told_from_a_container_that_is_missing(
    canned: CannedEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    path = "GET /cais/containers/web/explain"
    canned.refuse(path, "404 Not Found", "No such container: web")
    canned.answers["GET /_ping"] = PING
    assert run(["explain", "web"]) == 1
    assert capfd.readouterr().err == "Error response from daemon: No such container: web\n"
    canned.refuse(path, "404 Not Found", "page not found")
    canned.answers["GET /_ping"] = answer("200 OK", b"OK", "Server: Docker/28.2.2 (linux)")
    assert run(["explain", "web"]) == 1
    error = capfd.readouterr().err
    assert error.startswith("only Cais can explain, and the engine at unix://")
    assert "calls itself 'Docker/28.2.2 (linux)', is not Cais" in error


def test_templates_that_fail_say_so(canned: CannedEngine, capfd: pytest.CaptureFixture[str]) -> None:
    canned.answers["GET /cais/containers/web/explain"] = json.loads(msgspec.json.encode(_explanation()))
    assert run(["explain", "--format", "{{", "web"]) == 64
    assert run(["explain", "--format", "{{.Nothing}}", "web"]) == 1
    assert "template parsing error" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["explain"], 1, "'cais explain' requires 1 argument"),
        (["explain", "run"], 1, "'cais explain run' requires at least 1 argument"),
        (["explain", "run", "--memry", "1", "x"], 125, "Did you mean --memory?"),
        (["expalin", "web"], 1, "Did you mean explain?"),
        (["explain", "run", "-d", "-a", "stdout", "x"], 1, "cannot specify both --attach and --detach"),
        (["explain", "create", "--pull", "often", "x"], 125, "invalid pull option"),
    ],
)
def test_wrong_uses_are_explained(words: list[str], status: int, text: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(words) == status
    assert text in capfd.readouterr().err


def test_help_is_about_the_form_that_was_asked_about(capfd: pytest.CaptureFixture[str]) -> None:
    for words, usage in (
        (["explain", "--help"], "Usage:  cais explain [OPTIONS] CONTAINER | run [OPTIONS] IMAGE"),
        (["explain", "run", "--help"], "Usage:  cais explain run [OPTIONS] IMAGE [COMMAND] [ARG...]"),
        (["help", "container", "explain", "create"], "Usage:  cais container explain create [OPTIONS] IMAGE"),
    ):
        assert run(words) == 0
        assert capfd.readouterr().out.startswith(usage)


def test_what_the_engine_refuses_is_said(canned: CannedEngine, capfd: pytest.CaptureFixture[str]) -> None:
    canned.answers["POST /cais/containers/explain"] = answer("400 Bad Request", dumps({"message": "not so"}))
    canned.answers["GET /_ping"] = PING
    assert run(["explain", "run", "busybox"]) == 1
    assert capfd.readouterr().err == "Error response from daemon: not so\n"
