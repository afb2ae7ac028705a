"""What reaches the terminal of the user: nothing that images, registries and engines could do to it."""

import os
import sys

import pytest

from cais.cli.output import out, printable
from cais.client.codec import dumps
from tests.harness.terminal import Terminal
from tests.unit.conftest import CannedEngine
from tests.unit.scripted_engine import answer, chunked

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\rx"
OBEYED = ("\x1b]", "\x07", "\x1b[2J", "\x9b")
SPELLED = "\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\x0dx"


def test_what_a_terminal_obeys_is_spelled_out() -> None:
    assert printable(HOSTILE) == SPELLED
    assert printable("plain\ttext\nand ünïcode … 漢\n") == "plain\ttext\nand ünïcode … 漢\n"
    assert printable("\x7f\udc9b") == "\\x7f\ufffd"


def test_elsewhere_it_is_left_as_it_is(capfd: pytest.CaptureFixture[str]) -> None:
    out(HOSTILE)
    assert capfd.readouterr().out == f"{HOSTILE}\n"


def _on_a_terminal(*words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm"}
    with Terminal([sys.executable, "-m", "cais.cli", *words], environment, columns=200) as terminal:
        terminal.wait()
        return terminal.seen


ROW = {"Id": "sha256:" + "a" * 64, "RepoTags": [f"x{HOSTILE}:1"], "RepoDigests": [], "Created": 1, "Size": 1}
CONTAINER = {"Id": "c" * 64, "Names": [f"/{HOSTILE}"], "Image": HOSTILE, "Command": HOSTILE, "Status": HOSTILE}
STEP = {"Id": "a", "Created": 1, "CreatedBy": f"RUN {HOSTILE}", "Size": 1, "Comment": HOSTILE}
LAYERS = {
    "Id": "sha256:" + "a" * 64,
    "RepoTags": [HOSTILE],
    "Size": 1,
    "Steps": [
        {"CreatedBy": HOSTILE, "ChainId": "x", "Size": 1, "Added": 1, "Changed": 0, "Removed": 0}
        | {"Largest": [{"Path": HOSTILE, "Kind": "added", "Size": 1}], "Gone": [HOSTILE], "SharedWith": [HOSTILE]}
    ],
}
FOUND = [{"name": HOSTILE, "description": HOSTILE, "star_count": 1, "is_official": False}]


@pytest.mark.parametrize(
    ("words", "request_", "said"),
    [
        (["images"], "GET /images/json", [ROW]),
        (["images", "--tree"], "GET /images/json", [ROW]),
        (["images", "--format", "{{.Repository}}"], "GET /images/json", [ROW]),
        (["ps"], "GET /containers/json", [CONTAINER]),
        (["history", "x"], "GET /images/x/history", [STEP]),
        (["search", "x"], "GET /images/search", FOUND),
        (["image", "layers", "x"], "GET /cais/images/x/layers", LAYERS),
        (["diff", "x"], "GET /containers/x/changes", [{"Path": HOSTILE, "Kind": 1}]),
        (["rmi", "x"], "DELETE /images/x", [{"Untagged": HOSTILE}]),
        (["tag", "x", "y"], "POST /images/x/tag", answer("500 Oops", dumps({"message": HOSTILE}))),
        (["inspect", "-f", "{{.Comment}}", "x"], "GET /images/x/json", {"Comment": HOSTILE}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and all(isinstance(x, str) for x in value) else "",
)
def test_no_command_lets_it_through(canned: CannedEngine, words: list[str], request_: str, said: object) -> None:
    canned.answers[request_] = said
    seen = _on_a_terminal(*words)
    assert "owned" in seen
    assert not any(part in seen for part in OBEYED)


def test_progress_cannot_leave_its_line(canned: CannedEngine) -> None:
    messages = [
        {"status": f"Pulling {HOSTILE}\n\n\x1b[5A", "id": f"layer{HOSTILE}\n", "progressDetail": {}},
        {"status": HOSTILE, "id": "a", "progressDetail": {"current": 1, "units": f"{HOSTILE}\n"}},
        {"status": HOSTILE},
        {"error": HOSTILE, "errorDetail": {"message": HOSTILE}},
    ]
    canned.answers["POST /images/create"] = chunked("200 OK", *(dumps(message) + b"\n" for message in messages))
    seen = _on_a_terminal("pull", "x:1")
    assert seen.count("owned") == 6
    assert not any(part in seen for part in (*OBEYED, "\x1b[5A"))
    moving = seen.partition("Pulling")[2].partition("\n")[0]
    assert "\\x0dx" in moving


def test_a_user_s_own_colours_stay(canned: CannedEngine) -> None:
    canned.answers["GET /images/json"] = [{**ROW, "RepoTags": ["x:1"]}]
    assert "\x1b[32mx\x1b[0m" in _on_a_terminal("images", "--format", "\x1b[32m{{.Repository}}\x1b[0m")
