"""Which files make a project, in which environment, and reading them."""

from __future__ import annotations

import os

from cais.compose.consistency import check
from cais.compose.errors import ComposeError
from cais.compose.load import Loader
from cais.compose.model import Project
from cais.compose.normalize import normalize, resolve_files
from cais.compose.support import warnings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cais.compose.document import Tree

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDES = (
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
_FIRST_OF_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_NAME = _FIRST_OF_NAME | frozenset("_-")


class Sources:
    """Where a project comes from, as the command line says it; what is empty is found out."""

    __slots__ = ("compatible", "directory", "env_files", "files", "name", "profiles")

    def __init__(
        self,
        files: Sequence[str] = (),
        *,
        name: str = "",
        directory: str = "",
        env_files: Sequence[str] = (),
        profiles: Sequence[str] = (),
        compatible: bool = False,
    ) -> None:
        """`compatible`: names are made as the first Docker Compose made them."""
        self.files = list(files)
        self.name = name
        self.directory = directory
        self.env_files = list(env_files)
        self.profiles = list(profiles)
        self.compatible = compatible


def is_set(environment: Mapping[str, str], name: str) -> bool:
    """Whether a variable asks for what it is named after."""
    return environment.get(name, "").lower() in {"1", "t", "true"}


class Reading:
    """How much is done to what is read: all of it, unless `config` is asked for less."""

    __slots__ = ("checks", "interpolates", "keeps_unused", "normalizes", "resolves_env_files", "resolves_paths")

    def __init__(
        self,
        *,
        interpolates: bool = True,
        normalizes: bool = True,
        checks: bool = True,
        resolves_paths: bool = True,
        resolves_env_files: bool = True,
        keeps_unused: bool = False,
    ) -> None:
        self.interpolates = interpolates
        self.normalizes = normalizes
        self.checks = checks
        self.resolves_paths = resolves_paths
        self.resolves_env_files = resolves_env_files
        self.keeps_unused = keeps_unused


class Workspace:
    """A project's place: its files, its directory and its environment, before any file is read."""

    def __init__(self, sources: Sources, outside: Mapping[str, str], warn: Callable[[str], None]) -> None:
        """`outside` is the environment of the program. Raises ComposeError."""
        self._warn = warn
        self.sources = sources
        self.files: list[str] = []
        self._begin_with_directory(sources, outside)
        self.environment = self._environment(sources, outside)
        self.files = self._files(sources)
        if not sources.directory and self.files and self.files[0] != "-":
            self.directory = os.path.dirname(self.files[0])

    def _begin_with_directory(self, sources: Sources, outside: Mapping[str, str]) -> None:
        self.directory = os.path.abspath(sources.directory or os.getcwd())
        given = sources.files or _listed(outside, "COMPOSE_FILE")
        if sources.directory:
            return
        if given and given[0] != "-":
            self.directory = os.path.dirname(os.path.abspath(given[0]))
        elif not given and (found := _find_upwards(self.directory)):
            self.directory = os.path.dirname(found)

    def _environment(self, sources: Sources, outside: Mapping[str, str]) -> dict[str, str]:
        """The variables of the program, and below them those of the .env files."""
        listed = sources.env_files or [path for path in outside.get("COMPOSE_ENV_FILES", "").split(",") if path]
        found: dict[str, str] = {}
        if not listed and outside.get("COMPOSE_DISABLE_ENV_FILE", "") not in {"1", "true"}:
            default = os.path.join(self.directory, ".env")
            listed = [default] if os.path.isfile(default) else []
        if listed:
            found = self._variables(listed, outside)
        return {**found, **outside}

    @staticmethod
    def _variables(files: Sequence[str], outside: Mapping[str, str]) -> dict[str, str]:
        from cais.compose import dotenv  # noqa: PLC0415 -- not every project has such files

        found: dict[str, str] = {}
        for path in files:
            absolute = os.path.abspath(path)
            try:
                found.update(dotenv.read_file(absolute, outside, found))
            except FileNotFoundError:
                raise ComposeError(f"couldn't find env file: {absolute}") from None
            except OSError as error:
                raise ComposeError(f"cannot read env file {absolute}: {error.strerror}") from None
        return found

    def _files(self, sources: Sources) -> list[str]:
        given = sources.files or _listed(self.environment, "COMPOSE_FILE")
        if given:
            return [path if path == "-" else os.path.abspath(path) for path in given]
        found = _find_upwards(self.directory, self._warn)
        if not found:
            raise ComposeError("no configuration file provided: not found")
        directory = os.path.dirname(found)
        override = next((path for name in OVERRIDES if os.path.exists(path := os.path.join(directory, name))), "")
        return [found, override] if override else [found]

    def project_name(self, data: Tree) -> str:
        """The flag, COMPOSE_PROJECT_NAME, the file, or the directory's name. Raises ComposeError."""
        given = self.sources.name or self.environment.get("COMPOSE_PROJECT_NAME", "") or data.get("name") or ""
        name = given or normalized_name(os.path.basename(self.directory))
        if not name:
            raise ComposeError("project name must not be empty")
        if name[0] not in _FIRST_OF_NAME or not _NAME.issuperset(name):
            raise ComposeError(
                f'invalid project name "{name}": must consist only of lowercase alphanumeric characters, hyphens, and '
                "underscores as well as start with a letter or number"
            )
        return name

    def profiles(self) -> list[str]:
        listed = self.sources.profiles or self.environment.get("COMPOSE_PROFILES", "").split(",")
        return [profile for profile in listed if profile]

    def read(self, services: Sequence[str] = (), how: Reading | None = None) -> Project:
        """The project, with the services enabled that are named, beside those of the profiles. Raises ComposeError."""
        how = how or Reading()
        loader = Loader(
            self.directory,
            self.environment,
            self._warn,
            interpolates=how.interpolates,
            resolves_paths=how.resolves_paths,
        )
        try:
            data = loader.load(self.files)
        except OSError as error:
            raise ComposeError(f"open {error.filename}: {(error.strerror or str(error)).lower()}") from None
        if not how.interpolates and data.get("name"):
            data["name"] = normalized_name(data["name"])  # what is left of it when a variable is in it
        name = self.project_name(data)
        self.environment["COMPOSE_PROJECT_NAME"] = name
        if how.normalizes:
            normalize(data, name, self.environment)
        project = self._project(data, name, loader)
        project = enabled(project, self.profiles() if how.interpolates else ["*"], services)
        if how.resolves_env_files:
            resolve_files(project.services, self.environment)
        if how.checks:
            check(project)
            for warning in warnings(project):
                self._warn(warning)
        return project if how.keeps_unused else without_unused(project)

    def _project(self, data: Tree, name: str, loader: Loader) -> Project:
        def kind(key: str) -> dict[str, Tree]:
            return dict(sorted((data.get(key) or {}).items()))

        project = Project(name, self.directory, self.files, self.environment)
        for key in ("services", "networks", "volumes", "secrets", "configs", "models"):
            setattr(project, key, kind(key))
        project.extensions = {key: value for key, value in data.items() if key.startswith("x-")}
        project.env_files = list(self.sources.env_files)
        if self.sources.compatible or is_set(self.environment, "COMPOSE_COMPATIBILITY"):
            project.separator = "_"
        project.where = loader.where
        return project


def _listed(environment: Mapping[str, str], name: str) -> list[str]:
    separator = environment.get("COMPOSE_PATH_SEPARATOR") or ":"
    return [path for path in environment.get(name, "").split(separator) if path]


def _find_upwards(directory: str, warn: Callable[[str], None] | None = None) -> str:
    """The Compose file of a directory, or of the nearest one above; "" where there is none."""
    while True:
        found = [path for name in NAMES if os.path.exists(path := os.path.join(directory, name))]
        if found:
            if len(found) > 1 and warn is not None:
                warn(f"Found multiple config files with supported names: {', '.join(found)}")
                warn(f"Using {found[0]}")
            return found[0]
        parent = os.path.dirname(directory)
        if parent == directory:
            return ""
        directory = parent


def normalized_name(text: str) -> str:
    return "".join(character for character in text.lower() if character in _NAME).lstrip("_-")


def enabled(project: Project, profiles: Sequence[str], named: Sequence[str]) -> Project:
    """The project without the services whose profiles are not wanted; those that are named are."""
    services: dict[str, Tree] = {}
    disabled: dict[str, Tree] = {}
    for name, service in project.services.items():
        own = service.get("profiles") or []
        wanted = not own or "*" in profiles or not set(own).isdisjoint(profiles) or name in named
        (services if wanted else disabled)[name] = service
    return project.but(services=services, disabled=disabled)


def without_unused(project: Project) -> Project:
    """The project with only those networks, volumes, secrets and configs that its services use."""
    networks: set[str] = set()
    volumes: set[str] = set()
    secrets: set[str] = set()
    configs: set[str] = set()
    models: set[str] = set()
    for service in project.services.values():
        networks |= set(service.get("networks") or ())
        models |= set(service.get("models") or ())
        volumes |= {
            mount["source"]
            for mount in service.get("volumes") or ()
            if mount.get("type") == "volume" and mount.get("source")
        }
        secrets |= {use["source"] for use in service.get("secrets") or ()}
        secrets |= {use["source"] for use in (service.get("build") or {}).get("secrets") or ()}
        configs |= {use["source"] for use in service.get("configs") or ()}
    return project.but(
        networks={name: entry for name, entry in project.networks.items() if name in networks},
        volumes={name: entry for name, entry in project.volumes.items() if name in volumes},
        secrets={name: entry for name, entry in project.secrets.items() if name in secrets},
        configs={name: entry for name, entry in project.configs.items() if name in configs},
        models={name: entry for name, entry in project.models.items() if name in models},
    )
