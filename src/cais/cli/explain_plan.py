"""The page that `cais explain run` shows: what would be done, step by step, and what would go wrong."""

from __future__ import annotations

from cais.cli.explain_container import restart_words
from cais.cli.explain_page import GREEN, RED, YELLOW
from cais.cli.explain_sections import draw_limits, draw_mounts, draw_namespaces, draw_network, draw_root, draw_security
from cais.cli.run import failure_status
from cais.cli.units import human_size, short_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cais.cli.explain_page import Page
    from cais.client.model import ContainerConfig

    Json = dict[str, Any]

_HIDDEN_CONTROLLERS = frozenset(["devices"])  # a dozen lines that are the same for everybody


def draw(page: Page, plan: Json, config: ContainerConfig) -> None:
    """The steps of a run, what it would fail with first. Nothing of it has been done."""
    errors = plan["Errors"]
    if errors:
        page.title("This would fail; nothing has been run or changed", RED)
        for error in errors:
            status = failure_status(error["Message"])
            page.row(error["Step"], f"{error['Message']} (exit status {status})", RED)
    else:
        page.title("This would work, as far as can be told; nothing has been run or changed", GREEN)
    for warning in plan["Warnings"]:
        page.row("warning", warning, YELLOW)
    for note in plan["Notes"]:
        page.row("note", note, YELLOW)
    page.numbered = True
    _draw_image(page, plan["Image"])
    if any(error["Step"] == "image" for error in errors):
        return
    page.title(f"Create the container {plan['Name'] or 'with a random name'}")
    _draw_settings(page, plan)
    process = plan["Process"]
    if process is None:
        return
    draw_limits(page, plan["Limits"], runs=False)
    _draw_writes(page, plan["Limits"]["Writes"])
    draw_namespaces(page, plan["Namespaces"], runs=False)
    draw_root(page, plan["Root"])
    draw_mounts(page, plan["Mounts"], runs=False)
    draw_network(page, plan["Network"], runs=False)
    draw_security(page, plan["Security"], runs=False)
    _draw_process(page, process, config)
    _draw_afterwards(page, plan)


def _draw_image(page: Page, image: Json) -> None:
    if image["Pull"]:
        page.title(f"Pull the image {image['Name']}" + (", though it is here" if image["Present"] else ""))
    elif image["Present"]:
        page.title(f"Use the image {image['Name']}, which is here")
    else:
        page.title(f"Use the image {image['Name']}, which is not here", RED)
    if image["Present"]:
        page.row("image", f"{short_id(image['Id'])}, {human_size(image['SizeBytes'])}, {image['Platform']}")


def _draw_settings(page: Page, plan: Json) -> None:
    options = "".join(f" {name}={value}" for name, value in plan["LogOptions"].items())
    page.row("log", (plan["LogDriver"] or "not known") + options)


def _draw_writes(page: Page, writes: list[Json]) -> None:
    for item in writes:
        if item["Controller"] not in _HIDDEN_CONTROLLERS:
            page.row("write", f"{item['Value']} > {item['File']}")


def _draw_process(page: Page, process: Json, config: ContainerConfig) -> None:
    page.title("Start its first process" + (", an init with the command below it" if process["Init"] else ""))
    page.row("command", " ".join(process["Args"]))
    if process["Path"]:
        page.row("program", process["Path"])
    page.row("folder", process["WorkingDirectory"])
    page.row("environment", " ".join(process["Environment"]))
    attached = [name for name in ("Stdin", "Stdout", "Stderr") if config.get(f"Attach{name}")]
    streams = " ".join(name.lower() for name in attached) or "nothing: it runs by itself"
    page.row("attached", streams + (", a terminal" if process["Terminal"] else ""))


def _draw_afterwards(page: Page, plan: Json) -> None:
    page.title("Afterwards")
    if plan["Health"] is not None:
        page.row("health check", " ".join(plan["Health"]["Command"]))
    page.row(
        "at its end", "the container is removed" if plan["AutoRemove"] else "the container stays, until it is removed"
    )
    page.row("restart", restart_words(plan["Restarts"]))
