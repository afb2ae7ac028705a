"""Networks and published ports, by the real docker client and by our own command."""

import json
import socket
import urllib.request
from collections.abc import Iterator

import pytest

from tests.harness.engine import Engine, wait_until

TABLE = "NETWORK ID     NAME      DRIVER    SCOPE"
ANY = "0.0.0.0"  # noqa: S104 -- what clients show


@pytest.fixture
def networks(engine: Engine) -> Iterator[Engine]:
    """The engine; networks and containers whose names begin with "cn-" are removed afterwards."""
    yield engine
    engine.remove_containers()
    left = engine.docker_output("network", "ls", "--filter", "name=cn-", "--format", "{{.Name}}").split()
    if left:
        engine.docker_output("network", "rm", *left)


def _start(engine: Engine, name: str, *options: str) -> str:
    return engine.docker_output("run", "-d", "--name", name, *options, "busybox", "sleep", "1000")


def _free_port() -> int:
    with socket.create_server(("", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _network(engine: Engine, container: str, template: str) -> str:
    return engine.docker_output("inspect", "-f", template, container)


def test_a_network_is_made_listed_inspected_and_removed(networks: Engine) -> None:
    identity = networks.docker_output("network", "create", "--label", "a=b", "--internal", "cn-one")
    assert len(identity) == 64
    listed = networks.docker_output("network", "ls", "--filter", "name=cn-").splitlines()
    assert listed == [TABLE, f"{identity[:12]}   cn-one    bridge    local"]
    for words in (
        ["--filter", "label=a=b"],
        ["--filter", f"id={identity[:9]}"],
        ["-f", "name=cn-", "-f", "type=custom"],
    ):
        assert networks.docker_output("network", "ls", "-q", "--no-trunc", *words) == identity, words
    assert networks.docker_output("network", "ls", "-q", "--filter", "label=a=c") == ""
    shown = networks.docker_output("network", "inspect", "-f", "{{.Internal}} {{.Driver}} {{.Labels}}", "cn-one")
    assert shown == "true bridge map[a:b]"
    (whole,) = json.loads(networks.docker_output("network", "inspect", identity[:12]))
    assert (whole["Name"], whole["Containers"]) == ("cn-one", {})
    assert networks.docker_output("network", "rm", "cn-one") == "cn-one"
    done = networks.docker("network", "inspect", "cn-one")
    assert (done.returncode, done.stdout) == (1, "[]\n")
    assert done.stderr == "Error response from daemon: network cn-one not found\n"


def test_ranges_are_given_to_a_network(networks: Engine) -> None:
    words = ("--subnet", "10.232.0.0/24", "--ip-range", "10.232.0.128/25", "--gateway", "10.232.0.254")
    networks.docker_output("network", "create", *words, "--aux-address", "router=10.232.0.129", "cn-one")
    config = json.loads(networks.docker_output("network", "inspect", "-f", "{{json .IPAM.Config}}", "cn-one"))
    assert config == [
        {
            "Subnet": "10.232.0.0/24",
            "IPRange": "10.232.0.128/25",
            "Gateway": "10.232.0.254",
            "AuxiliaryAddresses": {"router": "10.232.0.129"},
        }
    ]
    _start(networks, "cn-a", "--network", "cn-one")
    assert _network(networks, "cn-a", '{{(index .NetworkSettings.Networks "cn-one").IPAddress}}') == "10.232.0.128"
    _start(networks, "cn-b", "--network", "cn-one")
    assert _network(networks, "cn-b", '{{(index .NetworkSettings.Networks "cn-one").IPAddress}}') == "10.232.0.130"
    done = networks.docker("network", "create", "--subnet", "10.232.0.0/16", "cn-two")
    assert done.returncode == 1
    assert done.stderr == (
        "Error response from daemon: invalid pool request: Pool overlaps with other one on this address space\n"
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["create", "bridge"], "operation is not permitted on predefined bridge network"),
        (["create", ""], "invalid name: name is empty"),
        (["create", "--subnet", "x", "cn-x"], "invalid network config:\ninvalid subnet x: invalid CIDR block notation"),
        (
            ["create", "-d", "no-such", "cn-x"],
            'could not find plugin no-such in v1 plugin registry: plugin "no-such" not found',
        ),
        (["connect", "no-such", "cn-x"], "network no-such not found"),
        (["connect", "bridge", "no-such"], "No such container: no-such"),
        (["disconnect", "no-such", "cn-x"], "network no-such not found"),
        (["ls", "--filter", "no-such=x"], "invalid filter 'no-such'"),
    ],
)
def test_what_cannot_be_is_refused(engine: Engine, words: list[str], says: str) -> None:
    done = engine.docker("network", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Error response from daemon: {says}\n"


def test_a_network_in_use_stays(networks: Engine) -> None:
    identity = networks.docker_output("network", "create", "--label", "cn", "cn-one")
    networks.docker_output("network", "create", "cn-two")
    container = _start(networks, "cn-a", "--network", "cn-one")
    done = networks.docker("network", "rm", "cn-one", "cn-two", "cn-none")
    assert (done.returncode, done.stdout) == (1, "cn-two\n")
    first, second, last = done.stderr.splitlines()
    assert 'network cn-one has active endpoints (name:"cn-a" id:"' in first
    assert (second, last) == ("Error response from daemon: network cn-none not found", "exit status 1")
    done = networks.docker("network", "prune", "-f", "--filter", "label=cn")
    assert "cn-one" not in done.stdout
    networks.docker_output("rm", "-f", "cn-a")
    assert container not in networks.docker_output("network", "inspect", "cn-one")
    networks.docker_output("network", "create", "--label", "cn", "--label", "keep", "cn-two")
    done = networks.docker("network", "prune", "-f", "--filter", "label=cn", "--filter", "label!=keep")
    assert done.stdout == "Deleted Networks:\ncn-one\n\n"
    assert networks.docker("network", "inspect", identity).returncode == 1


def test_containers_are_connected_and_disconnected(networks: Engine) -> None:
    networks.docker_output("network", "create", "--subnet", "10.232.1.0/24", "cn-one")
    identity = _start(networks, "cn-a")
    words = ("--ip", "10.232.1.9", "--alias", "x,y", "--driver-opt", "a=b", "--gw-priority", "5")
    assert networks.docker_output("network", "connect", *words, "cn-one", "cn-a") == ""
    shown = json.loads(_network(networks, "cn-a", '{{json (index .NetworkSettings.Networks "cn-one")}}'))
    assert shown["IPAddress"] == "10.232.1.9"
    assert shown["Aliases"] == ["x", "y"]
    assert shown["DNSNames"] == ["cn-a", "x", "y", identity[:12]]
    assert (shown["DriverOpts"], shown["GwPriority"]) == ({"a": "b"}, 5)
    assert "inet 10.232.1.9/24" in networks.docker_output("exec", "cn-a", "ip", "addr", "show", "eth1")
    assert networks.docker_output("exec", "cn-a", "ip", "route", "show", "default").startswith(
        "default via 10.232.1.1 "
    )
    members = networks.docker_output(
        "network", "inspect", "-f", "{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}", "cn-one"
    )
    assert members == "cn-a 10.232.1.9/24"
    assert sorted(networks.docker_output("ps", "--format", "{{.Networks}}").split(",")) == ["bridge", "cn-one"]
    assert networks.docker_output("ps", "--filter", "network=cn-one", "--format", "{{.Names}}") == "cn-a"
    done = networks.docker("network", "connect", "cn-one", "cn-a")
    assert done.stderr == "Error response from daemon: endpoint with name cn-a already exists in network cn-one\n"
    assert networks.docker_output("network", "disconnect", "cn-one", "cn-a") == ""
    done = networks.docker("network", "disconnect", "cn-one", "cn-a")
    assert done.stderr == f"Error response from daemon: container {identity} is not connected to network cn-one\n"
    assert networks.docker("exec", "cn-a", "ip", "addr", "show", "eth1").returncode == 1


def test_the_long_form_of_networks(networks: Engine) -> None:
    networks.docker_output("network", "create", "--subnet", "10.232.2.0/24", "cn-one")
    networks.docker_output("network", "create", "--subnet", "10.232.3.0/24", "cn-two")
    first = "name=cn-one,alias=x,alias=y,ip=10.232.2.5,mac-address=92:d0:c6:0a:29:33"
    _start(networks, "cn-a", "--network", first, "--network", "name=cn-two,gw-priority=10")
    shown = json.loads(_network(networks, "cn-a", "{{json .NetworkSettings.Networks}}"))
    assert shown["cn-one"]["IPAddress"] == "10.232.2.5"
    assert shown["cn-one"]["MacAddress"] == "92:d0:c6:0a:29:33"
    assert shown["cn-one"]["Aliases"] == ["x", "y"]
    assert shown["cn-two"]["GwPriority"] == 10
    assert networks.docker_output("exec", "cn-a", "ip", "route", "show", "default").startswith(
        "default via 10.232.3.1 "
    )
    done = networks.docker("run", "--rm", "--network", "name=cn-one,ip=10.232.2.5", "busybox", "true")
    assert done.returncode == 125
    assert "Address already in use" in done.stderr


def test_ports_are_published_shown_and_reached(networks: Engine) -> None:
    port = _free_port()
    serve = ("sh", "-c", "mkdir /www; echo served > /www/index.html; exec httpd -f -p 80 -h /www")
    options = ("-p", f"{port}:80", "-p", "127.0.0.1::81/udp", "--expose", "90-91/sctp")
    networks.docker_output("run", "-d", "--name", "cn-a", *options, "busybox", *serve)

    def served() -> bool:
        try:
            return bool(urllib.request.urlopen(f"http://localhost:{port}/", timeout=2).read() == b"served\n")
        except OSError:
            return False

    wait_until(served)
    lines = networks.docker_output("port", "cn-a").splitlines()
    assert lines[:2] == [f"80/tcp -> {ANY}:{port}", f"80/tcp -> [::]:{port}"]
    random = lines[2].removeprefix("81/udp -> 127.0.0.1:")
    assert 32768 <= int(random) <= 60999
    assert networks.docker_output("port", "cn-a", "80").splitlines() == [f"{ANY}:{port}", f"[::]:{port}"]
    assert networks.docker_output("port", "cn-a", "81/udp") == f"127.0.0.1:{random}"
    done = networks.docker("port", "cn-a", "81")
    assert (done.returncode, done.stderr) == (1, "Error: No public port '81' published for cn-a\n")
    assert networks.docker_output("ps", "--format", "{{.Ports}}") == (
        f"90-91/sctp, {ANY}:{port}->80/tcp, [::]:{port}->80/tcp, 127.0.0.1:{random}->81/udp"
    )
    for words in (f"publish={port}", "expose=80", "expose=90-91/sctp"):
        assert networks.docker_output("ps", "--filter", words, "--format", "{{.Names}}") == "cn-a"
    done = networks.docker("run", "-d", "--name", "cn-b", "-p", f"{port}:80", "busybox", "true")
    assert done.returncode == 125
    assert "port is already allocated" in done.stderr


def test_all_exposed_ports_are_published(networks: Engine) -> None:
    _start(networks, "cn-a", "-P", "--expose", "80", "--expose", "53/udp")
    bound = json.loads(_network(networks, "cn-a", "{{json .NetworkSettings.Ports}}"))
    assert set(bound) == {"80/tcp", "53/udp"}
    assert all(32768 <= int(one["HostPort"]) <= 60999 for bindings in bound.values() for one in bindings)


def test_the_map_shows_who_is_where(networks: Engine) -> None:
    if networks.client != "cais":
        pytest.skip("docker draws no map")
    networks.docker_output("network", "create", "--subnet", "10.232.4.0/24", "cn-one")
    port = _free_port()
    _start(networks, "cn-a", "--network", "cn-one", "-p", f"127.0.0.1:{port}:80")
    _start(networks, "cn-b", "--network", "container:cn-a")
    assert networks.docker_output("network", "map", "cn-one").splitlines() == [
        "▣ cn-one   bridge   10.232.4.0/24 by 10.232.4.1",
        f"└─● cn-a   10.232.4.2   127.0.0.1:{port}->80/tcp",
        "     └ cn-b   in the same network",
    ]
    found = json.loads(networks.docker_output("network", "map", "--format", "json"))
    (one,) = [network for network in found["Networks"] if network["Name"] == "cn-one"]
    assert [station["Name"] for station in one["Containers"]] == ["cn-a"]
