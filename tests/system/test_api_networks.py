"""The API of networks: its answers, errors, filters and events."""

import json
from urllib.parse import quote

import pytest

from tests.harness import life
from tests.harness.engine import Daemon
from tests.harness.life import refused
from tests.harness.networks import address, idle, inside


def _create(daemon: Daemon, name: str, **body: object) -> str:
    answer = daemon.ask("POST", "/networks/create", {"Name": name, **body})
    assert answer.status == 201, answer.body
    assert answer.json["Warning"].text == ""
    return answer.json["Id"].text


def _listed(daemon: Daemon, **filters: list[str]) -> set[str]:
    answer = daemon.ask("GET", f"/networks?filters={quote(json.dumps(filters))}")
    assert answer.status == 200, answer.body
    return {item["Name"] for item in json.loads(answer.body)}


def _connect(daemon: Daemon, network: str, container: str, **endpoint: object) -> tuple[int, str]:
    answer = daemon.ask(
        "POST", f"/networks/{network}/connect", {"Container": container, "EndpointConfig": endpoint or None}
    )
    return answer.status, answer.message if answer.status >= 400 else ""


def test_three_networks_are_always_there(caisd: Daemon) -> None:
    assert _listed(caisd, type=["builtin"]) == {"bridge", "host", "none"}
    bridge = json.loads(caisd.ask("GET", "/networks/bridge").body)
    assert (bridge["Driver"], bridge["Scope"], bridge["EnableIPv4"], bridge["EnableIPv6"]) == (
        "bridge", "local", True, False,
    )  # fmt: skip
    assert bridge["Options"]["com.docker.network.bridge.default_bridge"] == "true"
    (config,) = bridge["IPAM"]["Config"]
    assert config["Gateway"] == config["Subnet"].replace(".0/16", ".1")
    assert json.loads(caisd.ask("GET", f"/networks/{bridge['Id'][:9]}").body)["Name"] == "bridge"


