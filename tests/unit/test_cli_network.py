"""Commands about networks, against an engine with canned answers."""

import os
from typing import Any

import pytest

from cais.cli import network_map
from cais.cli.main import run
from cais.cli.network_map import survey
from cais.client.codec import loads
from tests.unit.conftest import CannedEngine
from tests.unit.scripted_engine import answer

Capture = pytest.CaptureFixture[str]
ONE, OTHER = "a" * 64, "b" * 64
NETWORKS = [
    {
        "Name": "net10",
        "Id": ONE,
        "Created": "2025-01-02T03:04:05.60Z",
        "Driver": "bridge",
        "Scope": "local",
        "EnableIPv4": True,
        "Labels": {"a": "b"},
        "IPAM": {"Config": [{"Subnet": "10.0.0.0/24", "Gateway": "10.0.0.1"}, {"Subnet": "fd00::/64"}]},
    },
    {"Name": "net9", "Id": OTHER, "Driver": "bridge", "Internal": True, "IPAM": {"Config": None}},
    {"Name": "none", "Id": "c" * 64, "Driver": "null"},
]
ANY = "0.0.0.0"  # noqa: S104 -- shown, not bound to
CONTAINERS: list[Any] = [
    {
        "Id": "1",
        "Names": ["/web", "/other/link"],
        "State": "running",
        "HostConfig": {"NetworkMode": "net10"},
        "NetworkSettings": {
            "Networks": {
                "net9": {"IPAddress": "10.9.0.2"},
                "net10": {"IPAddress": "10.0.0.2", "GlobalIPv6Address": "fd00::2"},
            }
        },
        "Ports": [{"IP": ANY, "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}],
    },
    {
        "Id": "2",
        "Names": ["/old"],
        "State": "exited",
        "HostConfig": {"NetworkMode": "net9"},
        "NetworkSettings": {"Networks": {"net9": None}},
        "Ports": None,
    },
    {"Id": "3", "Names": ["/side"], "State": "running", "HostConfig": {"NetworkMode": "container:1"}},
]
PICTURE = """\
▣ net9   bridge internal
├─○ old              exited
└─● web   10.9.0.2   also on net10
     └ side   in the same network

▣ net10   bridge   10.0.0.0/24 by 10.0.0.1, fd00::/64
└─● web   10.0.0.2, fd00::2   0.0.0.0:8080->80/tcp   also on net9
     └ side   in the same network

▣ none
"""


@pytest.fixture
def objects(canned: CannedEngine) -> CannedEngine:
    canned.answers["GET /networks"] = NETWORKS
    canned.answers["GET /containers/json"] = CONTAINERS
    canned.answers["GET /_ping"] = {}
    return canned


def created(canned: CannedEngine, *words: str) -> Any:
    """What the engine was asked to create."""
    canned.answers["GET /_ping"] = {}
    canned.answers["POST /networks/create"] = {"Id": ONE, "Warning": ""}
    assert run(["network", "create", *words]) == 0
    return loads(canned.bodies[-1])


def test_a_network_is_created(canned: CannedEngine, capfd: Capture) -> None:
    made = created(canned, "-d", "macvlan", "-o", "parent=eth0", "--label", "a=b", "--internal", "--ipv6", "n")
    assert capfd.readouterr().out == f"{ONE}\n"
    assert made["Name"] == "n"
    assert made["Driver"] == "macvlan"
    assert made["Options"] == {"parent": "eth0"}
    assert made["Labels"] == {"a": "b"}
    assert made["Internal"] is True
    assert made["EnableIPv6"] is True
    assert "EnableIPv4" not in made
    assert "CheckDuplicate" not in made
    assert created(canned, "--ipv4=false", "n")["EnableIPv4"] is False


def test_an_old_engine_is_told_to_look_for_duplicates(canned: CannedEngine) -> None:
    too_new = b'{"message":"client version 1.51 is too new. Maximum supported API version is 1.41"}'
    canned.answers["GET /_ping"] = answer("400 Bad Request", too_new)
    canned.answers["GET /v1.41/_ping"] = {}
    canned.answers["POST /v1.41/networks/create"] = {"Id": ONE}
    assert run(["network", "create", "n"]) == 0
    assert loads(canned.bodies[-1])["CheckDuplicate"] is True


def test_what_belongs_to_a_subnet_is_put_to_it(canned: CannedEngine) -> None:
    made = created(
        canned,
        *("--subnet", "10.1.0.0/16,10.2.0.0/16", "--subnet", "fd00::/64", "--gateway", "fd00::1"),
        *("--ip-range", "10.2.5.0/24", "--aux-address", "a=10.1.0.5", "--aux-address", "b=10.1.0.6", "n"),
    )
    assert made["IPAM"]["Config"] == [
        {"Subnet": "10.1.0.0/16", "AuxiliaryAddresses": {"a": "10.1.0.5", "b": "10.1.0.6"}},
        {"Subnet": "10.2.0.0/16", "IPRange": "10.2.5.0/24"},
        {"Subnet": "fd00::/64", "Gateway": "fd00::1"},
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--gateway 10.0.0.1", "every ip-range or gateway must have a corresponding subnet"),
        ("--subnet 10.1.0.0/16 --subnet 10.1.5.0/24", "multiple overlapping subnet configuration is not supported"),
        ("--subnet 10.1.0.0/16 --subnet 10.1.0.0/16", "multiple overlapping subnet configuration is not supported"),
        ("--subnet x --subnet y", "invalid subnet: invalid CIDR address: y"),
        (
            "--subnet 10.1.0.0/255.255.0.0 --gateway 10.1.0.1",
            "invalid subnet: invalid CIDR address: 10.1.0.0/255.255.0.0",
        ),
        ("--subnet 10.1.0.0/16 --gateway fd00::1", "no matching subnet for gateway fd00::1"),
        ("--subnet 10.1.0.0/16 --ip-range 10.1.0.5", "invalid CIDR address: 10.1.0.5"),
        ("--subnet 10.1.0.0/16 --ip-range 10.2.0.0/24", "no matching subnet for range 10.2.0.0/24"),
        (
            "--subnet 10.1.0.0/16,10.2.0.0/16 --ip-range 10.1.0.0/24,10.1.1.0/24",
            "cannot configure multiple ranges (10.1.1.0/24, 10.1.0.0/24) on the same subnet (10.1.0.0/16)",
        ),
        (
            "--subnet 10.1.0.0/16,10.2.0.0/16 --gateway 10.1.0.1,10.1.0.2",
            "cannot configure multiple gateways (10.1.0.2, 10.1.0.1) for the same subnet (10.1.0.0/16)",
        ),
        ("--subnet 10.1.0.0/16 --aux-address a", "no matching subnet for aux-address "),
    ],
)
def test_ranges_that_don_t_fit_are_refused(canned: CannedEngine, capfd: Capture, words: str, message: str) -> None:
    assert run(["network", "create", *words.split(), "n"]) == 1
    assert capfd.readouterr().err == f"{message}\n"
    assert canned.requests == []


@pytest.mark.usefixtures("objects")
@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (
            [],
            "NETWORK ID     NAME      DRIVER    SCOPE\n"
            "bbbbbbbbbbbb   net9      bridge    \n"
            "aaaaaaaaaaaa   net10     bridge    local\n"
            "cccccccccccc   none      null      \n",
        ),
        (["-q"], "bbbbbbbbbbbb\naaaaaaaaaaaa\ncccccccccccc\n"),
        (["-q", "--no-trunc"], f"{OTHER}\n{ONE}\n{'c' * 64}\n"),
        (
            ["--format", "{{.Name}} {{.Internal}} {{.IPv4}} {{.Labels}}"],
            "net9 true false \nnet10 false true a=b\nnone false false \n",
        ),
        (["--format", "raw", "-q"], "network_id: bbbbbbbbbbbb\nnetwork_id: aaaaaaaaaaaa\nnetwork_id: cccccccccccc\n"),
    ],
)
def test_networks_are_listed(capfd: Capture, words: list[str], shown: str) -> None:
    assert run(["network", "ls", *words]) == 0
    assert capfd.readouterr().out == shown


