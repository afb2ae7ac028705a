"""The command line of caisd, with dockerd's names where it has the same options."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cais import __version__
from cais.daemon.listeners import unix_path
from cais.daemon.logs import DEFAULT_FILE, Target
from cais.distribution.registry_hosts import parse_insecure, parse_mirror
from cais.distribution.registry_settings import RegistrySettings
from cais.engine.settings import Settings
from cais.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for; every path is absolute."""

    settings: Settings
    sockets: tuple[Path, ...]
    pidfile: Path
    log_target: Target
    log_file: Path
    debug: bool
    detach: bool


def parser() -> argparse.ArgumentParser:
    """The options of the command line."""
    defaults = Settings()
    result = argparse.ArgumentParser(prog="caisd", description="The container engine of Cais.", allow_abbrev=False)
    result.add_argument(
        "-H", "--host", action="append", metavar="unix://PATH", help="where to serve the API; may be repeated"
    )
    result.add_argument(
        "--data-root", metavar="DIR", default=str(defaults.data_root), help="state that survives (%(default)s)"
    )
    result.add_argument(
        "--exec-root", metavar="DIR", default=str(defaults.exec_root), help="state of this boot (%(default)s)"
    )
    result.add_argument("-p", "--pidfile", metavar="FILE", help="default: caisd.pid below the exec root")
    result.add_argument("-D", "--debug", action="store_true", help="log more")
    result.add_argument("--log-target", choices=[str(target) for target in Target], default=str(Target.FILE))
    result.add_argument("--log-file", metavar="FILE", default=str(DEFAULT_FILE), help="default: %(default)s")
    result.add_argument(
        "--detach", "--daemonize", action="store_true", help="go on in the background; return when the API is served"
    )
    result.add_argument(
        "--insecure-registry", action="append", default=[], metavar="HOST[:PORT]|CIDR",
        help="a registry without TLS, or with any certificate; may be repeated",
    )  # fmt: skip
    result.add_argument(
        "--registry-mirror", action="append", default=[], metavar="URL",
        help="where images of Docker Hub are looked for first; may be repeated",
    )  # fmt: skip
    registries = defaults.registries
    result.add_argument(
        "--max-concurrent-downloads", type=int, default=registries.max_downloads, metavar="N",
        help="layers that arrive at the same time (%(default)s)",
    )  # fmt: skip
    result.add_argument(
        "--max-concurrent-uploads", type=int, default=registries.max_uploads, metavar="N",
        help="layers that are sent at the same time (%(default)s)",
    )  # fmt: skip
    result.add_argument("-v", "--version", action="version", version=f"caisd version {__version__}")
    return result


def parse(arguments: Sequence[str]) -> Options:
    """The options of a command line. Exits where argparse does; raises InvalidArgument for bad values."""
    given = parser().parse_args(arguments)
    data_root, exec_root = _absolute(given.data_root), _absolute(given.exec_root)
    if data_root == exec_root:
        raise InvalidArgument("the data root and the exec root must be two folders")
    hosts = given.host or [f"unix://{exec_root / 'cais.sock'}"]
    return Options(
        settings=Settings(data_root=data_root, exec_root=exec_root, debug=given.debug, registries=_registries(given)),
        sockets=tuple(unix_path(host) for host in hosts),
        pidfile=_absolute(given.pidfile) if given.pidfile else exec_root / "caisd.pid",
        log_target=Target(given.log_target),
        log_file=_absolute(given.log_file),
        debug=given.debug,
        detach=given.detach,
    )


def _registries(given: argparse.Namespace) -> RegistrySettings:
    for name in ("downloads", "uploads"):
        number = getattr(given, f"max_concurrent_{name}")
        if number < 1:
            raise InvalidArgument(f"invalid max concurrent {name}: {number}")
    return RegistrySettings(
        insecure=tuple(parse_insecure(text) for text in given.insecure_registry),
        mirrors=tuple(parse_mirror(text) for text in given.registry_mirror),
        max_downloads=given.max_concurrent_downloads,
        max_uploads=given.max_concurrent_uploads,
    )


def _absolute(path: str) -> Path:
    return Path(path).absolute()
