"""What is written for a group's limits, as data, in both versions and in a hybrid of them."""

import pytest

from cais.runtime.cgroups import v1, v2
from cais.runtime.cgroups.hybrid import HybridHierarchy
from cais.runtime.cgroups.interface import CgroupError, Write
from cais.runtime.cgroups.resources import Resources
from cais.runtime.cgroups.v1 import V1Hierarchy, V1Mount
from cais.runtime.cgroups.v2 import V2Hierarchy, cpu_weight, io_weight

ALL_V2 = frozenset({"cpu", "cpuset", "io", "memory", "pids"})
FULL: dict[str, object] = {
    "memory": {"limit": 100, "swap": 250, "reservation": 50, "swappiness": 0, "disableOOMKiller": True},
    "cpu": {"shares": 1024, "quota": 5000, "period": 10000, "cpus": "0-1", "mems": "0"},
    "pids": {"limit": 9},
    "blockIO": {
        "weight": 500,
        "weightDevice": [{"major": 8, "minor": 0, "weight": 300}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1000}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 20}],
    },
}


def plan_v1(
    document: dict[str, object], *, swap: bool = True, old_swap_bytes: int | None = None
) -> list[tuple[str, str]]:
    writes = v1.limit_writes(Resources.from_oci(document), swap=swap, old_swap_bytes=old_swap_bytes)
    return [(item.file, item.value) for item in writes]


def plan_v2(document: dict[str, object]) -> list[tuple[str, str]]:
    return [(item.file, item.value) for item in v2.limit_writes(Resources.from_oci(document))]


def test_version_1_writes_every_limit() -> None:
    assert plan_v1(FULL) == [
        ("memory.limit_in_bytes", "100"),
        ("memory.memsw.limit_in_bytes", "250"),
        ("memory.soft_limit_in_bytes", "50"),
        ("memory.swappiness", "0"),
        ("memory.oom_control", "1"),
        ("cpu.shares", "1024"),
        ("cpu.cfs_period_us", "10000"),
        ("cpu.cfs_quota_us", "5000"),
        ("cpuset.cpus", "0-1"),
        ("cpuset.mems", "0"),
        ("pids.max", "9"),
        ("blkio.bfq.weight", "500"),
        ("blkio.bfq.weight_device", "8:0 300"),
        ("blkio.throttle.read_bps_device", "8:0 1000"),
        ("blkio.throttle.write_iops_device", "8:0 20"),
    ]


def test_version_2_writes_every_limit_that_it_has() -> None:
    assert plan_v2(FULL) == [
        ("memory.max", "100"),
        ("memory.swap.max", "150"),
        ("memory.low", "50"),
        ("cpu.weight", "100"),
        ("cpu.max", "5000 10000"),
        ("cpuset.cpus", "0-1"),
        ("cpuset.mems", "0"),
        ("pids.max", "9"),
        ("io.bfq.weight", "500"),
        ("io.bfq.weight", "8:0 300"),
        ("io.max", "8:0 rbps=1000"),
        ("io.max", "8:0 wiops=20"),
    ]


def test_nothing_asked_is_nothing_written() -> None:
    assert plan_v1({}) == plan_v2({}) == []


def test_without_swap_accounting_a_swap_limit_is_dropped() -> None:
    assert plan_v1(FULL, swap=False)[:2] == [("memory.limit_in_bytes", "100"), ("memory.soft_limit_in_bytes", "50")]
    swap = [item for item in v2.limit_writes(Resources.from_oci(FULL)) if item.file == "memory.swap.max"]
    assert swap == [Write("memory", "memory.swap.max", "150", optional=True)]


@pytest.mark.parametrize(
    ("old", "memory", "files"),
    [
        (200, {"limit": 300, "swap": 400}, ["memsw.limit", "limit"]),
        (200, {"limit": 300, "swap": -1}, ["memsw.limit", "limit"]),
        (200, {"limit": 50, "swap": 100}, ["limit", "memsw.limit"]),
        (200, {"limit": -1}, ["memsw.limit", "limit"]),
        (200, {"limit": 150}, ["limit"]),
    ],
)
def test_an_update_changes_memory_and_swap_in_the_order_that_the_kernel_takes(
    old: int, memory: dict[str, int], files: list[str]
) -> None:
    written = [file for file, _ in plan_v1({"memory": memory}, old_swap_bytes=old)]
    assert written == [f"memory.{name}_in_bytes" for name in files]


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        ({"limit": 100, "swap": 100}, ["100", "0"]),
        ({"limit": 100, "swap": -1}, ["100", "max"]),
        ({"limit": -1}, ["max", "max"]),
        ({"limit": 100}, ["100"]),
        ({"swap": -1}, ["max"]),
    ],
)
def test_swap_on_version_2_is_without_memory(memory: dict[str, int], expected: list[str]) -> None:
    assert [value for _, value in plan_v2({"memory": memory})] == expected


@pytest.mark.parametrize("memory", [{"limit": 100, "swap": 99}, {"swap": 99}, {"limit": -1, "swap": 99}])
def test_swap_below_memory_is_an_error(memory: dict[str, int]) -> None:
    with pytest.raises(CgroupError, match=r'cannot set memory\+swap to "99"'):
        plan_v2({"memory": memory})