@pytest.mark.usefixtures("objects")
def test_the_time_of_a_network_is_go_s(capfd: Capture) -> None:
    assert run(["network", "ls", "--format", '{{.CreatedAt}}{{.Label "a"}}']) == 0
    assert "2025-01-02 03:04:05.6 +0000 UTCb\n" in capfd.readouterr().out


def test_networks_are_removed_one_after_the_other(canned: CannedEngine, capfd: Capture) -> None:
    canned.answers["DELETE /networks/a"] = answer("204 No Content")
    canned.refuse("DELETE /networks/used", "403 Forbidden", "network used has active endpoints")
    assert run(["network", "rm", "missing", "used", "a", ""]) == 1
    captured = capfd.readouterr()
    assert captured.out == "a\n"
    assert captured.err.splitlines() == [
        "Error response from daemon: No such thing: /networks/missing",
        "Error response from daemon: network used has active endpoints",
        "invalid network name or ID: value is empty",
        "exit status 1",
    ]
    assert run(["network", "rm", "-f", "missing", "a"]) == 0
    assert capfd.readouterr() == ("a\n", "")


def test_networks_are_inspected(canned: CannedEngine, capfd: Capture) -> None:
    canned.answers["GET /networks/a"] = NETWORKS[0]
    assert run(["network", "inspect", "-v", "-f", "{{.Name}} {{json .Labels}}", "a", "missing"]) == 1
    captured = capfd.readouterr()
    assert captured.out == 'net10 {"a":"b"}\n'
    assert captured.err == "Error response from daemon: No such thing: /networks/missing\n"
    assert canned.requests[0] == "GET /networks/a?verbose=true"


