"""Ranges and addresses: chosen where they are free, and given once."""

from ipaddress import IPv6Network, ip_network

import pytest

from cais.errors import Conflict, Forbidden, NotFound
from cais.network import ipam
from cais.network.ipam import Pool


def test_the_ranges_are_docker_s_in_its_order() -> None:
    found = [str(subnet) for subnet in ipam.default_subnets()]
    assert found[:2] == ["172.17.0.0/16", "172.18.0.0/16"]
    assert found[14:17] == ["172.31.0.0/16", "192.168.0.0/20", "192.168.16.0/20"]
    assert len(found) == 31


def test_the_first_free_range_is_chosen() -> None:
    used = [ip_network("172.17.5.0/24"), ip_network("172.16.0.0/12").supernet(new_prefix=12), ip_network("fd00::/64")]
    assert str(ipam.choose(ipam.default_subnets(), used)) == "192.168.0.0/20"
    with pytest.raises(NotFound, match="all predefined address pools have been fully subnetted"):
        ipam.choose(ipam.default_subnets(), [ip_network("0.0.0.0/0")])
    with pytest.raises(Forbidden, match="Pool overlaps with other one on this address space"):
        ipam.check_free(ip_network("10.0.0.0/8"), [ip_network("10.1.0.0/16")])
    ipam.check_free(ip_network("10.0.0.0/8"), [ip_network("11.1.0.0/16")])


def test_the_lowest_free_address_is_given() -> None:
    pool = Pool(ip_network("10.0.0.0/29"))
    assert [pool.take_next() for _ in range(3)] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    pool.give_back("10.0.0.2")
    pool.take("10.0.0.5")
    assert [pool.take_next() for _ in range(3)] == ["10.0.0.2", "10.0.0.4", "10.0.0.6"]
    with pytest.raises(Conflict, match="no available IPv4 addresses"):
        pool.take_next()
    with pytest.raises(Forbidden, match="Address already in use"):
        pool.take("10.0.0.5")


def test_a_range_within_bounds_what_is_given_but_not_what_may_be_asked_for() -> None:
    pool = Pool(ip_network("10.0.0.0/24"), ip_network("10.0.0.128/30"))
    assert [pool.take_next() for _ in range(4)] == ["10.0.0.128", "10.0.0.129", "10.0.0.130", "10.0.0.131"]
    with pytest.raises(Conflict):
        pool.take_next()
    pool.take("10.0.0.7")
    pool.give_back("10.0.0.7")
    with pytest.raises(Conflict):
        pool.take_next()


@pytest.mark.parametrize(
    ("subnet", "given"),
    [
        ("10.0.0.0/31", ["10.0.0.0", "10.0.0.1"]),
        ("10.0.0.0/30", ["10.0.0.1", "10.0.0.2"]),
        ("fd00::/127", ["fd00::1"]),
    ],
)
def test_small_ranges(subnet: str, given: list[str]) -> None:
    pool = Pool(ip_network(subnet))
    assert [pool.take_next() for _ in given] == given
    with pytest.raises(Conflict):
        pool.take_next()


def test_mac_addresses_follow_addresses() -> None:
    assert ipam.mac_of("172.17.0.2") == "02:42:ac:11:00:02"
    assert ipam.mac_of("fd00::2") == ipam.mac_of("fd00::2") != ipam.mac_of("fd00::3")


def test_local_prefixes_are_local_and_the_same_each_time() -> None:
    assert ipam.local_prefix("x") == ipam.local_prefix("x") != ipam.local_prefix("y")
    assert ipam.local_prefix("x").subnet_of(IPv6Network("fd00::/8"))
