"""Creating a container, and getting its image when it is not there."""

from __future__ import annotations

import os

from cais.cli.command import CommandError
from cais.cli.options import WINDOWS
from cais.cli.output import STDERR, err
from cais.cli.reference import Reference, is_image_id
from cais.client import containers
from cais.client.errors import EngineError
from cais.gotext import go_quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.flags import Parsed
    from cais.cli.settings import Settings
    from cais.client.engine import Engine
    from cais.client.model import ContainerConfig, Created

_MAC_ADDRESS_OF_ENDPOINTS = (1, 44)  # the API that reads it there; newer ones warn of the one for the whole container
PULL_CHOICES = ("always", "missing", "never")


def check_pull(choice: str) -> None:
    """Raises ValueError for an unknown choice of when to pull."""
    if choice and choice not in PULL_CHOICES:
        always, missing, never = map(go_quote, PULL_CHOICES)
        raise ValueError(f"invalid pull option: '{choice}': must be one of {always}, {missing} or {never}")


def check_supported(given: Parsed) -> None:
    """Raises CommandError for a flag that is about something that no engine on Linux, or not this one, has."""
    for flag in WINDOWS:
        if flag.name in given.given:
            raise CommandError(
                f'"--{flag.name}" is only supported on a Docker daemon running on windows, but the Docker daemon is '
                "running on linux"
            )
    check_content_trust(given)
    if given.on("use-api-socket"):
        raise CommandError("--use-api-socket is not supported: mount the engine's socket with --volume instead")


def check_content_trust(given: Parsed) -> None:
    """Raises CommandError when images are to be verified by signatures."""
    if not given.on("disable-content-trust"):
        raise CommandError("--disable-content-trust=false is not supported: there is no content trust")


class _IdFile:
    """The file of --cidfile: made before the container, and removed again when there is none to name in it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1
        if not path:
            return
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            raise CommandError(
                f"container ID file found, make sure the other container isn't running or delete {path}"
            ) from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise CommandError(f"failed to create the container ID file: open {path}: {reason}") from error

    def write(self, identifier: str) -> None:
        if self._descriptor >= 0:
            os.write(self._descriptor, identifier.encode())
            os.close(self._descriptor)
            self._descriptor = -1

    def discard(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            os.unlink(self._path)


def check_restarts_unhealthy(engine: Engine, given: Parsed) -> None:
    """Raises CommandError when --restart-unhealthy is given to an engine that would only note it down."""
    if given.on("restart-unhealthy") and not engine.is_cais():
        raise CommandError("--restart-unhealthy is not supported by this engine: it would not be carried out")


def create_container(engine: Engine, settings: Settings, given: Parsed, config: ContainerConfig) -> str:
    """Create a container as `given` says; its id. Raises CaisError and CommandError."""
    check_restarts_unhealthy(engine, given)
    host = config["HostConfig"]
    for address in host["Dns"]:
        if address.startswith("127.") or address == "::1":
            err(f"WARNING: Localhost DNS ({address}) may fail in containers.")
            break
    if given.text("mac-address") and engine.negotiated() < _MAC_ADDRESS_OF_ENDPOINTS:
        config["MacAddress"] = given.text("mac-address")
    id_file = _IdFile(given.text("cidfile"))
    try:
        created = _create_or_pull(engine, settings, given, config)
        id_file.write(created["Id"])
    finally:
        id_file.discard()
    for warning in created["Warnings"] or []:
        err(f"WARNING: {warning}")
    return created["Id"]


def _create_or_pull(engine: Engine, settings: Settings, given: Parsed, config: ContainerConfig) -> Created:
    reference = None
    if not is_image_id(config["Image"]):
        try:
            reference = Reference(config["Image"]).tagged()
        except ValueError as error:
            raise CommandError(str(error)) from None
    name, platform, choice = given.text("name"), platform_of(given), given.text("pull")
    if choice == "always" and reference is not None:
        _pull(engine, settings, given, reference)
    try:
        return containers.create(engine, config, name, platform)
    except EngineError as error:
        if error.status != 404 or choice != "missing" or reference is None:
            raise
    if not given.on("quiet"):
        err(f"Unable to find image '{reference.familiar}' locally")
    _pull(engine, settings, given, reference)
    return containers.create(engine, config, name, platform)


def _pull(engine: Engine, settings: Settings, given: Parsed, reference: Reference) -> None:
    from cais.cli.pull import pull  # noqa: PLC0415 -- once an image

    pull(engine, settings, reference, platform_of(given), None if given.on("quiet") else STDERR)


def platform_of(given: Parsed) -> str:
    """The platform that is asked for by the flag, or else by the environment."""
    return given.text("platform") or os.environ.get("DOCKER_DEFAULT_PLATFORM", "")
