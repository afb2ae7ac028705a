"""The values of flags, and what is said of bad ones."""

from collections.abc import Callable

import pytest

from cais.cli import values
from cais.gotext import parse_duration

Parse = Callable[[str], object]


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (values.parse_bool, "T", True),
        (values.parse_bool, "False", False),
        (values.parse_int, "-42", -42),
        (values.parse_int, "0x1F", 31),
        (values.parse_int, "010", 8),
        (values.parse_int, "1_000", 1000),
        (values.parse_uint16, "65535", 65535),
        (values.parse_bytes, "64m", 64 << 20),
        (values.parse_bytes, "64MB", 64 << 20),
        (values.parse_bytes, "1.5GiB", 3 << 29),
        (values.parse_bytes, "512", 512),
        (values.parse_bytes, "512b", 512),
        (values.parse_bytes, "2 k", 2048),
        (values.parse_bytes_or_unlimited, "-1", -1),
        (values.parse_nano_cpus, "1.5", 1_500_000_000),
        (values.parse_nano_cpus, ".25", 250_000_000),
        (values.parse_nano_cpus, "0.000000001", 1),
        (parse_duration, "1h2m3s", 3_723_000_000_000),
        (parse_duration, "1.5s", 1_500_000_000),
        (parse_duration, "250ms", 250_000_000),
        (parse_duration, "10µs", 10_000),
        (parse_duration, "-5s", -5_000_000_000),
        (parse_duration, "0", 0),
        (values.parse_env, "A=", "A="),
        (values.parse_label, "a.b=c d", "a.b=c d"),
        (values.parse_attach, "STDOUT", "stdout"),
        (values.parse_sysctl, "net.core.somaxconn=5", "net.core.somaxconn=5"),
        (values.parse_ulimit, "nofile=5:6", {"Name": "nofile", "Soft": 5, "Hard": 6}),
        (values.parse_ulimit, "core=-1", {"Name": "core", "Soft": -1, "Hard": -1}),
        (values.parse_device_rule, "c 1:* rwm", "c 1:* rwm"),
        (values.parse_device_weight, "/dev/sda:200", {"Path": "/dev/sda", "Weight": 200}),
        (values.parse_device_bytes_rate, "/dev/sda:1mb", {"Path": "/dev/sda", "Rate": 1 << 20}),
        (values.parse_device_rate, "/dev/sda:100", {"Path": "/dev/sda", "Rate": 100}),
        (values.parse_address, "::0001", "::1"),
        (values.parse_extra_host, "db=10.0.0.1", "db:10.0.0.1"),
        (values.parse_extra_host, "db:[::1]", "db:::1"),
        (values.parse_extra_host, "h:host-gateway", "h:host-gateway"),
    ],
)
def test_a_value_is_read(parse: Parse, text: str, expected: object) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (values.parse_bool, "", 'strconv.ParseBool: parsing "": invalid syntax'),
        (values.parse_int, "1x", 'strconv.ParseInt: parsing "1x": invalid syntax'),
        (values.parse_int, " 1", 'strconv.ParseInt: parsing " 1": invalid syntax'),
        (values.parse_int, "9" * 20, f'strconv.ParseInt: parsing "{"9" * 20}": value out of range'),
        (values.parse_uint16, "99999", 'strconv.ParseUint: parsing "99999": value out of range'),
        (values.parse_uint16, "-1", 'strconv.ParseUint: parsing "-1": invalid syntax'),
        (values.parse_bytes, "abc", "invalid size: 'abc'"),
        (values.parse_bytes, "", "invalid size: ''"),
        (values.parse_bytes, "-5m", "invalid size: '-5m'"),
        (values.parse_nano_cpus, "abc", "failed to parse abc as a rational number"),
        (values.parse_nano_cpus, "0.0000000001", "value is too precise"),
        (parse_duration, "foo", 'time: invalid duration "foo"'),
        (parse_duration, "", 'time: invalid duration ""'),
        (parse_duration, "5", 'time: missing unit in duration "5"'),
        (parse_duration, "1h5", 'time: missing unit in duration "1h5"'),
        (parse_duration, "5x", 'time: unknown unit "x" in duration "5x"'),
        (values.parse_env, "=x", "invalid environment variable: =x"),
        (values.parse_label, "=x", "invalid label '=x': empty name"),
        (values.parse_label, "a b", "label 'a b' contains whitespaces"),
        (values.parse_attach, "foo", "valid streams are STDIN, STDOUT and STDERR"),
        (values.parse_sysctl, "foo=1", "sysctl 'foo=1' is not allowed"),
        (values.parse_ulimit, "x", "invalid ulimit argument: x"),
        (values.parse_ulimit, "foo=1:2:3", "invalid ulimit type: foo"),
        (
            values.parse_ulimit,
            "nofile=1:2:3",
            "too many limit value arguments - 1:2:3, can only have up to two, `soft[:hard]`",
        ),
        (
            values.parse_ulimit,
            "nofile=5:3",
            "ulimit soft limit must be less than or equal to hard limit: 5 > 3",
        ),
        (
            values.parse_ulimit,
            "nofile=-1:5",
            "ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), hard: 5",
        ),
        (values.parse_device_rule, "foo", "invalid device cgroup format 'foo'"),
        (values.parse_device_weight, "foo", "bad format: foo"),
        (values.parse_device_weight, "/dev/sda:5", "invalid weight for device: /dev/sda:5"),
        (values.parse_device_rate, "foo:1", "bad format for device path: foo:1"),
        (values.parse_address, "foo", "IP address is not correctly formatted: foo"),
        (values.parse_extra_host, "foo", 'bad format for add-host: "foo"'),
        (values.parse_extra_host, "foo:bar", 'invalid IP address in add-host: "bar"'),
    ],
)
def test_a_bad_value_is_refused_in_docker_s_words(parse: Parse, text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse(text)
    assert str(caught.value) == expected
