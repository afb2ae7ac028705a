"""The page that `cais explain CONTAINER` shows."""

from __future__ import annotations

from cais.cli.explain_page import BOLD, GREEN, RED, YELLOW
from cais.cli.explain_sections import draw_limits, draw_mounts, draw_namespaces, draw_network, draw_root, draw_security
from cais.cli.units import human_binary_size, short_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cais.cli.explain_page import Page

    Json = dict[str, Any]

_MOST_PROCESSES = 10
_NEVER = "0001-01-01T00:00:00Z"
_STATUS_COLORS = {"running": GREEN, "paused": YELLOW, "restarting": YELLOW, "created": "", "exited": RED, "dead": RED}


def draw(page: Page, found: Json) -> None:
    """Everything about a container; of one that does not run, what a start would give it."""
    runs = bool(found["Pid"])
    _draw_head(page, found)
    _draw_end(page, found)
    _draw_health(page, found["Health"])
    if runs:
        _draw_processes(page, found["Processes"])
    else:
        page.title("It does not run: what follows is what a start would give it")
    draw_namespaces(page, found["Namespaces"], runs=runs)
    draw_limits(page, found["Limits"], runs=runs)
    draw_root(page, found["Root"])
    draw_mounts(page, found["Mounts"], runs=runs)
    draw_network(page, found["Network"], runs=runs)
    draw_security(page, found["Security"], runs=runs)
    for note in found["Notes"]:
        page.title(f"Note: {note}", YELLOW)


def _draw_head(page: Page, found: Json) -> None:
    status = found["Status"]
    page.title(f"{found['Name']}: {status}", _STATUS_COLORS.get(status) or BOLD)
    page.row("id", found["Id"])
    page.row("image", f"{found['Image']} ({short_id(found['ImageId'])})")
    page.row("command", " ".join(found["Command"]))
    times = [f"created {found['Created']}"]
    ended = "ended before" if found["Pid"] else "ended"
    times += [f"{word} {found[key]}" for word, key in (("started", "StartedAt"), (ended, "FinishedAt"))
              if found[key] != _NEVER]  # fmt: skip
    page.row("times", ", ".join(times))
    page.row("restart", restart_words(found["Restarts"]))


def restart_words(restarts: Json) -> str:
    policy = restarts["Policy"]
    if restarts["Most"]:
        policy += f":{restarts['Most']}"
    count = restarts["Count"]
    return f"{policy}, restarted {'once' if count == 1 else f'{count} times'}" if count else policy


def _draw_end(page: Page, found: Json) -> None:
    end = found["End"]
    if end is None:
        return
    what = "Why it did not start" if found["StartedAt"] == _NEVER else "Why it ended"
    page.title(f"{what}: exit code {end['ExitCode']}{_by(end)}", RED if end["ExitCode"] else BOLD)
    for words in end["Words"]:
        page.sentence(words)


def _by(end: Json) -> str:
    if end["OomKilled"]:
        return ", out of memory"
    return f", by {end['Signal']}" if end["Signal"] else ""


def _draw_health(page: Page, health: Json | None) -> None:
    if health is None:
        return
    status = health["Status"] or "not checked now"
    streak = f", failed {health['FailingStreak']} in a row" if health["FailingStreak"] else ""
    page.title(f"Health: {status}{streak}", {"healthy": GREEN, "unhealthy": RED}.get(health["Status"], BOLD))
    page.row("check", " ".join(health["Command"]))
    if health["LastExitCode"] is not None:
        output = health["LastOutput"].strip()
        page.row("last result", f"exit code {health['LastExitCode']}" + (f": {output}" if output else ""))


def _draw_processes(page: Page, processes: Json) -> None:
    count, shown = processes["Count"], processes["Shown"][:_MOST_PROCESSES]
    page.title(f"Processes: {count}, below the monitor {processes['MonitorPid']}")
    rows = [("HOST PID", "PID", "UID", "MEMORY", "STATE", "COMMAND")]
    rows += [
        (
            str(item["Pid"]),
            str(item["PidInside"]),
            str(item["Uid"]),
            human_binary_size(item["MemoryBytes"]),
            item["State"].partition("(")[2].rstrip(")") or item["State"],
            item["Command"],
        )
        for item in shown
    ]
    page.table(rows)
    if count > len(shown):
        page.sentence(f"and {count - len(shown)} more")
