"""The flags of `run` and `create`. Each is a field of the Engine API (container_config.py)."""

from __future__ import annotations

from cais.cli import values
from cais.cli.flags import DETACH_KEYS, Flag, number, switch, text_list
from cais.gotext import parse_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_MAP = "(default map[])"
_LIST = "(default [])"
_NO_DURATION = "(default 0s)"


def _size(name: str, text: str, short: str = "", *, hidden: bool = False) -> Flag:
    return Flag(name, text, short, "bytes", values.parse_bytes, 0, hidden=hidden)


def _duration(name: str, text: str) -> Flag:
    return Flag(name, f"{text} (ms|s|m|h)", "", "duration", parse_duration, 0, default_text=_NO_DURATION)


def _limits(name: str, text: str, parse: Callable[[str], object]) -> Flag:
    return Flag(name, text, "", "list", parse, many=True, default_text=_LIST)


def _network(text: str) -> object:
    from cais.cli.networks import parse_network  # noqa: PLC0415 -- only where the flag is given

    return parse_network(text)


def _mount(text: str) -> object:
    from cais.cli.mounts import parse_mount  # noqa: PLC0415 -- only where the flag is given

    return parse_mount(text)


def _gpus(text: str) -> object:
    from cais.cli.gpus import parse_gpus  # noqa: PLC0415 -- only where the flag is given

    return parse_gpus(text)


def _pull(before: str) -> Flag:
    choices = '("always", "missing", "never")'
    return Flag("pull", f"Pull image before {before} {choices}", default="missing", default_text='(default "missing")')


GENERAL = (
    Flag(
        "annotation",
        "Add an annotation to the container (passed through to the OCI runtime)",
        "",
        "map",
        many=True,
        default_text=_MAP,
    ),
    text_list("attach", "Attach to STDIN, STDOUT or STDERR", "a", values.parse_attach),
    Flag("cidfile", "Write the container ID to the file"),
    Flag("entrypoint", "Overwrite the default ENTRYPOINT of the image"),
    text_list("env", "Set environment variables", "e", values.parse_env),
    text_list("env-file", "Read in a file of environment variables"),
    text_list("group-add", "Add additional groups to join"),
    switch("help", "Print usage"),
    Flag("hostname", "Container host name", "h"),
    Flag("domainname", "Container NIS domain name"),
    switch("disable-content-trust", "Skip image verification", default=True),
    switch("init", "Run an init inside the container that forwards signals and reaps processes"),
    switch("interactive", "Keep STDIN open even if not attached", "i"),
    text_list("label", "Set meta data on a container", "l", values.parse_label),
    text_list("label-file", "Read in a line delimited file of labels"),
    Flag("isolation", "Container isolation technology"),
    Flag("name", "Assign a name to the container"),
    Flag("platform", "Set platform if server is multi-platform capable"),
    switch("quiet", "Suppress the pull output", "q"),
    Flag("restart", "Restart policy to apply when a container exits", default="no", default_text='(default "no")'),
    switch("rm", "Automatically remove the container and its associated anonymous volumes when it exits"),
    Flag("runtime", "Runtime to use for this container"),
    Flag("stop-signal", "Signal to stop the container"),
    number("stop-timeout", "Timeout (in seconds) to stop a container"),
    switch("tty", "Allocate a pseudo-TTY", "t"),
    switch("use-api-socket", "Bind mount Docker API socket and required auth"),
    Flag("user", "Username or UID (format: <name|uid>[:<group|gid>])", "u"),
    Flag("workdir", "Working directory inside the container", "w"),
)

SECURITY = (
    text_list("cap-add", "Add Linux capabilities"),
    text_list("cap-drop", "Drop Linux capabilities"),
    Flag("cgroup-parent", "Optional parent cgroup for the container"),
    Flag(
        "cgroupns",
        "Cgroup namespace to use (host|private)\n"
        "'host':    Run the container in the Docker host's cgroup namespace\n"
        "'private': Run the container in its own private cgroup namespace\n"
        "'':        Use the cgroup namespace as configured by the\n"
        "           default-cgroupns-mode option on the daemon (default)",
    ),
    Flag("ipc", "IPC mode to use"),
    Flag("pid", "PID namespace to use"),
    switch("privileged", "Give extended privileges to this container"),
    switch("read-only", "Mount the container's root filesystem as read only"),
    text_list("security-opt", "Security Options"),
    Flag("sysctl", "Sysctl options", "", "map", values.parse_sysctl, many=True, default_text=_MAP),
    Flag("userns", "User namespace to use"),
    Flag("uts", "UTS namespace to use"),
)

DEVICES = (
    text_list("device", "Add a host device to the container"),
    text_list("device-cgroup-rule", "Add a rule to the cgroup allowed devices list", parse=values.parse_device_rule),
    _limits("device-read-bps", "Limit read rate (bytes per second) from a device", values.parse_device_bytes_rate),
    _limits("device-read-iops", "Limit read rate (IO per second) from a device", values.parse_device_rate),
    _limits("device-write-bps", "Limit write rate (bytes per second) to a device", values.parse_device_bytes_rate),
    _limits("device-write-iops", "Limit write rate (IO per second) to a device", values.parse_device_rate),
    text_list("gpus", "GPU devices to add to the container ('all' to pass all GPUs)", "", _gpus, "gpu-request"),
    _limits("blkio-weight-device", "Block IO weight (relative device weight)", values.parse_device_weight),
)

