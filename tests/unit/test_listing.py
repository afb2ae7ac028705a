from collections.abc import Iterator
from typing import Any, cast

import pytest

from cais.engine import listing
from cais.engine.container import Container
from cais.engine.containers import Containers
from cais.engine.filters import Filters
from cais.engine.images import Images
from cais.engine.models import ContainerConfig, MountPoint, State, Status
from cais.errors import InvalidArgument, NotFound
from tests.unit.test_container import make_container

SECOND = 1_000_000_000


class Known:
    """The two questions that `choose` asks of the containers."""

    def __init__(self, *containers: Container) -> None:
        self._containers = containers

    def __iter__(self) -> Iterator[Container]:
        return iter(self._containers)

    def find(self, reference: str) -> Container:
        for container in self._containers:
            if reference in {container.name, container.id}:
                return container
        raise NotFound(f"No such container: {reference}")


class KnownImages:
    class Image:
        id = "sha256:box"

    def resolve(self, name: str) -> Image:
        if name not in {"busybox", "box"}:
            raise NotFound(f"No such image: {name}")
        return self.Image()


def _containers() -> Known:
    web = make_container("web", id="a1" * 32, created_ns=1, image_id="sha256:box")
    web.record.state = State(status=Status.RUNNING, pid=7, started_at_ns=SECOND)
    web.record.mounts = [MountPoint(Type="bind", Source="/s", Destination="/d")]
    database = make_container("db", id="b2" * 32, created_ns=2)
    database.record.state = State(status=Status.EXITED, exit_code=3, started_at_ns=1, finished_at_ns=2)
    database.record.config = ContainerConfig(Labels={"tier": "back"}, ExposedPorts={"5432/tcp": {}})
    new = make_container("new", id="c3" * 32, created_ns=3)
    new.record.host_config.NetworkMode = "none"
    return Known(web, database, new)


def _choose(filters: dict[str, list[str]] | None = None, **options: Any) -> list[str]:
    known = cast(Containers, _containers())
    images = cast(Images, KnownImages())
    return [container.name for container in listing.choose(known, images, Filters(filters), **options)]


def test_those_that_run_or_all_newest_first() -> None:
    assert _choose() == ["web"]
    assert _choose(show_all=True) == ["new", "db", "web"]
    assert _choose(limit=2) == ["new", "db"]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"name": ["b"]}, ["db", "web"]),
        ({"name": ["^/db$"]}, ["db"]),
        ({"id": ["b2b2"]}, ["db"]),
        ({"status": ["created", "exited"]}, ["new", "db"]),
        ({"exited": ["3"]}, ["db"]),
        ({"exited": ["0"]}, []),
        ({"label": ["tier"]}, ["db"]),
        ({"label": ["tier=front"]}, []),
        ({"before": ["new"]}, ["db", "web"]),
        ({"since": ["web"]}, ["new", "db"]),
        ({"ancestor": ["busybox"]}, ["web"]),
        ({"ancestor": ["absent"]}, []),
        ({"network": ["none"]}, ["new"]),
        ({"network": ["bridge"]}, ["db", "web"]),
        ({"volume": ["/d"]}, ["web"]),
        ({"expose": ["5400-5500"]}, ["db"]),
        ({"expose": ["5432/udp"]}, []),
        ({"publish": ["80"]}, []),
        ({"health": ["none"]}, ["new", "db", "web"]),
        ({"health": ["healthy"]}, []),
        ({"is-task": ["true"]}, []),
        ({"name": ["b"], "status": ["running"]}, ["web"]),
    ],
    ids=str,
)
def test_filters(filters: dict[str, list[str]], names: list[str]) -> None:
    assert _choose(filters, show_all=True) == names


def test_asking_for_a_state_shows_those_in_it() -> None:
    assert _choose({"status": ["exited"]}) == ["db"]


@pytest.mark.parametrize(
    "filters",
    [{"colour": ["red"]}, {"status": ["asleep"]}, {"exited": ["x"]}, {"health": ["fine"]}, {"expose": ["x"]},
     {"expose": ["90-80"]}, {"is-task": ["maybe"]}, {"publish": ["99999"]}],
    ids=str,
)  # fmt: skip
def test_what_is_no_filter_is_refused(filters: dict[str, list[str]]) -> None:
    with pytest.raises(InvalidArgument, match=r"filter|invalid syntax|invalid range|error while looking up"):
        _choose(filters)


def test_a_filter_by_a_container_that_is_none() -> None:
    with pytest.raises(NotFound):
        _choose({"before": ["absent"]})


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"), (119, "About a minute"),
     (120, "2 minutes"), (3599, "59 minutes"), (3600, "About an hour"), (7200, "2 hours"), (47 * 3600, "47 hours"),
     (48 * 3600, "2 days"), (13 * 86400, "13 days"), (14 * 86400, "2 weeks"), (60 * 86400, "2 months"),
     (730 * 86400, "2 years")],
)  # fmt: skip
def test_durations_in_docker_s_words(seconds: float, words: str) -> None:
    assert listing.human_duration(seconds) == words


def test_states_in_docker_s_words() -> None:
    web, database, new = _containers()
    assert listing.status_text(web, 6 * SECOND) == "Up 5 seconds"
    assert listing.status_text(database, 3601 * SECOND) == "Exited (3) About an hour ago"
    assert listing.status_text(new) == "Created"
    new.removing = True
    assert listing.status_text(new) == "Removal In Progress"


def test_only_a_state_brings_in_what_does_not_run() -> None:
    for filters in ({"exited": ["0", "1", "3", "137"]}, {"since": ["web"]}, {"before": ["web"]}):
        assert "db" not in _choose(filters)
