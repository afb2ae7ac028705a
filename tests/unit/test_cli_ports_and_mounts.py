"""The flags whose values are small languages: --publish, --mount, --network."""

import pytest

from cais.cli.flags import FlagError, parse
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
        ("--network", "name=a,driver-opt=x", "invalid key value pair format in driver options"),
    ],
)
def test_bad_values_are_refused_in_docker_s_words(flag: str, value: str, message: str) -> None:
    with pytest.raises(FlagError) as caught:
        parse(RUN_FLAGS, [flag, value])
    assert caught.value.message == f'invalid argument "{value}" for "{flag}" flag: {message}'
