"""What an update makes of a container's limits."""

import pytest

from cais.engine import adjust
from cais.engine.models import HostConfig, UpdateRequest
from cais.errors import Conflict, InvalidArgument
from tests.unit.test_spec import HOST

MIB = 1 << 20


def test_what_is_not_named_stays() -> None:
    before = HostConfig(Memory=64 * MIB, MemorySwap=128 * MIB, CpuShares=10)
    after, _ = adjust.merged(before, UpdateRequest(CpuShares=20), HOST)
    assert (after.Memory, after.MemorySwap, after.CpuShares, before.CpuShares) == (64 * MIB, 128 * MIB, 20, 10)
    assert adjust.difference(before, after) == {"cpu": {"shares": 20}}


def test_memory_and_swap_are_set_together() -> None:
    before = HostConfig(Memory=64 * MIB, MemorySwap=128 * MIB)
    after, _ = adjust.merged(before, UpdateRequest(Memory=100 * MIB), HOST)
    assert adjust.difference(before, after) == {"memory": {"limit": 100 * MIB, "swap": 128 * MIB}}


def test_more_memory_than_swap_is_refused() -> None:
    with pytest.raises(Conflict, match="already set memoryswap limit"):
        adjust.merged(HostConfig(Memory=64 * MIB, MemorySwap=128 * MIB), UpdateRequest(Memory=256 * MIB), HOST)


def test_of_annotations_only_our_own_can_be_updated() -> None:
    ours = {"cais.restart-unhealthy": "true"}
    after, _ = adjust.merged(HostConfig(Annotations={"a": "b"}), UpdateRequest(Annotations=ours), HOST)
    assert after.Annotations == {"a": "b", **ours}
    with pytest.raises(InvalidArgument, match="the annotation other cannot be updated"):
        adjust.merged(HostConfig(), UpdateRequest(Annotations={"other": "x"}), HOST)


def test_cpus_and_quota_exclude_each_other() -> None:
    with pytest.raises(Conflict, match="CPU Period cannot be updated as NanoCPUs has already been set"):
        adjust.merged(HostConfig(NanoCpus=1_000_000_000), UpdateRequest(CpuPeriod=10000), HOST)