RESOURCES = (
    Flag(
        "blkio-weight",
        "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)",
        "",
        "uint16",
        values.parse_uint16,
        0,
    ),
    number("cpu-period", "Limit CPU CFS (Completely Fair Scheduler) period"),
    number("cpu-quota", "Limit CPU CFS (Completely Fair Scheduler) quota"),
    number("cpu-rt-period", "Limit CPU real-time period in microseconds"),
    number("cpu-rt-runtime", "Limit CPU real-time runtime in microseconds"),
    number("cpu-shares", "CPU shares (relative weight)", "c"),
    Flag("cpus", "Number of CPUs", "", "decimal", values.parse_nano_cpus, 0),
    Flag("cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)"),
    Flag("cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)"),
    _size("kernel-memory", "Kernel memory limit"),
    _size("memory", "Memory limit", "m"),
    _size("memory-reservation", "Memory soft limit"),
    Flag(
        "memory-swap",
        "Swap limit equal to memory plus swap: '-1' to enable unlimited swap",
        "",
        "bytes",
        values.parse_bytes_or_unlimited,
        0,
    ),
    number("memory-swappiness", "Tune container memory swappiness (0 to 100)", default=-1),
    switch("oom-kill-disable", "Disable OOM Killer"),
    number("oom-score-adj", "Tune host's OOM preferences (-1000 to 1000)"),
    number("pids-limit", "Tune container pids limit (set -1 for unlimited)"),
    _size("shm-size", "Size of /dev/shm"),
    Flag("ulimit", "Ulimit options", "", "ulimit", values.parse_ulimit, many=True, default_text=_LIST),
)

STORAGE = (
    text_list("log-opt", "Log driver options"),
    Flag("log-driver", "Logging driver for the container"),
    text_list("mount", "Attach a filesystem mount to the container", "", _mount, "mount"),
    text_list("storage-opt", "Storage driver options for the container"),
    text_list("tmpfs", "Mount a tmpfs directory"),
    text_list("volume", "Bind mount a volume", "v"),
    Flag("volume-driver", "Optional volume driver for the container"),
    text_list("volumes-from", "Mount volumes from the specified container(s)"),
)

NETWORK = (
    text_list("add-host", "Add a custom host-to-IP mapping (host:ip)", parse=values.parse_extra_host),
    text_list("dns", "Set custom DNS servers", parse=values.parse_address),
    Flag("dns-opt", "Set DNS options", "", "list", many=True, hidden=True, store="dns-option"),
    text_list("dns-option", "Set DNS options"),
    text_list("dns-search", "Set custom DNS search domains", parse=values.parse_search_domain),
    text_list("expose", "Expose a port or a range of ports"),
    Flag("ip", "IPv4 address (e.g., 172.30.100.104)"),
    Flag("ip6", "IPv6 address (e.g., 2001:db8::33)"),
    text_list("link", "Add link to another container", parse=values.parse_link),
    text_list("link-local-ip", "Container IPv4/IPv6 link-local addresses"),
    Flag("mac-address", "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
    Flag("net", "Connect a container to a network", "", "network", _network, many=True, hidden=True, store="network"),
    Flag(
        "net-alias",
        "Add network-scoped alias for the container",
        "",
        "list",
        many=True,
        hidden=True,
        store="network-alias",
    ),
    text_list("network", "Connect a container to a network", "", _network, "network"),
    text_list("network-alias", "Add network-scoped alias for the container"),
    text_list("publish", "Publish a container's port(s) to the host", "p"),
    switch("publish-all", "Publish all exposed ports to random ports", "P"),
)

RESTART_UNHEALTHY = switch("restart-unhealthy", "Restart the container when its health check finds it unhealthy")
HEALTH = (
    Flag("health-cmd", "Command to run to check health"),
    _duration("health-interval", "Time between running the check"),
    number("health-retries", "Consecutive failures needed to report unhealthy"),
    _duration("health-start-interval", "Time between running the check during the start period"),
    _duration(
        "health-start-period",
        "Start period for the container to initialize before starting health-retries countdown",
    ),
    _duration("health-timeout", "Maximum time to allow one check to run"),
    switch("no-healthcheck", "Disable any container-specified HEALTHCHECK"),
    RESTART_UNHEALTHY,
)

# Of engines on Windows: they are known, so that they are refused with the reason.
WINDOWS = (
    number("cpu-count", "CPU count (Windows only)", hidden=True),
    number("cpu-percent", "CPU percent (Windows only)", hidden=True),
    _size("io-maxbandwidth", "Maximum IO bandwidth limit for the system drive (Windows only)", hidden=True),
    number("io-maxiops", "Maximum IOps limit for the system drive (Windows only)", hidden=True),
)

_SHARED = GENERAL + SECURITY + DEVICES + RESOURCES + STORAGE + NETWORK + HEALTH + WINDOWS
CREATE_FLAGS = (*_SHARED, _pull("creating"))
RUN_FLAGS = (
    *_SHARED,
    _pull("running"),
    switch("detach", "Run container in background and print container ID", "d"),
    DETACH_KEYS,
    switch("sig-proxy", "Proxy received signals to the process", default=True),
)
