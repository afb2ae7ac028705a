"""What a container takes from its image where the user has said nothing, by Docker's rules of precedence."""

import msgspec

from cais.distribution.oci import ContainerConfig as ImageDefaults
from cais.distribution.oci import Healthcheck
from cais.engine.models import ContainerConfig, CreateRequest, HealthConfig, strings
from cais.errors import InvalidArgument


def merge(request: CreateRequest, image: ImageDefaults) -> ContainerConfig:
    """The configuration of a new container: the request's, completed by the image's.

    Raises InvalidArgument when neither has a command.
    """
    config = request.config()
    config.Cmd = strings(request.Cmd) or None
    entrypoint = None if request.Entrypoint is None else strings(request.Entrypoint)
    if not entrypoint:
        config.Cmd = config.Cmd or image.cmd
        entrypoint = image.entrypoint if entrypoint is None else entrypoint
    # [""] resets the entry point to "none"
    config.Entrypoint = None if not entrypoint or entrypoint == [""] else entrypoint
    if not config.Entrypoint and not config.Cmd:
        raise InvalidArgument("no command specified")
    _merge_the_rest(config, image)
    return config


def command(config: ContainerConfig) -> tuple[str, list[str]]:
    """The program and its arguments: entry point, then command."""
    path, *args = [*strings(config.Entrypoint), *strings(config.Cmd)]
    return path, args


def _health(own: HealthConfig | msgspec.UnsetType, image: Healthcheck | None) -> HealthConfig | msgspec.UnsetType:
    """The health check: what the request leaves open is the image's."""
    if image is None:
        return own
    fallback = HealthConfig(
        Test=image.test, Interval=image.interval, Timeout=image.timeout, StartPeriod=image.start_period,
        StartInterval=image.start_interval, Retries=image.retries,
    )  # fmt: skip
    if not isinstance(own, HealthConfig):
        return fallback
    chosen = {name: getattr(own, name) or getattr(fallback, name) for name in HealthConfig.__struct_fields__}
    return HealthConfig(**chosen)


def _merge_the_rest(config: ContainerConfig, image: ImageDefaults) -> None:
    config.User = config.User or image.user
    config.WorkingDir = config.WorkingDir or image.working_dir
    own = {item.partition("=")[0] for item in config.Env or ()}
    config.Env = [*(config.Env or ()), *(item for item in image.env or () if item.partition("=")[0] not in own)]
    config.Labels = {**(image.labels or {}), **(config.Labels or {})}
    if image.exposed_ports:
        given = config.ExposedPorts if isinstance(config.ExposedPorts, dict) else {}
        config.ExposedPorts = {port: {} for port in (*given, *image.exposed_ports)}
    config.Volumes = {**(config.Volumes or {}), **{path: {} for path in image.volumes or ()}} or None
    config.Healthcheck = _health(config.Healthcheck, image.healthcheck)
    if image.stop_signal and (config.StopSignal is msgspec.UNSET or not config.StopSignal):
        config.StopSignal = image.stop_signal
    if image.stop_timeout is not None and config.StopTimeout is msgspec.UNSET:
        config.StopTimeout = image.stop_timeout
