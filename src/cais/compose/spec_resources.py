"""Limits and devices of a service, as the engine is asked for them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cais.compose.document import Tree

_SAME = {
    "CgroupParent": "cgroup_parent",
    "CpuCount": "cpu_count",
    "CpuPeriod": "cpu_period",
    "CpuQuota": "cpu_quota",
    "CpuRealtimePeriod": "cpu_rt_period",
    "CpuRealtimeRuntime": "cpu_rt_runtime",
    "CpuShares": "cpu_shares",
    "CpusetCpus": "cpuset",
    "DeviceCgroupRules": "device_cgroup_rules",
    "OomKillDisable": "oom_kill_disable",
    "PidsLimit": "pids_limit",
}
_BYTES = {"Memory": "mem_limit", "MemorySwap": "memswap_limit", "MemoryReservation": "mem_reservation"}
_THROTTLES = {
    "BlkioDeviceReadBps": "device_read_bps",
    "BlkioDeviceReadIOps": "device_read_iops",
    "BlkioDeviceWriteBps": "device_write_bps",
    "BlkioDeviceWriteIOps": "device_write_iops",
}


def resources(tree: Tree) -> Tree:
    """The fields of HostConfig that limit a container, and its devices."""
    found: Tree = {key: tree[field] for key, field in _SAME.items() if tree.get(field)}
    found.update({key: int(tree[field]) for key, field in _BYTES.items() if tree.get(field)})
    if tree.get("mem_swappiness"):
        found["MemorySwappiness"] = int(tree["mem_swappiness"])
    if tree.get("cpus"):
        found["NanoCpus"] = round(tree["cpus"] * 10**9)
    if tree.get("cpu_percent"):
        found["CpuPercent"] = int(tree["cpu_percent"] * 100)
    _add_blkio(found, tree.get("blkio_config") or {})
    limits = (tree.get("deploy") or {}).get("resources") or {}
    _add_limits(found, limits.get("limits") or {})
    _add_devices(found, tree, limits.get("reservations") or {})
    if ulimits := tree.get("ulimits"):
        found["Ulimits"] = [_ulimit(name, value) for name, value in ulimits.items()]
    return found


def _ulimit(name: str, value: Any) -> Tree:
    soft, hard = (value["soft"], value["hard"]) if isinstance(value, dict) else (value, value)
    return {"Name": name, "Soft": soft, "Hard": hard}


def _add_limits(found: Tree, limits: Tree) -> None:
    if limits.get("memory"):
        found["Memory"] = int(limits["memory"])
    if limits.get("cpus"):
        found["NanoCpus"] = round(limits["cpus"] * 10**9)
    if limits.get("pids"):
        found["PidsLimit"] = limits["pids"]


def _add_devices(found: Tree, tree: Tree, reservations: Tree) -> None:
    if reservations.get("memory"):
        found["MemoryReservation"] = int(reservations["memory"])
    if devices := tree.get("devices"):
        found["Devices"] = [
            {
                "PathOnHost": device["source"],
                "PathInContainer": device["target"],
                "CgroupPermissions": device["permissions"],
            }
            for device in devices
        ]
    requests = [_request(device, []) for device in reservations.get("devices") or ()]
    requests += [_request(device, ["gpu"]) for device in tree.get("gpus") or ()]
    if requests:
        found["DeviceRequests"] = requests


def _request(device: Tree, more: list[str]) -> Tree:
    return {
        "Driver": device.get("driver", ""),
        "Count": device.get("count", 0),
        "DeviceIDs": device.get("device_ids"),
        "Capabilities": [[*(device.get("capabilities") or []), *more]],
        "Options": device.get("options"),
    }


def _add_blkio(found: Tree, blkio: Tree) -> None:
    if blkio.get("weight"):
        found["BlkioWeight"] = blkio["weight"]
    if blkio.get("weight_device"):
        found["BlkioWeightDevice"] = [
            {"Path": device["path"], "Weight": device["weight"]} for device in blkio["weight_device"]
        ]
    for key, field in _THROTTLES.items():
        if blkio.get(field):
            found[key] = [{"Path": device["path"], "Rate": int(device["rate"])} for device in blkio[field]]
