"""The flags of `build`, and what of the Engine API they are."""

from __future__ import annotations

import os

from cais.cli import values
from cais.cli.flags import Flag, number, switch, text_list
from cais.cli.proxies import with_proxies
from cais.client.codec import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.flags import Parsed
    from cais.cli.settings import Settings

_CPU_PERIOD = 100_000


def _parse_tag(text: str) -> str:
    from cais.cli.reference import Reference  # noqa: PLC0415

    Reference(text)
    return text


def _parse_progress(text: str) -> str:
    if text not in {"auto", "plain", "tty", "quiet"}:
        raise ValueError("invalid progress mode")
    return text


def _size(name: str, text: str, short: str = "") -> Flag:
    return Flag(name, text, short, "bytes", values.parse_bytes, 0)


FLAGS = (
    text_list("add-host", 'Add a custom host-to-IP mapping (format: "host:ip")', parse=values.parse_extra_host),
    text_list("build-arg", "Set build-time variables"),
    text_list("build-context", "Additional build contexts (e.g., name=path)"),
    text_list("cache-from", 'External cache sources (e.g., "user/app:cache", "type=local,src=path/to/dir")'),
    text_list("cache-to", 'Cache export destinations (e.g., "user/app:cache", "type=local,dest=path/to/dir")'),
    Flag("cgroup-parent", 'Set the parent cgroup for the "RUN" instructions during build'),
    switch("check", "Check the Dockerfile without building anything"),
    number("cpu-period", "Limit the CPU CFS (Completely Fair Scheduler) period"),
    number("cpu-quota", "Limit the CPU CFS (Completely Fair Scheduler) quota"),
    number("cpu-shares", "CPU shares (relative weight)", "c"),
    Flag("cpus", "Number of CPUs", "", "decimal", values.parse_nano_cpus, 0),
    Flag("cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)"),
    Flag("cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)"),
    Flag("file", 'Name of the Dockerfile (default: "PATH/Dockerfile")', "f"),
    switch("force-rm", "Always remove intermediate containers", hidden=True),
    Flag("iidfile", "Write the image ID to a file"),
    text_list("label", "Set metadata for an image"),
    switch("load", 'Shorthand for "--output=type=docker"'),
    _size("memory", "Memory limit", "m"),
    Flag(
        "memory-swap",
        "Swap limit equal to memory plus swap: -1 to enable unlimited swap",
        "",
        "bytes",
        values.parse_bytes_or_unlimited,
        0,
    ),
    Flag("metadata-file", "Write build result metadata to a file"),
    Flag(
        "network", 'Set the networking mode for the "RUN" instructions during build', default_text='(default "default")'
    ),
    switch("no-cache", "Do not use cache when building the image"),
    text_list("no-cache-filter", "Do not cache specified stages"),
    text_list("output", 'Output destination (format: "type=local,dest=path")', "o"),
    Flag("platform", "Set target platform for build"),
    Flag(
        "progress",
        'Set type of progress output ("auto", "plain", "tty", "quiet"). Use plain to show container output',
        "",
        "string",
        _parse_progress,
        "auto",
    ),
    switch("pull", "Always attempt to pull all referenced images"),
    switch("push", 'Shorthand for "--output=type=registry"'),
    switch("quiet", "Suppress the build output and print image ID on success", "q"),
    switch("rm", "Remove intermediate containers after a successful build", default=True, hidden=True),
    text_list("secret", 'Secret to expose to the build (format: "id=mysecret[,src=/local/secret]")'),
    Flag("security-opt", "Security options", "", "list", many=True, hidden=True),
    _size("shm-size", "Shared memory size for build containers"),
    switch("squash", "Squash newly built layers into a single new layer"),
    text_list(
        "ssh", 'SSH agent socket or keys to expose to the build (format: "default|<id>[=<socket>|<key>[,<key>]]")'
    ),
    text_list("tag", 'Image identifier (format: "[registry/]repository[:tag]")', "t", _parse_tag),
    Flag("target", "Set the target build stage to build"),
    Flag("ulimit", "Ulimit options", "", "ulimit", values.parse_ulimit, many=True, default_text="(default [])"),
)

_TEXTS = {
    "cgroup-parent": "cgroupparent",
    "cpuset-cpus": "cpusetcpus",
    "cpuset-mems": "cpusetmems",
    "network": "networkmode",
    "platform": "platform",
    "target": "target",
}
_NUMBERS = {
    "cpu-period": "cpuperiod",
    "cpu-quota": "cpuquota",
    "cpu-shares": "cpushares",
    "memory": "memory",
    "memory-swap": "memswap",
    "shm-size": "shmsize",
}
_SWITCHES = {"force-rm": "forcerm", "no-cache": "nocache", "pull": "pull", "squash": "squash"}


def engine_query(given: Parsed, settings: Settings, host: str, dockerfile: str) -> dict[str, str | list[str]]:
    """What `POST /build` is asked. `host` is the address of the engine, for its proxies."""
    query: dict[str, str | list[str]] = {
        "dockerfile": dockerfile,
        "version": "1",
        "rm": "1" if given.on("rm") else "0",
        "buildargs": _json(build_args(given, settings, host)),
        "labels": _json(given.pairs("label")),
    }
    query |= {field: given.text(flag) for flag, field in _TEXTS.items() if given.text(flag)}
    query |= {field: str(given.number(flag)) for flag, field in _NUMBERS.items() if given.number(flag)}
    query |= {field: "1" for flag, field in _SWITCHES.items() if given.on(flag)}
    if nano := given.number("cpus"):
        query |= {"cpuperiod": str(_CPU_PERIOD), "cpuquota": str(nano * _CPU_PERIOD // 10**9)}
    if given.items("ulimit"):
        query["ulimits"] = _json(given.items("ulimit"))
    if names := [text for text in given.texts("cache-from") if "=" not in text]:
        query["cachefrom"] = _json(names)
    if given.texts("add-host"):
        query["extrahosts"] = given.texts("add-host")
    if given.texts("tag"):
        query["t"] = given.texts("tag")
    if given.texts("security-opt"):
        query["securityopt"] = given.texts("security-opt")
    return query


def build_args(given: Parsed, settings: Settings, host: str) -> dict[str, str | None]:
    """The arguments: a bare NAME has the value that it has here, null where it has none."""
    pairs = with_proxies(settings.table("proxies"), host, given.texts("build-arg"))
    args: dict[str, str | None] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        args[name] = value if equals else os.environ.get(name)
    return args


def _json(value: object) -> str:
    return dumps(value).decode("ascii")