def test_what_was_asked_for_is_shown(caisd: Daemon) -> None:
    config = {
        "Subnet": "10.215.0.0/24", "IPRange": "10.215.0.64/26", "Gateway": "10.215.0.9",
        "AuxiliaryAddresses": {"router": "10.215.0.64"},
    }  # fmt: skip
    network = _create(
        caisd, "mine", Labels={"a": "b"}, Options={"com.docker.network.driver.mtu": "1300"}, Attachable=True,
        IPAM={"Config": [config]},
    )  # fmt: skip
    container = life.run(caisd, "sleep", "100", name="c1", host_config={"NetworkMode": "mine"})
    shown = json.loads(caisd.ask("GET", "/networks/mine").body)
    assert (shown["Id"], shown["Labels"], shown["Attachable"]) == (network, {"a": "b"}, True)
    assert shown["IPAM"] == {"Driver": "default", "Options": None, "Config": [config]}
    member = shown["Containers"][container]
    assert (member["Name"], member["IPv4Address"], member["IPv6Address"]) == ("c1", "10.215.0.65/24", "")
    assert member["MacAddress"] == "02:42:0a:d7:00:41"
    assert "mtu 1300" in inside(caisd, "c1", "ip link show eth0")
    endpoint = json.loads(caisd.ask("GET", "/containers/c1/json").body)["NetworkSettings"]["Networks"]["mine"]
    assert (endpoint["Gateway"], endpoint["IPPrefixLen"], endpoint["EndpointID"]) == (
        "10.215.0.9", 24, member["EndpointID"],
    )  # fmt: skip
    assert endpoint["DNSNames"] == ["c1", container[:12]]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"Name": ""}, 400, "invalid name: name is empty"),
        ({"Name": "bridge"}, 403, "operation is not permitted on predefined bridge network"),
        ({"Name": "n", "Driver": "host"}, 403, 'only one instance of "host" network is allowed'),
        ({"Name": "n", "Driver": "nope"}, 404, 'plugin "nope" not found'),
        ({"Name": "n", "Driver": "overlay"}, 501, "networks of a swarm are not supported"),
        ({"Name": "n", "Driver": "macvlan"}, 501, "without a parent link"),
        (
            {"Name": "n", "Driver": "macvlan", "Options": {"parent": "lo", "macvlan_mode": "x"}},
            400, "requested macvlan mode 'x' is not valid",
        ),
        ({"Name": "n", "IPAM": {"Config": [{"Subnet": "10.1.2.0/99"}]}}, 400, "invalid CIDR block notation"),
        ({"Name": "n", "IPAM": {"Config": [{"Subnet": "10.1.2.3/24"}]}}, 400, "it should be 10.1.2.0/24"),
        (
            {"Name": "n", "IPAM": {"Config": [{"Subnet": "10.1.2.0/24", "Gateway": "10.1.3.1"}]}},
            400, "invalid gateway 10.1.3.1: parent subnet 10.1.2.0/24 doesn't contain this address",
        ),
        (
            {"Name": "n", "IPAM": {"Config": [{"Subnet": "10.1.2.0/24", "IPRange": "10.1.0.0/16"}]}},
            400, "invalid ip-range 10.1.0.0/16: CIDR block is bigger than its parent subnet 10.1.2.0/24",
        ),
        (
            {"Name": "n", "Options": {"com.docker.network.bridge.enable_icc": "maybe"}},
            400, 'strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
        (
            {"Name": "n", "Options": {"com.docker.network.driver.mtu": "x"}},
            400, 'strconv.Atoi: parsing "x": invalid syntax',
        ),
        (
            {"Name": "n", "Options": {"com.docker.network.bridge.gateway_mode_ipv4": "routed"}},
            501, "gateway_mode_ipv4=routed is not supported yet",
        ),
        (
            {"Name": "n", "Options": {"com.docker.network.bridge.gateway_mode_ipv6": "odd"}},
            400, "failed to parse com.docker.network.bridge.gateway_mode_ipv6 value: odd (unknown gateway mode odd)",
        ),
        (
            {"Name": "n", "Options": {"com.docker.network.bridge.gateway_mode_ipv4": "isolated"}},
            500, "gateway mode 'isolated' can only be used for an internal network",
        ),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else None,
)  # fmt: skip
def test_what_makes_no_sense_is_refused(caisd: Daemon, body: object, status: int, message: str) -> None:
    found, text = refused(caisd, "POST", "/networks/create", body)
    assert message in text
    assert found == status
    assert _listed(caisd, type=["custom"]) == set()


@pytest.mark.parametrize(
    ("given", "status", "message"),
    [
        ("1.2.3", 400, "invalid link-local IP address: 1.2.3"),
        ("0.0.0.0", 400, "invalid link-local IP address: 0.0.0.0"),  # noqa: S104
        ("10.1.1.1", 400, "invalid link local IP address: 10.1.1.1"),
    ],
)
def test_an_address_that_is_none_of_the_link_is_refused(caisd: Daemon, given: str, status: int, message: str) -> None:
    caisd.docker_output("network", "create", "near")
    caisd.docker_output("run", "-d", "--name", "c1", "busybox", "sleep", "100")
    body = {"Container": "c1", "EndpointConfig": {"IPAMConfig": {"LinkLocalIPs": [given]}}}
    found, text = refused(caisd, "POST", "/networks/near/connect", body)
    assert message in text
    assert found == status


def test_names_and_ranges_are_given_once(caisd: Daemon) -> None:
    _create(caisd, "mine", IPAM={"Config": [{"Subnet": "10.215.0.0/24"}]})
    assert refused(caisd, "POST", "/networks/create", {"Name": "mine"}) == (
        409, "network with name mine already exists",
    )  # fmt: skip
    body = {"Name": "other", "IPAM": {"Config": [{"Subnet": "10.215.0.128/25"}]}}
    assert refused(caisd, "POST", "/networks/create", body) == (
        403, "invalid pool request: Pool overlaps with other one on this address space",
    )  # fmt: skip


