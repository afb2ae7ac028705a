"""Networks: who reaches whom, by address, from the host, from its neighbours, and after faults."""

import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import host
from tests.harness.engine import Daemon, wait_until
from tests.harness.lan import UDP_CLIENT, Lan, fetch, has_ipv6, neighbour
from tests.harness.networks import address, idle, inside, reaches, refused, serve, udp_echo


@pytest.fixture(scope="module")
def lan() -> Iterator[Lan]:
    with neighbour() as made:
        made.serve(8000)
        yield made


def test_a_container_reaches_the_world_with_the_host_s_address(caisd: Daemon, lan: Lan) -> None:
    idle(caisd, "c1")
    assert reaches(caisd, "c1", f"http://{lan.address}:8000") == lan.host
    caisd.docker_output("network", "create", "mine")
    idle(caisd, "c2", "--network", "mine")
    assert reaches(caisd, "c2", f"http://{lan.address}:8000") == lan.host


def test_without_masquerading_it_keeps_its_own(caisd: Daemon, lan: Lan) -> None:
    caisd.docker_output("network", "create", "-o", "com.docker.network.bridge.enable_ip_masquerade=false", "plain")
    own = idle(caisd, "c1", "--network", "plain")
    assert lan.run("ip", "route", "replace", f"{own}/32", "via", lan.host).returncode == 0
    assert reaches(caisd, "c1", f"http://{lan.address}:8000") == own


def test_a_published_port_is_reached_from_everywhere(caisd: Daemon, lan: Lan) -> None:
    serve(caisd, "web", "-p", "18091:80")
    idle(caisd, "other")
    gateway = address(caisd, "web", field="Gateway")
    for url in ("localhost:18091", "127.0.0.1:18091", f"{lan.host}:18091", f"{gateway}:18091"):
        assert fetch(f"http://{url}") == "web", url
    assert lan.fetch(f"http://{lan.host}:18091") == "web"
    for name in ("other", "web"):  # by the host's address, the container itself included
        assert reaches(caisd, name, f"http://{lan.host}:18091") == "web"
    caisd.docker_output("network", "create", "apart")
    idle(caisd, "stranger", "--network", "apart")
    assert reaches(caisd, "stranger", f"http://{lan.host}:18091") == "web"


def test_and_by_ipv6_though_the_container_has_none(caisd: Daemon) -> None:
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")
    serve(caisd, "web", "-p", "18092:80")
    with urllib.request.urlopen("http://[::1]:18092", timeout=2) as answer:
        assert answer.read() == b"web\n"


def test_one_published_on_the_loopback_is_for_the_host_alone(caisd: Daemon, lan: Lan) -> None:
    own = serve(caisd, "web", "-p", "127.0.0.1:18093:80")
    assert fetch("http://127.0.0.1:18093") == "web"
    assert fetch(f"http://{lan.host}:18093") == ""
    assert lan.fetch(f"http://{lan.host}:18093") == ""
    # A neighbour that sends packets to the host's loopback, or to the container itself.
    lan.run("ip", "addr", "flush", "dev", "lo")
    lan.run("sysctl", "-q", "-w", "net.ipv4.conf.all.route_localnet=1")
    lan.run("ip", "route", "replace", "127.0.0.0/8", "via", lan.host)
    assert lan.fetch("http://127.0.0.1:18093", 1) == ""
    lan.run("ip", "route", "del", "127.0.0.0/8")
    assert lan.fetch(f"http://{own}", 1) == ""
    assert fetch(f"http://{own}") == "web"


def test_a_container_does_not_reach_the_loopback_of_the_host(caisd: Daemon) -> None:
    idle(caisd, "c1", "--privileged")
    serve(caisd, "web", "-p", "127.0.0.1:18094:80")
    gateway = address(caisd, "c1", field="Gateway")
    inside(caisd, "c1", f"ip addr flush dev lo; ip route add 127.0.0.0/8 via {gateway}")
    inside(caisd, "c1", "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet")
    assert reaches(caisd, "c1", "http://127.0.0.1:18094") == ""


def test_networks_are_apart(caisd: Daemon) -> None:
    caisd.docker_output("network", "create", "one")
    caisd.docker_output("network", "create", "two")
    first = serve(caisd, "first", "--network", "one")
    second = serve(caisd, "second", "--network", "two")
    third = serve(caisd, "third")
    for name in ("first", "second", "third"):
        others = {"first": first, "second": second, "third": third}
        for other, target in others.items():
            assert reaches(caisd, name, f"http://{target}", 0.7) == (name if other == name else ""), (name, other)