@pytest.mark.parametrize(
    ("cpu", "expected"),
    [
        ({"quota": -1}, "max"),
        ({"period": 5000}, "max 5000"),
        ({"quota": 7000}, "7000"),
        ({"quota": 1, "period": 2}, "1 2"),
    ],
)
def test_quota_and_period_share_a_file_on_version_2(cpu: dict[str, int], expected: str) -> None:
    assert plan_v2({"cpu": cpu}) == [("cpu.max", expected)]


def test_no_limit_on_processes() -> None:
    assert plan_v1({"pids": {"limit": -1}}) == plan_v2({"pids": {"limit": -1}}) == [("pids.max", "max")]


def test_shares_become_weights_with_minimum_default_and_maximum_in_place() -> None:
    assert [cpu_weight(shares) for shares in (2, 1024, 262144)] == [1, 100, 10000]
    assert [cpu_weight(shares) for shares in (1, 512, 2048, 10**9)] == [1, 59, 174, 10000]
    weights = [cpu_weight(shares) for shares in range(2, 262145, 7)]
    assert weights == sorted(weights)
    assert [io_weight(weight) for weight in (10, 500, 1000)] == [1, 4950, 10000]


def test_an_io_weight_falls_back_to_the_file_that_a_kernel_without_bfq_has() -> None:
    (weight,) = v2.limit_writes(Resources.from_oci({"blockIO": {"weight": 1000}}))
    assert (weight.value, weight.fallback) == ("1000", ("io.weight", "10000"))


def test_unified_keys_come_last_with_their_controller() -> None:
    writes = v2.limit_writes(
        Resources.from_oci({"pids": {"limit": 1}, "unified": {"memory.high": "5", "cgroup.x": "1"}})
    )
    assert writes[1:] == [Write("memory", "memory.high", "5"), Write("cgroup", "cgroup.x", "1")]


def test_real_time_limits_exist_on_version_1_only() -> None:
    cpu = {"realtimeRuntime": 1, "realtimePeriod": 2}
    assert plan_v1({"cpu": cpu}) == [("cpu.rt_period_us", "2"), ("cpu.rt_runtime_us", "1")]
    with pytest.raises(CgroupError, match="version 2 has no such limit"):
        plan_v2({"cpu": cpu})


def test_unified_keys_are_an_error_on_version_1() -> None:
    with pytest.raises(CgroupError, match=r'cannot set "memory.high": unified resources need cgroup version 2'):
        V1Hierarchy(()).plan(Resources.from_oci({"unified": {"memory.high": "1"}}))


@pytest.mark.parametrize(
    ("document", "file", "controller"),
    [
        ({"memory": {"limit": 5}}, "memory.max", "memory"),
        ({"cpu": {"shares": 5}}, "cpu.weight", "cpu"),
        ({"cpu": {"cpus": "0"}}, "cpuset.cpus", "cpuset"),
        ({"pids": {"limit": 5}}, "pids.max", "pids"),
        ({"blockIO": {"weight": 50}}, "io.bfq.weight", "io"),
    ],
)
def test_a_missing_controller_is_named(document: dict[str, object], file: str, controller: str) -> None:
    for present in (frozenset[str](), ALL_V2 - {controller}):
        with pytest.raises(CgroupError, match=f'to "{file}": the cgroup controller "{controller}" is missing'):
            V2Hierarchy("/nowhere", present).plan(Resources.from_oci(document))
    with pytest.raises(CgroupError, match="is missing on this host"):
        V1Hierarchy((V1Mount("/nowhere/freezer", ("freezer",)),)).plan(Resources.from_oci(document))
    assert V2Hierarchy("/nowhere", ALL_V2).plan(Resources.from_oci(document))


def test_a_hybrid_uses_version_2_for_the_controllers_that_are_there_only() -> None:
    first = V1Hierarchy((V1Mount("/nowhere/cpu", ("cpu",)), V1Mount("/nowhere/devices", ("devices",))))
    hierarchy = HybridHierarchy(first, V2Hierarchy("/nowhere/unified", frozenset({"cpu", "memory", "pids"})))
    document = {"memory": {"limit": 5}, "cpu": {"shares": 1024}, "pids": {"limit": 7}, "unified": {"memory.high": "4"}}
    files = [item.file for item in hierarchy.plan(Resources.from_oci(document)) if item.controller != "devices"]
    assert files == ["cpu.shares", "memory.max", "pids.max", "memory.high"]
    assert not hierarchy.v2.devices
    with pytest.raises(CgroupError, match="is missing"):
        hierarchy.plan(Resources.from_oci({"cpu": {"cpus": "0"}}))


def test_a_hybrid_without_a_device_controller_uses_the_program_of_version_2() -> None:
    hierarchy = HybridHierarchy(V1Hierarchy((V1Mount("/nowhere/cpu", ("cpu",)),)), V2Hierarchy("/nowhere", frozenset()))
    assert hierarchy.v2.devices
    assert "devices" in hierarchy.controllers