def test_removing(caisd: Daemon) -> None:
    assert refused(caisd, "DELETE", "/networks/nope") == (404, "network nope not found")
    assert refused(caisd, "DELETE", "/networks/none") == (
        403, "none is a pre-defined network and cannot be removed",
    )  # fmt: skip
    _create(caisd, "mine")
    life.run(caisd, "sleep", "100", name="c1", host_config={"NetworkMode": "mine"})
    status, message = refused(caisd, "DELETE", "/networks/mine")
    assert status == 403
    assert message.startswith('error while removing network: network mine has active endpoints (name:"c1" id:"')
    caisd.remove_containers()
    assert caisd.ask("DELETE", "/networks/mine").status == 204
    assert refused(caisd, "GET", "/networks/mine") == (404, "network mine not found")


def test_containers_without_a_network_of_their_own_are_shown_too(caisd: Daemon) -> None:
    for mode in ("host", "none"):
        container = life.run(caisd, "sleep", "100", name=f"on-{mode}", host_config={"NetworkMode": mode})
        member = json.loads(caisd.ask("GET", f"/networks/{mode}").body)["Containers"][container]
        assert (member["Name"], member["IPv4Address"], member["MacAddress"]) == (f"on-{mode}", "", "")
    assert caisd.ask("POST", "/networks/none/disconnect", {"Container": "on-none"}).status == 200
    _create(caisd, "mine")
    assert _connect(caisd, "mine", "on-none") == (200, "")
    assert inside(caisd, "on-none", "ls /sys/class/net").split() == ["eth0", "lo"]


def test_connecting_is_refused_where_it_makes_no_sense(caisd: Daemon) -> None:
    _create(caisd, "mine")
    _create(caisd, "own", IPAM={"Config": [{"Subnet": "10.215.1.0/24"}]})
    idle(caisd, "c1")
    for name, mode in (("on-host", "host"), ("on-none", "none"), ("on-c1", "container:c1")):
        life.run(caisd, "sleep", "100", name=name, host_config={"NetworkMode": mode})
    host = "container cannot be disconnected from host network or connected to host network"
    shared = (
        "container sharing network namespace with another container or host cannot be connected to any other network"
    )
    private = "container cannot be connected to multiple networks with one of the networks in private (none) mode"
    assert _connect(caisd, "host", "c1") == (400, host)
    assert _connect(caisd, "none", "c1") == (400, private)
    assert _connect(caisd, "mine", "on-host") == (400, shared)
    assert _connect(caisd, "mine", "on-c1") == (400, shared)
    assert _connect(caisd, "mine", "on-none") == (400, private)
    assert _connect(caisd, "mine", "nope") == (404, "No such container: nope")
    assert _connect(caisd, "nope", "c1") == (404, "network nope not found")
    status, message = _connect(caisd, "mine", "c1", IPAMConfig={"IPv4Address": "172.31.0.9"})
    assert status == 400
    assert "user specified IP address is supported only when connecting to networks with user configured" in message
    status, message = _connect(caisd, "own", "c1", IPAMConfig={"IPv4Address": "10.216.0.9"})
    assert (status, message.splitlines()[1]) == (
        400, "no configured subnet or ip-range contain the IP address 10.216.0.9",
    )  # fmt: skip
    assert _connect(caisd, "own", "c1", IPAMConfig={"IPv4Address": "10.215.1.1"}) == (403, "Address already in use")
    assert inside(caisd, "c1", "ls /sys/class/net").split() == ["eth0", "lo"]
    assert _connect(caisd, "mine", "c1") == (200, "")
    assert _connect(caisd, "mine", "c1") == (403, "endpoint with name c1 already exists in network mine")
    disconnect = {"Container": "on-host"}
    assert refused(caisd, "POST", "/networks/host/disconnect", disconnect) == (400, host)
    status, message = refused(caisd, "POST", "/networks/own/disconnect", {"Container": "c1"})
    assert (status, message.endswith("is not connected to network own")) == (403, True)