def test_an_internal_network_leads_nowhere(caisd: Daemon, lan: Lan) -> None:
    caisd.docker_output("network", "create", "--internal", "inner")
    inner = serve(caisd, "in", "--network", "inner")
    idle(caisd, "in2", "--network", "inner")
    outer = serve(caisd, "out", "-p", "18095:80")
    assert reaches(caisd, "in2", f"http://{inner}") == "in"
    assert reaches(caisd, "in2", f"http://{outer}") == ""
    assert reaches(caisd, "in2", f"http://{lan.address}:8000") == ""
    assert reaches(caisd, "out", f"http://{inner}") == ""
    assert lan.fetch(f"http://{inner}", 1) == ""
    assert "default" not in inside(caisd, "in", "ip route")
    # Even with a way out that somebody has made, and by a published port.
    caisd.docker_output("run", "-d", "--name", "evil", "--privileged", "--network", "inner", "busybox", "sleep", "100")
    bridge = inner.rpartition(".")[0] + ".1"
    inside(caisd, "evil", f"ip route add default via {bridge}")
    assert reaches(caisd, "evil", f"http://{lan.address}:8000") == ""
    assert reaches(caisd, "evil", f"http://{lan.host}:18095") == ""


def test_addresses_of_the_link_alone(caisd: Daemon) -> None:
    caisd.docker_output("network", "create", "--subnet", "10.214.4.0/24", "near")
    idle(caisd, "c1")
    further = ("--link-local-ip", "169.254.7.7", "--link-local-ip", "fe80::77")
    caisd.docker_output("network", "connect", *further, "near", "c1")
    shown = inside(caisd, "c1", "ip -o addr show eth1 | awk '{print $4}'").splitlines()
    assert shown[:2] == ["10.214.4.2/24", "169.254.7.7/16"]
    assert "fe80::77/64" in shown
    asked = caisd.docker_output(
        "inspect", "-f", "{{json .NetworkSettings.Networks.near.IPAMConfig.LinkLocalIPs}}", "c1"
    )
    assert asked.strip() == '["169.254.7.7","fe80::77"]'
    idle(caisd, "c2", "--network", "near", "--link-local-ip", "169.254.8.8")
    assert "1 packets received" in inside(caisd, "c2", "ping -c 1 -W 1 169.254.7.7")


def test_on_an_isolated_network_the_host_has_no_address(caisd: Daemon) -> None:
    option = "com.docker.network.bridge.gateway_mode_ipv4=isolated"
    caisd.docker_output("network", "create", "--internal", "--subnet", "10.214.3.0/24", "-o", option, "lone")
    ranges = caisd.docker_output("network", "inspect", "-f", "{{json .IPAM.Config}}", "lone")
    assert ranges.strip() == '[{"Subnet":"10.214.3.0/24"}]'
    assert serve(caisd, "in", "--network", "lone") == "10.214.3.1"
    idle(caisd, "in2", "--network", "lone")
    assert reaches(caisd, "in2", "http://in") == "in"
    assert "default" not in inside(caisd, "in", "ip route")
    identity = caisd.docker_output("network", "inspect", "-f", "{{.Id}}", "lone").strip()
    shown = subprocess.run(["ip", "addr", "show", f"br-{identity[:12]}"], capture_output=True, text=True, check=True)
    assert "inet" not in shown.stdout


def test_unprotected_containers_are_reached_at_every_port(caisd: Daemon, lan: Lan) -> None:
    option = "com.docker.network.bridge.gateway_mode_ipv4=nat-unprotected"
    caisd.docker_output("network", "create", "-o", option, "open")
    caisd.docker_output("network", "create", "shut")
    for network, answer in (("open", "open"), ("shut", "")):
        own = serve(caisd, network, "--network", network)
        assert lan.run("ip", "route", "replace", f"{own}/32", "via", lan.host).returncode == 0
        assert lan.fetch(f"http://{own}", 1) == answer
    assert reaches(caisd, "open", f"http://{lan.address}:8000") == lan.host
    assert reaches(caisd, "shut", f"http://{address(caisd, 'open')}") == ""
    caisd.docker_output("rm", "-f", "open")
    caisd.docker_output("network", "rm", "open")