def test_networks_are_pruned(canned: CannedEngine, capfd: Capture) -> None:
    canned.answers["POST /networks/prune"] = {"NetworksDeleted": ["a", "b"]}
    assert run(["network", "prune", "-f", "--filter", "label=x"]) == 0
    assert capfd.readouterr().out == "Deleted Networks:\na\nb\n\n"
    canned.answers["POST /networks/prune"] = {"NetworksDeleted": None}
    assert run(["network", "prune", "-f"]) == 0
    assert capfd.readouterr().out == ""


def test_a_container_is_connected(canned: CannedEngine) -> None:
    canned.answers["POST /networks/n/connect"] = answer("200 OK")
    words = ["--ip", "10.0.0.5", "--alias", "a,b", "--alias", "c", "--driver-opt", " x = y ", "--gw-priority", "-1"]
    assert run(["network", "connect", *words, "--link", "db:d", "n", "c"]) == 0
    assert loads(canned.bodies[-1]) == {
        "Container": "c",
        "EndpointConfig": {
            "IPAMConfig": {"IPv4Address": "10.0.0.5"},
            "Links": ["db:d"],
            "Aliases": ["a", "b", "c"],
            "DriverOpts": {"x": "y"},
            "GwPriority": -1,
        },
    }
    assert run(["network", "connect", "n", "c"]) == 0
    assert loads(canned.bodies[-1]) == {"Container": "c"}


def test_a_container_is_disconnected(canned: CannedEngine, capfd: Capture) -> None:
    canned.answers["POST /networks/n/disconnect"] = answer("200 OK")
    assert run(["network", "disconnect", "-f", "n", "c"]) == 0
    assert loads(canned.bodies[-1]) == {"Container": "c", "Force": True}
    assert run(["network", "disconnect", "n", ""]) == 1
    assert run(["network", "disconnect", "", "c"]) == 1
    assert capfd.readouterr().err == (
        "invalid container name or ID: value is empty\ninvalid network name or ID: value is empty\n"
    )


@pytest.mark.parametrize("option", ["x", "=x"])
def test_a_driver_option_has_a_name_and_a_value(canned: CannedEngine, capfd: Capture, option: str) -> None:
    assert run(["network", "connect", "--driver-opt", option, "n", "c"]) == 1
    assert capfd.readouterr().err == "invalid key/value pair format in driver options\n"
    assert canned.requests == []


def test_the_map(objects: CannedEngine, capfd: Capture) -> None:
    assert run(["network", "map", "-a"]) == 0
    assert capfd.readouterr().out == PICTURE
    assert objects.requests == ["GET /networks", "GET /containers/json?all=1"]


@pytest.mark.usefixtures("objects")
def test_the_map_of_some_networks(capfd: Capture) -> None:
    assert run(["network", "map", "none", "aaaa"]) == 0
    assert capfd.readouterr().out.splitlines()[:3:2] == [
        "▣ none",
        "▣ net10   bridge   10.0.0.0/24 by 10.0.0.1, fd00::/64",
    ]
    assert run(["network", "map", "nope"]) == 1
    assert capfd.readouterr().err == "network nope not found\n"


@pytest.mark.usefixtures("objects")
def test_the_map_as_json_and_as_a_template_says(capfd: Capture) -> None:
    assert run(["network", "map", "--format", "json", "net10"]) == 0
    (network,) = loads(capfd.readouterr().out.encode())["Networks"]
    assert network["Ranges"][0] == {"Subnet": "10.0.0.0/24", "Gateway": "10.0.0.1"}
    (station,) = network["Containers"]
    assert station["Addresses"] == ["10.0.0.2", "fd00::2"]
    assert station["Networks"] == ["net10", "net9"]
    assert station["SharedBy"] == ["side"]
    assert run(["network", "map", "--format", "{{range .Networks}}{{.Name}} {{len .Containers}};{{end}}"]) == 0
    assert capfd.readouterr().out == "net9 2;net10 1;none 0;\n"


def test_the_map_fits_the_screen_and_obeys_no_name(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    evil: Any = [{**CONTAINERS[0], "Names": ["/\x1b[2Jweb"]}]
    picture = network_map._Picture(20)
    lines = list(picture.lines(survey(NETWORKS, evil)))  # type: ignore[arg-type]
    assert all(len(line) <= 20 for line in lines)
    assert "\x1b" not in "".join(lines)
    monkeypatch.setattr(os, "isatty", lambda _descriptor: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    styled = "\n".join(network_map._Picture(80).lines(survey(NETWORKS, CONTAINERS)))  # type: ignore[arg-type]
    assert "\x1b[36m10.0.0.2, fd00::2\x1b[0m" in styled
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in "\n".join(network_map._Picture(80).lines(survey(NETWORKS, CONTAINERS)))  # type: ignore[arg-type]
