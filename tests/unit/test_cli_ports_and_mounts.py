"""The flags whose values are small languages: --publish, --mount, --network."""

import pytest

from cais.cli.flags import FlagError, parse
from cais.cli.mounts import split_fields
from cais.cli.networks import parse_network
from cais.cli.options import RUN_FLAGS
from cais.cli.ports import published


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("80", {"80/tcp": [{"HostIp": "", "HostPort": ""}]}),
        ("8080:80/udp", {"80/udp": [{"HostIp": "", "HostPort": "8080"}]}),
        ("127.0.0.1::80", {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}),
        ("[::1]:8080:80", {"80/tcp": [{"HostIp": "::1", "HostPort": "8080"}]}),
        ("::1:80:80", {"80/tcp": [{"HostIp": "::1", "HostPort": "80"}]}),
        ("8080-8090:80", {"80/tcp": [{"HostIp": "", "HostPort": "8080-8090"}]}),
        (
            "8080-8081:80-81",
            {"80/tcp": [{"HostIp": "", "HostPort": "8080"}], "81/tcp": [{"HostIp": "", "HostPort": "8081"}]},
        ),
        ("published=1,target=2", {"2/tcp": [{"HostIp": "", "HostPort": "1"}]}),
        (":80", {"80/tcp": [{"HostIp": "", "HostPort": ""}]}),
        ("8080:80/sctp", {"80/sctp": [{"HostIp": "", "HostPort": "8080"}]}),
        ("8080:80/tcp/udp", {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}),
        ("8080:80/", {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}),
        ("::ffff:127.0.0.1:1:2", {"2/tcp": [{"HostIp": "127.0.0.1", "HostPort": "1"}]}),
        ("target=3,protocol=udp", {"3/udp": [{"HostIp": "", "HostPort": ""}]}),
    ],
)
def test_every_form_of_a_published_port(spec: str, expected: object) -> None:
    exposed, bindings = published([spec])
    assert bindings == expected
    assert set(exposed) == set(bindings)


def test_one_port_may_be_published_twice() -> None:
    assert published(["1:80", "2:80"])[1] == {
        "80/tcp": [{"HostIp": "", "HostPort": "1"}, {"HostIp": "", "HostPort": "2"}]
    }


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--mount", "foo", "invalid field 'foo' must be a key=value pair"),
        ("--mount", "type=bind,src=/x", "target is required"),
        ("--mount", "type=volume,dst=/y,readonly=foo", "invalid value for readonly: foo"),
        ("--mount", "type=tmpfs,dst=/x,tmpfs-size=x", "invalid value for tmpfs-size: x"),
        ("--mount", "type=tmpfs,dst=/x,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"),
        (
            "--mount",
            "type=bind,src=/x,dst=/y,volume-nocopy",
            "cannot mix 'volume-*' options with mount type 'bind'",
        ),
        ("--mount", "type=bind,src=/x,dst=/y,foo=bar", "unexpected key 'foo' in 'foo=bar'"),
        (
            "--mount",
            "type=bind,src=/x,dst=/y,bind-recursive=readonly",
            "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction",
        ),
        ("--network", "foo=bar", "invalid field key foo"),
        ("--network", "name=a,x", "invalid field x"),
        ("--network", "alias=a", "network name/id is not specified"),
        ("--network", "name=a,gw-priority=x", "invalid gw-priority (x): invalid syntax"),
        ("--network", "a=b,c", "invalid field key a"),
        ("--link", "a:b:c", "bad format for links: a:b:c"),
        ("--link", "", "empty string specified for links"),
        ("--dns-search", "a..b", "a..b is not a valid domain"),
        ("--dns-search", "1.2", "1.2 is not a valid domain"),
        ("--dns-search", "", " is not a valid domain"),
        ("--network", "name=a,driver-opt=x", "invalid key value pair format in driver options"),
    ],
)
def test_bad_values_are_refused_in_docker_s_words(flag: str, value: str, message: str) -> None:
    with pytest.raises(FlagError) as caught:
        parse(RUN_FLAGS, [flag, value])
    assert caught.value.message == f'invalid argument "{value}" for "{flag}" flag: {message}'


@pytest.mark.parametrize(
    ("value", "column"), [('name=a,alias="b"', 14), ('"name=a",x"', 11), ('"na""me=a",alias="b', 18)]
)
def test_quotes_stand_at_the_beginning_of_a_field(value: str, column: int) -> None:
    with pytest.raises(ValueError, match=f'^parse error on line 1, column {column}: bare " in non-quoted-field$'):
        split_fields(value)


def test_fields_in_quotes_may_have_commas() -> None:
    assert split_fields('"a,b","c ""d"""') == ["a,b", 'c "d"']


@pytest.mark.parametrize("text", ["net", "a=", "=a", "name= net", 'name="net"'])
def test_what_looks_like_a_name_is_the_name_of_a_network(text: str) -> None:
    assert parse_network(text).name == text


@pytest.mark.parametrize(
    "address", ["92:d0:c6:0a:29:33", "92-D0-C6-0A-29-33", "92d0.c60a.2933", "02:00:5e:10:00:00:00:01"]
)
def test_mac_addresses_have_several_forms(address: str) -> None:
    network = parse_network(f"name=net,mac-address={address}")
    assert network.endpoint() == {"MacAddress": address}


@pytest.mark.parametrize("address", ["foo", "92:d0:c6:0a:29", "92:d0:c6-0a:29:33", "0:0:0:0:0:0", "92d0c60a2933"])
def test_what_is_no_mac_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=f"^{address} is not a valid mac address$"):
        parse_network(f"name=net,mac-address={address}").endpoint()


@pytest.mark.parametrize(("given", "kept"), [(" A.Example. ", "A.Example"), (".", "."), ("a-b.c1", "a-b.c1")])
def test_search_domains(given: str, kept: str) -> None:
    assert parse(RUN_FLAGS, ["--dns-search", given]).texts("dns-search") == [kept]