def test_without_icc_containers_of_a_network_do_not_talk(caisd: Daemon, lan: Lan) -> None:
    caisd.docker_output("network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "mute")
    first = serve(caisd, "first", "--network", "mute", "-p", "18096:80")
    idle(caisd, "second", "--network", "mute")
    assert reaches(caisd, "second", f"http://{first}") == ""
    assert "0 packets received" in inside(caisd, "second", f"ping -c 1 -W 1 {first}")
    assert reaches(caisd, "second", f"http://{lan.address}:8000") == lan.host
    assert reaches(caisd, "second", f"http://{lan.host}:18096") == "first"
    assert fetch("http://127.0.0.1:18096") == "first"


def test_several_networks_at_once(caisd: Daemon) -> None:
    caisd.docker_output("network", "create", "--subnet", "10.214.1.0/24", "--ip-range", "10.214.1.128/25", "one")
    caisd.docker_output("network", "create", "--subnet", "10.214.2.0/24", "--gateway", "10.214.2.254", "two")
    flags = ["--network", "name=one,ip=10.214.1.7,alias=x", "--network", "two", "--mac-address", "02:11:22:33:44:55"]
    idle(caisd, "c1", *flags)
    links = inside(caisd, "c1", "ip -o -4 addr | awk '{print $2, $4}'").splitlines()
    assert links == ["lo 127.0.0.1/8", "eth0 10.214.1.7/24", "eth1 10.214.2.1/24"]
    assert address(caisd, "c1", "one", "MacAddress") == "02:11:22:33:44:55"
    assert inside(caisd, "c1", "ip link show eth0 | tail -1 | awk '{print $2}'") == "02:11:22:33:44:55"
    assert inside(caisd, "c1", "ip route | head -1 | awk '{print $3}'") == "10.214.1.128"  # the range's first
    caisd.docker_output("network", "disconnect", "one", "c1")
    assert inside(caisd, "c1", "ip route | head -1 | awk '{print $3}'") == "10.214.2.254"
    caisd.docker_output("network", "disconnect", "two", "c1")
    assert inside(caisd, "c1", "ip route; ls /sys/class/net").split() == ["lo"]
    caisd.docker_output("network", "connect", "--ip", "10.214.1.9", "--alias", "y", "one", "c1")
    assert address(caisd, "c1", "one") == "10.214.1.9"
    assert "eth0" in inside(caisd, "c1", "ip -o -4 addr")


def test_ipv6(caisd: Daemon) -> None:
    caisd.docker_output("network", "create", "--ipv6", "--subnet", "fd45:1::/64", "six")
    serve(caisd, "web", "--network", "six", "--ip6", "fd45:1::77", "-p", "18097:80")
    idle(caisd, "other", "--network", "six")
    assert address(caisd, "web", "six", "GlobalIPv6Address") == "fd45:1::77"
    assert "1 packets received" in inside(caisd, "other", "ping -c 1 -W 1 fd45:1::77")
    assert inside(caisd, "other", "ip -6 route | grep default").split()[2] == "fd45:1::1"
    caisd.docker_output("network", "create", "--ipv6", "auto")
    assert address_of_network(caisd, "auto").startswith("fd")


def address_of_network(daemon: Daemon, name: str) -> str:
    return daemon.docker_output("network", "inspect", "-f", "{{(index .IPAM.Config 1).Subnet}}", name)


@pytest.mark.parametrize(
    ("driver", "options"),
    [
        ("macvlan", []),
        ("macvlan", ["-o", "macvlan_mode=private"]),
        ("ipvlan", []),
        ("ipvlan", ["-o", "ipvlan_mode=l3"]),
    ],
)
def test_links_of_the_host_s_own(caisd: Daemon, lan: Lan, driver: str, options: list[str]) -> None:
    if not lan.can_have(driver):
        pytest.skip(f"this kernel has no {driver}")
    prefix = lan.address.rpartition(".")[0]
    subnet = ["--subnet", f"{prefix}.0/24", "--gateway", lan.address, "--aux-address", f"host={lan.host}"]
    caisd.docker_output("network", "create", "-d", driver, "-o", f"parent={lan.link}", *options, *subnet, "wire")
    own = idle(caisd, "c1", "--network", "wire", "--ip", f"{prefix}.77")
    if options == ["-o", "ipvlan_mode=l3"]:  # a neighbour must be told where such a container is
        lan.run("ip", "route", "replace", f"{own}/32", "via", lan.host)
        lan.run("ip", "neigh", "replace", own, "dev", "eth0", "lladdr", _mac_of(lan.link))
    assert reaches(caisd, "c1", f"http://{lan.address}:8000", 2) == own
    idle(caisd, "c2", "--network", "wire")
    answered = "1 packets received" in inside(caisd, "c2", f"ping -c 1 -W 1 {own}")
    assert answered is (options != ["-o", "macvlan_mode=private"])
    caisd.docker_output("network", "disconnect", "wire", "c1")
    assert inside(caisd, "c1", "ls /sys/class/net").split() == ["lo"]
    caisd.docker_output("network", "connect", "wire", "c1")
    assert reaches(caisd, "c2", f"http://{lan.address}:8000", 2) == address(caisd, "c2")


def _mac_of(link: str) -> str:
    return Path(f"/sys/class/net/{link}/address").read_text("ascii").strip()


def test_ports_are_given_once(caisd: Daemon) -> None:
    serve(caisd, "web", "-p", "18098:80")
    taken = "Bind for 0.0.0.0:18098 failed: port is already allocated"
    assert taken in refused(caisd, "run", "--name", "again", "-p", "18098:80", "busybox", "true")
    assert caisd.docker_output("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "again") == "created 128"
    caisd.docker_output("rm", "-f", "web")
    assert caisd.docker("start", "-a", "again").returncode == 0
    with socket.create_server(("127.0.0.1", 18098)):
        assert "port is already allocated" in refused(caisd, "start", "again")
    assert caisd.docker("start", "-a", "again").returncode == 0


def test_ranges_protocols_and_all_exposed_ports(caisd: Daemon) -> None:
    idle(
        caisd,
        "c1",
        "-p",
        "18100-18102:80",
        "-p",
        "18110-18111:90-91/udp",
        "-p",
        "127.0.0.1::70",
        "-P",
        "--expose",
        "99",
    )
    lines = caisd.docker_output("port", "c1").splitlines()
    assert "80/tcp -> 0.0.0.0:18100" in lines
    assert {"90/udp -> 0.0.0.0:18110", "91/udp -> 0.0.0.0:18111"} <= set(lines)
    low, high = map(int, open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii").read().split())
    for prefix in ("70/tcp -> 127.0.0.1:", "99/tcp -> 0.0.0.0:"):
        (port,) = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
        assert low <= int(port) <= high
    idle(caisd, "c2", "-p", "18100-18102:80")
    assert "80/tcp -> 0.0.0.0:18101" in caisd.docker_output("port", "c2")


def test_udp(caisd: Daemon, lan: Lan) -> None:
    idle(caisd, "c1", "-p", "18120:9/udp")
    with udp_echo(caisd, "c1", 9):
        assert lan.run("python3", "-c", UDP_CLIENT, lan.host, "18120").stdout == "got hello"
        for target in ("127.0.0.1", *(["::1"] if has_ipv6() else [])):
            assert subprocess.check_output(["python3", "-c", UDP_CLIENT, target, "18120"], text=True) == "got hello"


def test_a_client_that_has_sent_before_reaches_the_container_too(caisd: Daemon, lan: Lan) -> None:
    client = (
        "import socket, sys, time\n"
        "client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "client.bind(('', 4000))\n"
        "client.settimeout(0.2)\n"
        "for attempt in range(100):\n"
        "    client.sendto(b'hello', (sys.argv[1], 18121))\n"
        "    try:\n"
        "        print(client.recv(100).decode())\n"
        "        break\n"
        "    except OSError:\n"
        "        time.sleep(0.05)\n"
    )
    with lan.start("python3", "-c", client, lan.host) as sending:
        idle(caisd, "c1", "-p", "18121:9/udp")
        with udp_echo(caisd, "c1", 9):
            assert sending.communicate(timeout=20)[0] == "got hello\n"


def test_networks_and_addresses_survive_a_crash(private_caisd: Daemon, lan: Lan) -> None:
    daemon = private_caisd
    daemon.docker_output("network", "create", "mine")
    first = serve(daemon, "first", "--network", "mine", "-p", "18130:80")
    daemon.kill()
    assert fetch("http://127.0.0.1:18130") == "first"
    assert lan.fetch(f"http://{lan.host}:18130") == "first"
    daemon.start()
    assert address(daemon, "first", "mine") == first
    assert daemon.docker_output("port", "first").splitlines()[0] == "80/tcp -> 0.0.0.0:18130"
    second = serve(daemon, "second", "--network", "mine")
    assert second != first
    assert reaches(daemon, "second", "http://first") == "first"
    assert reaches(daemon, "first", "http://second") == "second"
    assert "port is already allocated" in refused(daemon, "run", "--rm", "-p", "18130:80", "busybox", "true")
    assert lan.fetch(f"http://{lan.host}:18130") == "first"
    daemon.docker_output("rm", "-f", "first")
    assert fetch("http://127.0.0.1:18130") == ""


def test_an_address_is_known_as_soon_as_it_is_used(private_caisd: Daemon) -> None:
    daemon = private_caisd
    given = set()
    for number in range(4):
        daemon.docker_output("run", "-d", "--name", f"c{number}", "busybox", "sleep", "1000")
        daemon.kill()
        daemon.start()
        own = address(daemon, f"c{number}")
        assert f" {own}/" in inside(daemon, f"c{number}", "ip -o -4 addr show eth0")
        given.add(own)
    assert len(given) == 4


def test_what_is_taken_from_the_host_is_made_again(private_caisd: Daemon, lan: Lan) -> None:
    daemon = private_caisd
    daemon.docker_output("network", "create", "-o", "com.docker.network.bridge.name=caistest0", "mine")
    own = serve(daemon, "web", "--network", "mine", "-p", "18131:80")
    idle(daemon, "other", "--network", "mine")

    def works() -> bool:
        return (
            lan.fetch(f"http://{lan.host}:18131", 1) == "web"
            and fetch(f"http://{own}", 1) == "web"
            and reaches(daemon, "other", f"http://{own}") == "web"
            and reaches(daemon, "web", f"http://{lan.address}:8000") == lan.host
        )

    assert works()
    subprocess.run(["nft", "delete", "table", "inet", daemon.mark], check=True)
    wait_until(works, 5)
    subprocess.run(["ip", "link", "delete", "caistest0"], check=True)
    wait_until(works, 5)
    (port, *_) = _ports_of("caistest0")
    subprocess.run(["ip", "link", "delete", port], check=True)
    wait_until(works, 5)
    daemon.kill()
    subprocess.run(["nft", "delete", "table", "inet", daemon.mark], check=True)
    for name in ("caistest0", *_ports_of("caistest0")):
        subprocess.run(["ip", "link", "delete", name], check=True)
    subprocess.run(["ip", "link", "add", "caistest1", "type", "bridge"], check=True)
    subprocess.run(["ip", "link", "set", "caistest1", "alias", daemon.mark], check=True)  # as of a network that is gone
    daemon.start()
    wait_until(works, 5)
    assert subprocess.run(["ip", "link", "show", "caistest1"], check=False, capture_output=True).returncode != 0


def _ports_of(bridge: str) -> list[str]:
    shown = subprocess.run(["ip", "-o", "link", "show", "master", bridge], check=True, capture_output=True, text=True)
    return [line.split(": ")[1].partition("@")[0] for line in shown.stdout.splitlines()]


def test_port_53_is_the_container_s_own(caisd: Daemon) -> None:
    caisd.docker_output("network", "create", "mine")
    idle(caisd, "c1", "--network", "mine")
    caisd.docker_output("exec", "-d", "c1", "nc", "-l", "-p", "53")
    wait_until(lambda: ":0035 " in inside(caisd, "c1", "cat /proc/net/tcp /proc/net/tcp6"))
    with udp_echo(caisd, "c1", 53):
        assert "Name:\tc1" in inside(caisd, "c1", "nslookup c1")


def test_a_failed_start_leaves_nothing(caisd: Daemon) -> None:
    serve(caisd, "web", "-p", "18140:80")
    before = {line for line in host.marked(caisd.mark) if "veth" in line}
    assert "port is already allocated" in refused(
        caisd, "run", "--rm", "-p", "18141:1", "-p", "18140:80", "busybox", "true"
    )
    assert "executable file not found" in refused(caisd, "run", "--rm", "-p", "18141:1", "busybox", "absent")
    serve(caisd, "next", "-p", "18141:80")
    assert {line for line in host.marked(caisd.mark) if "veth" in line} == before
    members = caisd.docker_output("network", "inspect", "-f", "{{range .Containers}}{{.Name}} {{end}}", "bridge")
    assert sorted(members.split()) == ["next", "web"]
