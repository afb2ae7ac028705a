"""Published ports: what is wanted, what is held, and what is shown."""

import socket
from collections.abc import Iterator

import pytest

from cais.engine import network_ports
from cais.engine.models import ContainerConfig, HostConfig, PublishedPort, Record
from cais.errors import Internal, InvalidArgument
from cais.network.ports import ANY4, ANY6, Ports, Published, Wanted


@pytest.fixture
def ports() -> Iterator[Ports]:
    held = Ports()
    yield held
    held.close()


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _record(**options: object) -> Record:
    return Record(
        id="c" * 64, name="c", created_ns=1, image_id="i", path="true", args=[],
        config=ContainerConfig(ExposedPorts={"80/tcp": {}, "90-91/udp": {}}),
        host_config=HostConfig(**options),  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_port_is_held_until_it_is_released(ports: Ports) -> None:
    port = _free()
    wanted = [Wanted("tcp", 80, "127.0.0.1", port, port)]
    assert ports.hold(wanted, ipv6=False) == [Published("tcp", 80, "127.0.0.1", port)]
    with pytest.raises(Internal, match=f"Bind for 127.0.0.1:{port} failed: port is already allocated"):
        ports.hold(wanted, ipv6=False)
    with pytest.raises(OSError, match="in use"), socket.create_server(("127.0.0.1", port)):
        pass
    ports.hold([Wanted("udp", 80, "127.0.0.1", port, port)], ipv6=False)
    ports.hold([Wanted("tcp", 80, "127.0.0.2", port, port)], ipv6=False)
    with pytest.raises(Internal, match="already allocated"):
        ports.hold([Wanted("tcp", 80, "", port, port)], ipv6=False)
    ports.release([Published("tcp", 80, host, port) for host in ("127.0.0.1", "127.0.0.2")])
    assert len(ports.hold([Wanted("tcp", 80, "", port, port)], ipv6=False)) == 1


def test_all_or_none(ports: Ports) -> None:
    first, second = _free(), _free()
    with socket.create_server(("127.0.0.1", second)), pytest.raises(Internal, match=f"0.0.0.0:{second} failed"):
        ports.hold([Wanted("tcp", 1, "", first, first), Wanted("tcp", 2, "", second, second)], ipv6=False)
    ports.hold([Wanted("tcp", 1, "", first, first)], ipv6=False)


def test_a_range_gives_its_first_free_port(ports: Ports) -> None:
    port = _free()
    wanted = [Wanted("tcp", 80, "127.0.0.1", port, min(port + 5, 65535))]
    first, second = ports.hold(wanted, ipv6=False), ports.hold(wanted, ipv6=False)
    assert first[0].host_port < second[0].host_port


def test_random_ports_are_of_the_ephemeral_range_and_none_twice(ports: Ports) -> None:
    found = [ports.hold([Wanted("tcp", 80)], ipv6=True) for _ in range(5)]
    numbers = [item[0].host_port for item in found]
    assert len(set(numbers)) == 5
    assert all({published.host for published in item} == {ANY4, ANY6} for item in found)
    assert all(len({published.host_port for published in item}) == 1 for item in found)


def test_what_is_wanted() -> None:
    bindings = {"80/tcp": [{"HostPort": "8080"}, {"HostIp": "::1", "HostPort": "8000-8010"}], "5/sctp": [{}]}
    assert network_ports.wanted(_record(PortBindings=bindings, PublishAllPorts=True)) == [
        Wanted("sctp", 5), Wanted("tcp", 80, "", 8080, 8080), Wanted("tcp", 80, "::1", 8000, 8010),
        Wanted("udp", 90), Wanted("udp", 91),
    ]  # fmt: skip
    assert network_ports.wanted(_record(PortBindings={"80/tcp": []}), "127.0.0.1") == [Wanted("tcp", 80, "127.0.0.1")]


@pytest.mark.parametrize(
    "bindings",
    [{"0/tcp": []}, {"x": []}, {"9-8/tcp": []}, {"70000/tcp": []}, {"80/tcp": [{"HostPort": "9-8"}]},
     {"80/tcp": [{"HostPort": "-1"}]}, {"80/tcp": [{"HostIp": "1.2.3"}]}],
    ids=str,
)  # fmt: skip
def test_what_makes_no_sense_is_refused(bindings: dict[str, list[dict[str, str]]]) -> None:
    with pytest.raises(InvalidArgument):
        network_ports.check(HostConfig(PortBindings=bindings))


def test_what_is_shown() -> None:
    record = _record()
    record.published = [
        PublishedPort(protocol="tcp", port=80, host=host, host_port=8080) for host in (ANY4, ANY6)
    ]  # fmt: skip
    assert network_ports.settings(record) == {
        "80/tcp": [{"HostIp": ANY4, "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
        "90/udp": None,
        "91/udp": None,
    }
    assert network_ports.summary(record)[1:] == [
        {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"PrivatePort": 90, "Type": "udp"},
        {"PrivatePort": 91, "Type": "udp"},
    ]
