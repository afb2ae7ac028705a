"""`cais explain CONTAINER`, `cais explain run …` and `cais explain create …`."""

from __future__ import annotations

import os

from cais.cli.command import Command, CommandError, Invocation
from cais.cli.create import platform_of
from cais.cli.flags import FORMAT, Flag
from cais.cli.formats import parsed_template
from cais.cli.options import CREATE_FLAGS, RUN_FLAGS
from cais.cli.output import out
from cais.cli.run import creation_config, run_config
from cais.client import explain
from cais.client.codec import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cais.cli.explain_page import Page
    from cais.client.model import ContainerConfig

_USAGE_OF_RUN = "[OPTIONS] IMAGE [COMMAND] [ARG...]"
_HELP = """Explain a container, or what a run would do

Shows what the kernel has in force for a container: namespaces, processes, limits
and how near it is to each, layers, mounts, addresses, rights; and why one that has
ended did so. With 'run' or 'create' and their options, says what they would do,
step by step, without doing it.

Examples:

$ cais explain web
$ cais explain --format '{{.Limits.Memory.UsedBytes}}' web
$ cais explain run -m 64m busybox sleep 1000

A container that is called "run" or "create" is explained as /run or /create."""


def _explain(call: Invocation) -> int:
    show = _shown(call, _draw_container)
    show(explain.container(call.engine, call.arguments[0]))
    return 0


def _explain_run(call: Invocation) -> int:
    return _explain_request(call, run_config(call))


def _explain_create(call: Invocation) -> int:
    return _explain_request(call, creation_config(call))


def _explain_request(call: Invocation, config: ContainerConfig) -> int:
    given = call.flags
    show = _shown(call, lambda page, plan: _draw_plan(page, plan, config))
    query = {"name": given.text("name"), "platform": platform_of(given), "pull": given.text("pull")}
    data = explain.run(call.engine, config, {key: value for key, value in query.items() if value})
    id_file = given.text("cidfile")
    if id_file and os.path.lexists(id_file):
        data = _with_error(
            data, f"container ID file found, make sure the other container isn't running or delete {id_file}"
        )
    show(data)
    return 0


def _with_error(data: bytes, message: str) -> bytes:
    """The same plan with something that this command would stumble on, before the engine does."""
    plan = loads(data)
    plan["Errors"].insert(0, {"Step": "name", "Message": message})
    return dumps(plan)


def _shown(call: Invocation, draw: Callable[[Page, dict[str, Any]], None]) -> Callable[[bytes], None]:
    """What prints the JSON of an explanation as --format says. Raises CommandError for a bad template."""
    template = call.flags.text("format")
    if not template:
        return lambda data: _print_page(data, draw)
    if template == "json":
        return lambda data: out(data.decode().rstrip("\n"))
    from cais.cli.gotemplate import TemplateError  # noqa: PLC0415 -- only for templates
    from cais.cli.gotemplate.typed import inspected  # noqa: PLC0415

    parsed = parsed_template(template)

    def apply(data: bytes) -> None:
        try:
            out(inspected(parsed, "explanation", data))
        except TemplateError as error:
            raise CommandError(f"template parsing error: {error}") from None

    return apply


def _print_page(data: bytes, draw: Callable[[Page, dict[str, Any]], None]) -> None:
    from cais.cli.explain_page import terminal_page  # noqa: PLC0415 -- only to draw

    page = terminal_page()
    draw(page, loads(data))
    out(page.text())


def _draw_container(page: Page, explanation: dict[str, Any]) -> None:
    from cais.cli.explain_container import draw  # noqa: PLC0415 -- only to draw

    draw(page, explanation)


def _draw_plan(page: Page, plan: dict[str, Any], config: ContainerConfig) -> None:
    from cais.cli.explain_plan import draw  # noqa: PLC0415 -- only to draw

    draw(page, plan, config)


# without its short form, which may be taken by a flag of run
_FORMAT = Flag("format", FORMAT.text)
EXPLAIN = Command(
    "[OPTIONS] CONTAINER | run [OPTIONS] IMAGE [COMMAND] [ARG...]",
    "container explain, explain",
    (FORMAT,),
    _explain,
    1,
    1,
    completes="container",
    long_help=_HELP,
)
EXPLAIN_RUN = Command(
    _USAGE_OF_RUN, "container explain run, explain run", (*RUN_FLAGS, _FORMAT), _explain_run, 1, interspersed=False,
    completes="image",
)  # fmt: skip
EXPLAIN_CREATE = Command(
    _USAGE_OF_RUN, "container explain create, explain create", (*CREATE_FLAGS, _FORMAT), _explain_create, 1,
    interspersed=False, completes="image",
)  # fmt: skip
