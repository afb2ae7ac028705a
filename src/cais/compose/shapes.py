"""The order in which the parts of a project are written, which is Docker Compose's.

A `Shape` says of a mapping which keys it has, in their order, and which shape their values have. Keys that it does not
name (extensions) follow, sorted. A mapping without a shape is sorted by its keys.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from cais.compose.document import Tree


class Shape:
    """`fields`: the keys, separated by spaces. `of`: the shapes of their values, of the items where those are lists.

    `each`: the shape of every value, for a mapping whose keys are names.
    """

    __slots__ = ("each", "fields", "of")

    def __init__(self, fields: str = "", of: Mapping[str, Shape] | None = None, each: Shape | None = None) -> None:
        self.fields = fields.split()
        self.of = of or {}
        self.each = each


_HOOK = Shape("command user privileged working_dir environment")
_FILE = Shape("source target uid gid mode")
_DEVICE_REQUEST = Shape("capabilities driver count device_ids options")
_ULIMIT = Shape(each=Shape("soft hard"))
_UPDATE = Shape("parallelism delay failure_action monitor max_failure_ratio order")
_RESOURCE = Shape(
    "cpus memory pids devices generic_resources",
    {
        "devices": _DEVICE_REQUEST,
        "generic_resources": Shape("discrete_resource_spec", {"discrete_resource_spec": Shape("kind value")}),
    },
)
_DEPLOY = Shape(
    "mode replicas labels update_config rollback_config resources restart_policy placement endpoint_mode",
    {
        "update_config": _UPDATE,
        "rollback_config": _UPDATE,
        "resources": Shape("limits reservations", {"limits": _RESOURCE, "reservations": _RESOURCE}),
        "restart_policy": Shape("condition delay max_attempts window"),
        "placement": Shape("constraints preferences max_replicas_per_node"),
    },
)
_BUILD = Shape(
    "context dockerfile dockerfile_inline entitlements args provenance sbom ssh labels cache_from cache_to no_cache "
    "additional_contexts pull extra_hosts isolation network target secrets shm_size tags ulimits platforms privileged",
    {"secrets": _FILE, "ulimits": _ULIMIT},
)
_NETWORK_USE = Shape(
    "aliases driver_opts gw_priority interface_name ipv4_address ipv6_address link_local_ips mac_address priority"
)
_VOLUME_USE = Shape(
    "type source target read_only consistency bind volume tmpfs image",
    {
        "bind": Shape("selinux propagation create_host_path recursive"),
        "volume": Shape("labels nocopy subpath"),
        "tmpfs": Shape("size mode"),
    },
)
_THROTTLE = Shape("path rate Path Rate")
_SERVICE_PARTS = {
    "build": _BUILD,
    "deploy": _DEPLOY,
    "develop": Shape(
        "watch",
        {"watch": Shape("path action target exec include ignore initial_sync", {"exec": _HOOK})},
    ),
    "post_start": _HOOK,
    "pre_stop": _HOOK,
    "blkio_config": Shape(
        "weight weight_device device_read_bps device_read_iops device_write_bps device_write_iops",
        {
            "weight_device": Shape("path weight Path Weight"),
            "device_read_bps": _THROTTLE,
            "device_read_iops": _THROTTLE,
            "device_write_bps": _THROTTLE,
            "device_write_iops": _THROTTLE,
        },
    ),
    "configs": _FILE,
    "secrets": _FILE,
    "credential_spec": Shape("config file registry"),
    "depends_on": Shape(each=Shape("condition restart required")),
    "devices": Shape("source target permissions"),
    "gpus": _DEVICE_REQUEST,
    "healthcheck": Shape("test timeout interval retries start_period start_interval disable"),
    "logging": Shape("driver options"),
    "models": Shape(each=Shape("endpoint_var model_var")),
    "networks": Shape(each=_NETWORK_USE),
    "ports": Shape("name mode host_ip target published protocol app_protocol"),
    "provider": Shape("type options"),
    "ulimits": _ULIMIT,
    "volumes": _VOLUME_USE,
}
SERVICE = Shape(
    "profiles deploy develop restart scale attach container_name provider external_links links post_start "
    "pre_stop annotations blkio_config cap_add cap_drop cgroup_parent cgroup cpu_count cpu_percent cpu_period "
    "cpu_quota cpu_rt_period cpu_rt_runtime cpus cpuset cpu_shares command configs credential_spec device_cgroup_rules "
    "devices dns dns_opt dns_search domainname entrypoint environment env_file extra_hosts group_add gpus "
    "hostname image init ipc isolation labels label_file logging mem_limit mem_reservation memswap_limit "
    "mem_swappiness mac_address models network_mode networks oom_kill_disable oom_score_adj pid pids_limit "
    "platform privileged pull_policy read_only runtime secrets security_opt shm_size stop_grace_period "
    "stop_signal storage_opt sysctls tmpfs ulimits user userns_mode uts volumes volumes_from working_dir build "
    "depends_on expose healthcheck ports stdin_open tty use_api_socket",
    _SERVICE_PARTS,
)
# The order in which a service is hashed is that of earlier versions, so that their containers are recognised.
HASHED_SERVICE = Shape(
    "annotations attach develop blkio_config cap_add cap_drop cgroup_parent cgroup cpu_count cpu_percent "
    "cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpus cpuset cpu_shares command configs container_name "
    "credential_spec deploy device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint provider "
    "environment env_file expose external_links extra_hosts group_add gpus hostname healthcheck image init ipc "
    "isolation labels label_file links logging mem_limit mem_reservation memswap_limit mem_swappiness mac_address "
    "models network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform ports privileged "
    "read_only restart runtime secrets security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt "
    "sysctls tmpfs tty ulimits use_api_socket user userns_mode uts volumes volumes_from working_dir post_start "
    "pre_stop",
    _SERVICE_PARTS,
)
NETWORK = Shape(
    "name driver driver_opts ipam external internal attachable labels enable_ipv4 enable_ipv6",
    {
        "ipam": Shape("driver config", {"config": Shape("subnet gateway ip_range aux_addresses")}),
    },
)
VOLUME = Shape("name driver driver_opts external labels")
FILE_OBJECT = Shape("name file environment content external labels driver driver_opts template_driver")
MODEL = Shape("name model context_size runtime_flags")
_PROJECT_PARTS = {
    "services": Shape(each=SERVICE),
    "networks": Shape(each=NETWORK),
    "volumes": Shape(each=VOLUME),
    "secrets": Shape(each=FILE_OBJECT),
    "configs": Shape(each=FILE_OBJECT),
    "models": Shape(each=MODEL),
}
PROJECT = Shape("name services networks volumes secrets configs models", _PROJECT_PARTS)
# As JSON the keys of the project itself are sorted.
PROJECT_JSON = Shape("", _PROJECT_PARTS)


def ordered(value: Any, shape: Shape | None, key: Callable[[str], Any]) -> Any:
    """The value with the keys of its mappings in order; `key` sorts those that no shape names."""
    if isinstance(value, list):
        return [ordered(item, shape, key) for item in value]
    if not isinstance(value, dict):
        return value
    if shape is None:
        return {name: ordered(value[name], None, key) for name in sorted(value, key=key)}
    known = [name for name in shape.fields if name in value]
    named = set(known)
    others = sorted((name for name in value if name not in named), key=key)
    result: Tree = {}
    for name in (*known, *others):
        result[name] = ordered(value[name], shape.each or shape.of.get(name), key)
    return result
