"""What is read of the host, and how a sample is shown."""

from dataclasses import replace

from cais.engine import stats
from cais.engine.container import Container
from cais.engine.models import ContainerConfig, HostConfig, Record
from cais.engine.stats import Sample
from cais.runtime.cgroups import Stats
from cais.runtime.cgroups.interface import DeviceIo
from tests.unit.test_spec import HOST

NETWORK = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier
    lo:  100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0: 1500      12    1    2    0     0          0         0      900       8    3    4    0     0       0          0
"""


async def _container() -> Container:
    return Container(
        Record(
            id="c" * 64, name="well", created_ns=0, image_id="", path="", args=[], config=ContainerConfig(),
            host_config=HostConfig(),
        )
    )  # fmt: skip


def test_the_time_of_all_processors() -> None:
    total, online = stats.host_cpu(["cpu  1 2 3 4 5 6 7 8 900 1000", "cpu0 1", "cpu1 1", "intr 9", "cpu2 1"])
    assert (total, online) == (36 * 10_000_000, 2)


def test_the_counters_of_links() -> None:
    assert stats.parse_network(NETWORK.splitlines()) == {
        "eth0": {
            "rx_bytes": 1500, "rx_packets": 12, "rx_errors": 1, "rx_dropped": 2,
            "tx_bytes": 900, "tx_packets": 8, "tx_errors": 3, "tx_dropped": 4,
        }
    }  # fmt: skip
    assert stats.parse_network(NETWORK.splitlines()[:3]) is None


async def test_a_container_that_does_not_run_has_a_name_only() -> None:
    shown = stats.answer(await _container(), HOST, None, None)
    assert (shown["name"], shown["memory_stats"], shown["pids_stats"]) == ("/well", {}, {})
    assert shown["read"] == shown["preread"] == "0001-01-01T00:00:00Z"


async def test_version_1_has_more_to_tell_than_version_2() -> None:
    used = Stats(cpu_each_ns=(5, 6, 7), io_bytes=(DeviceIo(8, 0, "read", 4096),), memory=(("cache", 3),))
    sample = Sample(1_000_000_000, used, 10, 2, None)
    first = stats.answer(await _container(), HOST, sample, None)
    assert first["cpu_stats"]["cpu_usage"]["percpu_usage"] == (5, 6)
    assert first["memory_stats"]["max_usage"] == 0
    assert first["blkio_stats"]["io_queue_recursive"] == []
    unified = replace(HOST, features=replace(HOST.features, version=2))
    second = stats.answer(await _container(), unified, sample, None)
    assert "percpu_usage" not in second["cpu_stats"]["cpu_usage"]
    assert second["memory_stats"] == {"usage": 0, "stats": {"cache": 3}, "limit": HOST.memory_bytes}
    assert second["blkio_stats"]["io_serviced_recursive"] is None
    entry = {"major": 8, "minor": 0, "op": "read", "value": 4096}
    assert first["blkio_stats"]["io_service_bytes_recursive"] == [entry]
    assert second["blkio_stats"]["io_service_bytes_recursive"] == [entry]