def test_a_stopped_container_is_connected_when_it_starts(caisd: Daemon) -> None:
    network = _create(caisd, "mine")
    life.create(caisd, "sleep", "100", name="c1")
    assert _connect(caisd, "mine", "c1", Aliases=["x"]) == (200, "")
    caisd.docker_output("start", "c1")
    assert inside(caisd, "c1", "ls /sys/class/net").split() == ["eth0", "eth1", "lo"]
    idle(caisd, "c2", "--network", "mine")
    assert "1 packets received" in inside(caisd, "c2", "ping -c 1 -W 1 x")
    assert caisd.ask("POST", f"/networks/{network[:10]}/disconnect", {"Container": "c1"}).status == 200
    assert "bad address" in caisd.docker("exec", "c2", "ping", "-c", "1", "x").stderr


def test_a_network_that_is_missing_fails_the_start(caisd: Daemon) -> None:
    container = life.create(caisd, "true", host_config={"NetworkMode": "later"})
    assert refused(caisd, "POST", f"/containers/{container}/start") == (
        404, "failed to set up container networking: network later not found",
    )  # fmt: skip
    _create(caisd, "later")
    life.post(caisd, container, "start")


def test_settings_of_the_default_bridge_are_checked_when_a_container_is_made(caisd: Daemon) -> None:
    for endpoint, message in (
        ({"IPAMConfig": {"IPv4Address": "172.17.0.9"}}, "user specified IP address is supported on user defined"),
        ({"Aliases": ["x"]}, "network-scoped alias is supported only for containers in user defined networks"),
        ({"MacAddress": "zz"}, "invalid MAC address: zz"),
    ):
        body = {"Image": "busybox", "NetworkingConfig": {"EndpointsConfig": {"bridge": endpoint}}}
        status, text = refused(caisd, "POST", "/containers/create", body)
        assert (status, message in text) == (400, True), text


def test_filters(caisd: Daemon) -> None:
    network = _create(caisd, "mine", Labels={"a": "b"})
    _create(caisd, "used")
    idle(caisd, "c1", "--network", "used")
    assert _listed(caisd, name=["min"]) == {"mine"}
    assert _listed(caisd, id=[network[:8]]) == {"mine"}
    assert _listed(caisd, label=["a=b"]) == {"mine"}
    assert _listed(caisd, driver=["null"]) == {"none"}
    assert _listed(caisd, type=["custom"]) == {"mine", "used"}
    assert _listed(caisd, dangling=["true"]) == {"mine"}
    assert _listed(caisd, dangling=["false"]) == {"used", "bridge", "host", "none"}
    assert _listed(caisd, scope=["swarm"]) == set()
    assert refused(caisd, "GET", '/networks?filters={"x":["y"]}') == (400, "invalid filter 'x'")
    assert refused(caisd, "GET", '/networks?filters={"type":["y"]}')[0] == 400
    answer = caisd.ask("GET", '/containers/json?filters={"network":["used"]}')
    assert [item["Names"] for item in json.loads(answer.body)] == [["/c1"]]


def test_pruning_and_events(caisd: Daemon) -> None:
    network = _create(caisd, "mine", Labels={"a": "b"})
    _create(caisd, "used")
    idle(caisd, "c1", "--network", "used")
    caisd.docker_output("network", "connect", "mine", "c1")
    caisd.docker_output("network", "disconnect", "mine", "c1")
    assert caisd.ask("POST", '/networks/prune?filters={"label!":["a=b"]}').json["NetworksDeleted"].value == []
    assert caisd.ask("POST", "/networks/prune").json["NetworksDeleted"].value == ["mine"]
    told = life.events(caisd, network=[network])
    assert [event["Action"].text for event in told] == ["create", "connect", "disconnect", "destroy"]
    container = caisd.inspect("c1")["Id"].text
    assert told[1]["Actor"]["Attributes"].value == {"name": "mine", "type": "bridge", "container": container}


