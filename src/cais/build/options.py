"""What a build is asked to be, beside its Dockerfile and its context."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cais.distribution.reference import Reference
from cais.distribution.registry_auth import Credentials
from cais.engine.models import Ulimit


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What each command of a build may use; 0 and "" are "no limit". The numbers are those of a container's."""

    memory_bytes: int = 0
    memory_swap_bytes: int = 0
    cpu_shares: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    shm_bytes: int = 0
    ulimits: tuple[Ulimit, ...] = ()
    cgroup_parent: str = ""


@dataclass(frozen=True, slots=True)
class NamedContext:
    """What a name in `--from` or FROM stands for: an image, or a folder whose files never change.

    contents: digests of the folder's files, by inode; they are added to.
    """

    image: str = ""
    folder: Path | None = None
    contents: dict[int, bytes] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """The options. `dockerfile`: its path in the context. `credentials`: by the host of a registry.

    `secrets`: what `RUN --mount=type=secret` finds, by id. `ssh`: sockets of agents on this machine, by id.
    `cache_from`: images that are here and have the cache of another build; others are no help. `exports_cache`: make
    such images of this one. `squash`: what is added becomes one layer. `fresh_stages`: those that no cache is used for.
    `contexts`: by name, in lower case.
    """

    tags: tuple[Reference, ...] = ()
    dockerfile: str = ""
    target: str = ""
    build_args: Mapping[str, str | None] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    platform: str = ""
    network: str = ""
    extra_hosts: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    pull: bool = False
    no_cache: bool = False
    cache_from: tuple[str, ...] = ()
    exports_cache: bool = False
    squash: bool = False
    fresh_stages: frozenset[str] = frozenset()
    secrets: Mapping[str, bytes] = field(default_factory=dict)
    ssh: Mapping[str, str] = field(default_factory=dict)
    contexts: Mapping[str, NamedContext] = field(default_factory=dict)
    credentials: Mapping[str, Credentials] = field(default_factory=dict)
