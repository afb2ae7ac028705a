"""What Ctrl-C means to `up`: the containers are stopped in order; a second one kills them."""

from __future__ import annotations

import threading

from cais.client.errors import EngineError
from cais.compose.ending import Ending
from cais.compose.parallel import each
from cais.compose.report import WORKING, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.compose.call import Call
    from cais.compose.model import Project

_MESSAGE = "Gracefully Stopping... press Ctrl+C again to force"


def stop_gracefully(call: Call, project: Project, services: list[str]) -> None:
    """Stop the containers of some services. Raises CaisError."""
    call.progress.on("Compose", "Stopping", WORKING, _MESSAGE)
    failures: list[BaseException] = []

    def stop() -> None:
        try:
            Ending(call.engines, project, call.progress, call.timeout()).stop(call.containers(project.name, services))
        except BaseException as error:  # noqa: BLE001 -- raised again below
            failures.append(error)

    call.progress.begin("stop")
    worker = threading.Thread(target=stop, daemon=True)
    worker.start()
    try:
        # With a time limit, for otherwise the wait would not see a signal.
        while worker.is_alive():
            worker.join(0.2)
    except KeyboardInterrupt:
        kill_all(call, project.name, services)
        worker.join(5)
    finally:
        call.progress.end()
    if failures:
        raise failures[0]


def kill_all(call: Call, name: str, services: list[str]) -> None:
    found = [container for container in call.containers(name, services) if container.state == "running"]

    def kill(identity: str, resource: str) -> None:
        try:
            with Step(call.progress, resource, "Killing", "Killed"):
                call.engines.post(f"/containers/{identity}/kill")
        except EngineError as error:
            if error.status not in {404, 409}:
                raise

    each(found, lambda container: kill(container.identity, container.resource))