def test_published_ports_are_shown(caisd: Daemon) -> None:
    body = {
        "ExposedPorts": {"81/tcp": {}},
        "host_config": {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18150"}]}},
    }
    life.run(caisd, "sleep", "100", name="c1", **body)
    settings = json.loads(caisd.ask("GET", "/containers/c1/json").body)["NetworkSettings"]
    assert settings["Ports"] == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18150"}], "81/tcp": None}
    assert settings["IPAddress"] == address(caisd, "c1")
    (listed,) = json.loads(caisd.ask("GET", '/containers/json?filters={"publish":["18150"]}').body)
    assert listed["Ports"] == [
        {"IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": 18150, "Type": "tcp"},
        {"PrivatePort": 81, "Type": "tcp"},
    ]
    caisd.docker_output("stop", "-t", "0", "c1")
    settings = json.loads(caisd.ask("GET", "/containers/c1/json").body)["NetworkSettings"]
    assert (settings["Ports"], settings["IPAddress"], settings["SandboxID"]) == ({}, "", "")


@pytest.mark.parametrize(
    ("ports", "message"),
    [
        ({"80/tcp": [{"HostPort": "99999"}]}, 'invalid port specification: "99999"'),
        ({"80/xyz": [{"HostPort": "80"}]}, "invalid port specification: 80/xyz"),
        ({"80/tcp": [{"HostIp": "x"}]}, "invalid IP address: x"),
    ],
)
def test_ports_that_make_no_sense_are_refused(caisd: Daemon, ports: object, message: str) -> None:
    body = {"Image": "busybox", "HostConfig": {"PortBindings": ports}}
    assert refused(caisd, "POST", "/containers/create", body) == (400, message)


def test_with_the_host_s_network_ports_are_discarded_with_a_warning(caisd: Daemon) -> None:
    hc = {"NetworkMode": "host", "PortBindings": {"80/tcp": [{"HostPort": "18151"}]}}
    answer = caisd.ask("POST", "/containers/create", {"Image": "busybox", "Cmd": ["true"], "HostConfig": hc})
    assert answer.json["Warnings"].value == ["Published ports are discarded when using host network mode"]


def test_links_on_the_default_bridge(caisd: Daemon) -> None:
    target = idle(caisd, "db")
    assert inside(caisd, "db", "true") == ""
    caisd.docker_output("run", "-d", "--name", "app", "--link", "db:store", "busybox", "sleep", "100")
    assert f"{target}\tstore" in inside(caisd, "app", "cat /etc/hosts")
    assert "1 packets received" in inside(caisd, "app", "ping -c 1 -W 1 store")
    caisd.docker_output("rm", "-f", "app")
    caisd.docker_output("stop", "-t", "0", "db")
    done = caisd.docker("run", "--name", "app", "--link", "db:store", "busybox", "true")
    assert "Cannot link to a non running container: /db AS /app/store" in done.stderr
    assert (
        "could not get container for nope: No such container: nope"
        in caisd.docker("run", "--link", "nope", "busybox", "true").stderr
    )


def test_links_outlive_a_new_name_of_what_they_lead_to(caisd: Daemon) -> None:
    idle(caisd, "db")
    caisd.docker_output("run", "-d", "--name", "app", "--link", "db:store", "busybox", "sleep", "100")
    assert caisd.inspect("app")["HostConfig"]["Links"].value == ["/db:/app/store"]
    (listed,) = caisd.ask("GET", '/containers/json?filters={"name":["db"]}').json.items
    assert listed["Names"].value == ["/db", "/app/store"]
    caisd.docker_output("rename", "db", "base")
    idle(caisd, "db")
    assert caisd.inspect("app")["HostConfig"]["Links"].value == ["/base:/app/store"]
    caisd.docker_output("restart", "-t", "0", "app")
    target = caisd.inspect("base")["NetworkSettings"]["IPAddress"].text
    assert f"{target}\tstore" in inside(caisd, "app", "cat /etc/hosts")


def test_a_link_leads_to_whose_network_a_container_shares(caisd: Daemon) -> None:
    target = idle(caisd, "db")
    caisd.docker_output("run", "-d", "--name", "beside", "--network", "container:db", "busybox", "sleep", "100")
    assert f"{target}\tstore" in caisd.docker_output("run", "--link", "beside:store", "busybox", "cat", "/etc/hosts")
    caisd.docker_output("run", "-d", "--name", "outside", "--network", "host", "busybox", "sleep", "100")
    assert "conflicting options: host type networking can't be used with links" in (
        caisd.docker("run", "--link", "outside:store", "busybox", "true").stderr
    )
