"""The tables of containers and images."""

import re
import time
from typing import Any

import pytest

from cais.cli import container_rows, image_rows
from cais.cli.container_rows import displayed_ports
from cais.cli.formats import plain

ANY = "0.0.0.0"  # noqa: S104 -- shown, not bound to


def container(**fields: Any) -> Any:
    made = {
        "Id": "15dd2bfc35b0" + "0" * 52,
        "Names": ["/web"],
        "Image": "busybox",
        "ImageID": "sha256:" + "7" * 64,
        "Command": "sh -c 'trap \"exit 3\" TERM; x'",
        "Created": int(time.time()) - 5,
        "Ports": [],
        "Labels": {"b": "2", "a": "1"},
        "State": "running",
        "Status": "Up 5 seconds",
        "NetworkSettings": {"Networks": {"bridge": {}}},
        "Mounts": [{"Type": "bind", "Source": "/a/very/long/path/of/it"}],
    }
    return made | fields


def shown(made: Any, *, whole: bool = False) -> dict[str, object]:
    return plain(container_rows.fields(made, whole=whole))


def test_the_table_of_containers_is_docker_s() -> None:
    lines = container_rows.COLUMNS.render("", [container_rows.fields(container(), whole=False)]).splitlines()
    assert lines == [
        "CONTAINER ID   IMAGE     COMMAND                   CREATED         STATUS         PORTS     NAMES",
        '15dd2bfc35b0   busybox   "sh -c \'trap \\"exit 3…"   5 seconds ago   Up 5 seconds             web',
    ]


def test_without_containers_only_the_header_is_shown() -> None:
    assert container_rows.COLUMNS.render("table", []) == (
        "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n"
    )


def test_nothing_is_cut_when_all_is_wanted() -> None:
    fields = shown(container(Names=["/web", "/other/alias"]), whole=True)
    assert len(str(fields["ID"])) == 64
    assert fields["Command"] == '"sh -c \'trap \\"exit 3\\" TERM; x\'"'
    assert fields["Names"] == "web,other/alias"
    assert fields["Mounts"] == "/a/very/long/path/of/it"


def test_what_is_long_is_cut() -> None:
    fields = shown(container(Names=["/other/alias", "/web"]))
    assert fields["Names"] == "web"
    assert fields["Mounts"] == "/a/very/long/p…"
    assert fields["Labels"] == "a=1,b=2"


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("busybox:1", "busybox:1"),
        ("x@sha256:" + "1" * 64, "x"),
        ("x:t@sha256:" + "1" * 64, "x:t"),
        ("sha256:" + "7" * 64, "7" * 12),
        ("7" * 12, "7" * 12),
        ("", "<no image>"),
    ],
)
def test_an_image_is_shown_without_its_digest(image: str, expected: str) -> None:
    assert shown(container(Image=image))["Image"] == expected


def test_sizes_name_the_whole_too() -> None:
    assert shown(container(SizeRw=3_000_000, SizeRootFs=5_000_000))["Size"] == "3MB (virtual 5MB)"
    assert shown(container(SizeRw=0))["Size"] == "0B"


def port(private: int, public: int = 0, address: str = "", protocol: str = "tcp") -> Any:
    made = {"PrivatePort": private, "Type": protocol}
    return made | ({"IP": address, "PublicPort": public} if public else {})


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ([], ""),
        ([port(80)], "80/tcp"),
        ([port(80), port(81), port(82), port(90)], "80-82/tcp, 90/tcp"),
        ([port(80, 8080, ANY), port(80, 8080, "::")], "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"),
        ([port(81, 81, ANY), port(80, 80, ANY)], "0.0.0.0:80-81->80-81/tcp"),
        ([port(53, 53, "::", "udp"), port(53, 53, "::")], "[::]:53->53/tcp, [::]:53->53/udp"),
        ([port(80, 8080, ANY), port(99)], "99/tcp, 0.0.0.0:8080->80/tcp"),
    ],
)
def test_ports_are_joined_and_mapped(ports: Any, expected: str) -> None:
    assert displayed_ports(ports) == expected


def image(**fields: Any) -> Any:
    return {"Id": "sha256:" + "ab" * 32, "Created": int(time.time()) - 500, "Size": 1_984_305} | fields


@pytest.mark.parametrize(
    ("fields", "digests", "rows"),
    [
        ({"RepoTags": None, "RepoDigests": None}, False, [("<none>", "<none>", "<none>")]),
        ({"RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"]}, False, [("<none>", "<none>", "<none>")]),
        ({"RepoTags": ["a:1", "h:5/b:2"]}, False, [("a", "1", "<none>"), ("h:5/b", "2", "<none>")]),
        ({"RepoTags": ["a:1"], "RepoDigests": ["a@sha256:x"]}, False, [("a", "1", "<none>")]),
        ({"RepoTags": ["a:1"], "RepoDigests": ["a@sha256:x"]}, True, [("a", "1", "sha256:x")]),
        ({"RepoTags": [], "RepoDigests": ["a@sha256:x"]}, False, [("a", "<none>", "<none>")]),
        ({"RepoTags": [], "RepoDigests": ["a@sha256:x", "a@sha256:y"]}, False, [("a", "<none>", "<none>")]),
    ],
)
def test_an_image_has_a_row_for_each_name(fields: dict[str, Any], digests: bool, rows: list[Any]) -> None:
    assert list(image_rows.names(image(**fields), digests=digests, alone=digests)) == rows


def test_an_image_is_shown_with_its_age_and_size() -> None:
    fields = plain(image_rows.fields(image(), ("a", "1", "<none>"), whole=False))
    assert (fields["ID"], fields["CreatedSince"], fields["Size"], fields["VirtualSize"]) == (
        "abababababab",
        "8 minutes ago",
        "1.98MB",
        "1.984MB",
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} \S+", str(fields["CreatedAt"]))
