"""Which hierarchies are found in /proc/self/mountinfo."""

from dataclasses import replace

import pytest

from cais.runtime.cgroups.detect import Layout, hierarchy_of, layout_from
from cais.runtime.cgroups.hybrid import HybridHierarchy
from cais.runtime.cgroups.interface import CgroupError
from cais.runtime.cgroups.v1 import V1Cgroup, V1Hierarchy, V1Mount
from cais.runtime.cgroups.v2 import V2Hierarchy

UNIFIED = ["29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot"]
SYSTEMD_HYBRID = [
    "31 23 0:28 / /sys/fs/cgroup rw shared:9 - tmpfs tmpfs rw,mode=755",
    "32 31 0:29 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw,nsdelegate",
    "33 31 0:30 / /sys/fs/cgroup/systemd rw shared:11 - cgroup cgroup rw,xattr,name=systemd",
    "34 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw shared:12 - cgroup cgroup rw,cpu,cpuacct",
    "35 31 0:32 / /sys/fs/cgroup/cpuset rw shared:13 - cgroup cgroup rw,cpuset,clone_children",
    "36 31 0:33 / /sys/fs/cgroup/memory rw shared:14 - cgroup cgroup rw,memory,release_agent=/run/agent",
]


def test_version_2_alone() -> None:
    layout = layout_from(UNIFIED)
    assert layout == Layout((), "/sys/fs/cgroup")
    hierarchy = hierarchy_of(layout)
    assert isinstance(hierarchy, V2Hierarchy)
    assert hierarchy.version == 2


def test_both_with_controllers_mounted_together() -> None:
    layout = layout_from(SYSTEMD_HYBRID)
    assert layout.v2 == "/sys/fs/cgroup/unified"
    assert layout.v1 == (
        V1Mount("/sys/fs/cgroup/systemd", (), "systemd"),
        V1Mount("/sys/fs/cgroup/cpu,cpuacct", ("cpu", "cpuacct")),
        V1Mount("/sys/fs/cgroup/cpuset", ("cpuset",)),
        V1Mount("/sys/fs/cgroup/memory", ("memory",)),
    )
    hierarchy = hierarchy_of(replace(layout, v2_controllers=frozenset({"hugetlb", "pids"})))
    assert isinstance(hierarchy, HybridHierarchy)
    assert hierarchy.version == 1


def test_version_2_without_a_controller_that_limits_anything_is_left_alone_beside_version_1() -> None:
    layout = replace(layout_from(SYSTEMD_HYBRID), v2_controllers=frozenset({"hugetlb"}))
    assert isinstance(hierarchy_of(layout), V1Hierarchy)


def test_a_container_sees_controllers_mounted_together_under_each_name() -> None:
    mounts = V1Cgroup(V1Hierarchy(layout_from(SYSTEMD_HYBRID).v1), "/cais/x").mounts()
    assert ("cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct/cais/x") in mounts.binds
    assert mounts.links == (("cpu", "cpu,cpuacct"), ("cpuacct", "cpu,cpuacct"))


def test_version_1_alone() -> None:
    assert isinstance(hierarchy_of(layout_from(SYSTEMD_HYBRID[2:])), V1Hierarchy)


def test_version_2_beside_a_hierarchy_of_version_1_without_controllers_is_version_2() -> None:
    layout = layout_from([*UNIFIED, SYSTEMD_HYBRID[2]])
    assert layout == Layout((), "/sys/fs/cgroup")


def test_of_several_mounts_the_usual_place_is_taken() -> None:
    elsewhere = "50 1 0:31 / /mnt/with\\040blank rw - cgroup cgroup rw,cpu,cpuacct"
    again = "51 1 0:26 / /mnt/cgroup2 rw - cgroup2 cgroup2 rw"
    for lines in ([elsewhere, again, *SYSTEMD_HYBRID], [*SYSTEMD_HYBRID, elsewhere, again]):
        layout = layout_from(lines)
        assert layout.v2 == "/sys/fs/cgroup/unified"
        assert [mount.point for mount in layout.v1 if "cpu" in mount.controllers] == ["/sys/fs/cgroup/cpu,cpuacct"]
    assert layout_from([elsewhere]).v1 == (V1Mount("/mnt/with blank", ("cpu", "cpuacct")),)


def test_nothing_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(CgroupError, match="mount -t cgroup2"):
        hierarchy_of(layout_from(["30 23 0:5 / /proc rw - proc proc rw", "broken"]))
