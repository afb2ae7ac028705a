"""OCI's linux.resources as typed data."""

import pytest

from cais.errors import InvalidArgument
from cais.runtime.cgroups.resources import (
    BlockIo,
    Cpu,
    DeviceRule,
    DeviceWeight,
    Memory,
    Resources,
    Throttle,
)


def test_everything_is_read() -> None:
    document: dict[str, object] = {
        "memory": {"limit": 1, "swap": -1, "reservation": 3, "swappiness": 0, "disableOOMKiller": True, "kernel": 9},
        "cpu": {
            "shares": 4,
            "quota": 5,
            "period": 6,
            "realtimeRuntime": 7,
            "realtimePeriod": 8,
            "cpus": "0",
            "mems": "1",
        },
        "pids": {"limit": 9},
        "blockIO": {
            "weight": 10,
            "weightDevice": [{"major": 8, "minor": 0, "weight": 11}, {"major": 8, "minor": 1, "leafWeight": 5}],
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 12}],
            "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 13}],
            "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 14}],
            "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 15}],
        },
        "devices": [
            {"allow": False, "access": "rwm"},
            {"allow": True, "type": "c", "major": 1, "minor": -1, "access": "mr"},
            {"allow": True, "type": "u", "major": 0, "minor": 3, "access": "w"},
        ],
        "unified": {"memory.high": "12"},
        "hugepageLimits": [],
    }
    assert Resources.from_oci(document) == Resources(
        memory=Memory(1, -1, 3, 0, True),
        cpu=Cpu(4, 5, 6, 7, 8, "0", "1"),
        pids_limit=9,
        block_io=BlockIo(
            10,
            (DeviceWeight(8, 0, 11),),
            (
                Throttle("rbps", 8, 0, 12),
                Throttle("wbps", 8, 0, 13),
                Throttle("riops", 8, 0, 14),
                Throttle("wiops", 8, 16, 15),
            ),
        ),
        devices=(DeviceRule(False), DeviceRule(True, "c", 1, None, "rm"), DeviceRule(True, "c", 0, 3, "w")),
        unified=(("memory.high", "12"),),
    )


def test_nothing_and_zero_and_null_mean_no_limit_asked() -> None:
    assert Resources.from_oci({}) == Resources()
    document = {
        "memory": {"limit": 0, "swap": 0},
        "cpu": {"shares": 0, "cpus": None},
        "pids": {"limit": 0},
        "blockIO": None,
    }
    assert Resources.from_oci(document) == Resources()


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"memory": 1}, "linux.resources.memory"),
        ({"memory": {"limit": "1g"}}, "linux.resources.memory.limit"),
        ({"memory": {"limit": True}}, "linux.resources.memory.limit"),
        ({"memory": {"limit": -2}}, "linux.resources.memory.limit"),
        ({"memory": {"limit": 1 << 64}}, "linux.resources.memory.limit"),
        ({"memory": {"disableOOMKiller": 1}}, "linux.resources.memory.disableOOMKiller"),
        ({"cpu": {"cpus": 0}}, "linux.resources.cpu.cpus"),
        ({"cpu": {"cpus": "0\n1"}}, "linux.resources.cpu.cpus"),
        ({"devices": {}}, "linux.resources.devices"),
        ({"devices": [{"allow": True, "type": "p"}]}, r"linux.resources.devices\[0\].type"),
        ({"devices": [{"allow": True, "access": "rx"}]}, r"linux.resources.devices\[0\].access"),
        ({"blockIO": {"throttleReadBpsDevice": [{"major": 8, "rate": 1}]}}, r"throttleReadBpsDevice\[0\].minor"),
        ({"unified": {"../memory.max": "1"}}, "linux.resources.unified"),
        ({"unified": {"memory.max": 1}}, "linux.resources.unified.memory.max"),
    ],
)
def test_what_makes_no_sense_is_named(document: dict[str, object], where: str) -> None:
    with pytest.raises(InvalidArgument, match=f"invalid resources: .*{where}"):
        Resources.from_oci(document)
