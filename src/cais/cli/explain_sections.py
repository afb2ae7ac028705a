"""The sections that the page of a container and that of a run have in common."""

from __future__ import annotations

from cais.cli.explain_page import RED, YELLOW
from cais.cli.units import human_binary_size, human_size, short_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from cais.cli.explain_page import Page

    Json = dict[str, Any]

_MOST_LAYERS = 8
_NEAR = 0.5  # a limit that nobody asked for is shown when so much of it is used
_ALWAYS_SHOWN = frozenset(["nofile"])
_RATES = {
    "rbps": ("reads", "B/s"), "wbps": ("writes", "B/s"), "riops": ("reads", "/s"), "wiops": ("writes", "/s")
}  # fmt: skip
_POLICIES = {"default": "the default policy", "profile": "a policy of the user's own", "unconfined": "unconfined"}


def draw_namespaces(page: Page, namespaces: Iterable[Json], *, runs: bool) -> None:
    page.title("Namespaces")
    for item in namespaces:
        inode = f"{item['Inode']}" if item["Inode"] else "new" if item["Sharing"] == "private" else ""
        words = {
            "private": "private",
            "host": "the host's",
            "container": f"shared with {', '.join(item['SharedWith'])}",
        }[item["Sharing"]]
        wanted = item["Wanted"]
        differs = runs and wanted != item["Sharing"] and not _is_partner(item)
        # an own one that others have joined is as it was asked for
        differs = differs and not (wanted == "private" and item["Sharing"] == "container")
        page.row(item["Kind"], f"{inode:<12}{words}" + _asked(differs, wanted), YELLOW if differs else "")


def _is_partner(item: Json) -> bool:
    return bool(item["Wanted"].removeprefix("container:") in item["SharedWith"])


def _asked(differs: bool, wanted: object) -> str:
    return f"  (asked for: {wanted})" if differs else ""


def draw_limits(page: Page, limits: Json, *, runs: bool) -> None:
    page.title("Limits")
    _draw_memory(page, limits["Memory"], runs)
    _draw_cpu(page, limits["Cpu"], runs)
    _draw_pids(page, limits["Pids"], runs)
    _draw_io(page, limits["Io"])
    for item in limits["Ulimits"]:
        _draw_ulimit(page, item)
    page.row("control group", limits["Cgroup"])


def _draw_memory(page: Page, memory: Json, runs: bool) -> None:
    limit, used = memory["LimitBytes"], memory["UsedBytes"]
    details = []
    if used is not None:
        details.append(f"at most {human_binary_size(memory['PeakBytes'])}")
        if memory["CacheBytes"]:
            details.append(f"{human_binary_size(memory['CacheBytes'])} of it cache that can be given up")
    if memory["SwapLimitBytes"] is not None and limit is not None:
        details.append(f"with swap {human_binary_size(memory['SwapLimitBytes'])}")
    if memory["ReservationBytes"] is not None:
        details.append(f"reserved {human_binary_size(memory['ReservationBytes'])}")
    if memory["Failures"]:
        details.append(f"the limit was hit {memory['Failures']} times")
    if memory["OomKills"]:
        details.append(f"{memory['OomKills']} processes killed for want of it")
    if memory["OomKillDisabled"]:
        details.append("nothing is killed for want of it")
    if memory["LimitedBy"]:
        details.append(f"a limit of {memory['LimitedBy']}")
    asked = _size(memory["WantedBytes"])
    extra = "".join(f", {text}" for text in details) + _asked(runs and asked != _size(limit), asked)
    _draw_use(page, "memory", used, limit, _size, extra)


def _size(value: int | None) -> str:
    return "no limit" if value is None else human_binary_size(value)


def _draw_use(  # noqa: PLR0917 -- each is a part of one row
    page: Page, label: str, used: Any, limit: Any, words: Callable[[Any], str], extra: str
) -> None:
    """A row of what is used of a limit, with a bar where both are known."""
    if used is None:
        page.row(label, f"{words(limit)}{extra}")
    elif limit is None:
        page.row(label, f"{words(used)} of {words(None)}{extra}")
    else:
        page.meter(label, used, limit, f"{words(used)} of {words(limit)}{extra}")


def _draw_cpu(page: Page, cpu: Json, runs: bool) -> None:
    details = []
    if cpu["Periods"]:
        details.append(
            f"throttled in {cpu['ThrottledPeriods']} of {cpu['Periods']} periods, {cpu['ThrottledNs'] / 1e9:.3g} s"
        )
    if runs:
        details.append(f"{cpu['TotalNs'] / 1e9:.3g} s used in all")
    for key in ("Shares", "Weight"):
        if cpu[key] is not None:
            details.append(f"{key.lower()} {cpu[key]}")
    if cpu["Allowed"]:
        details.append(f"on {cpu['Allowed']}")
    if cpu["MemoryNodes"] and cpu["MemoryNodes"] != "0":
        details.append(f"memory of nodes {cpu['MemoryNodes']}")
    asked = _cpus(cpu["WantedCpus"])
    extra = "".join(f", {text}" for text in details) + _asked(runs and asked != _cpus(cpu["Cpus"]), asked)
    _draw_use(page, "cpu", cpu["UsedCpus"], cpu["Cpus"], _cpus, extra)


def _cpus(value: float | None) -> str:
    return "no limit" if value is None else f"{value:.3g} processors"


def _draw_pids(page: Page, pids: Json, runs: bool) -> None:
    asked = _count(pids["Wanted"])
    extra = f", {pids['Refused']} more were refused" if pids["Refused"] else ""
    extra += f", a limit of {pids['LimitedBy']}" if pids["LimitedBy"] else ""
    extra += _asked(runs and asked != _count(pids["Limit"]), asked)
    _draw_use(page, "processes", pids["Used"], pids["Limit"], _count, extra)


def _count(value: float | None) -> str:
    return "no limit" if value is None else str(value)


def _draw_io(page: Page, io: Json) -> None:
    details = []
    if io["ReadBytes"] is not None:
        details.append(f"read {human_size(io['ReadBytes'])}, written {human_size(io['WrittenBytes'])}")
    if io["Weight"] is not None:
        details.append(f"weight {io['Weight']}")
    for item in io["Rates"]:
        what, unit = _RATES.get(item["Kind"], (item["Kind"], ""))
        details.append(f"{what} of {item['Device']} at most {item['Rate']}{unit}")
    if details:
        page.row("block devices", ", ".join(details))


def _draw_ulimit(page: Page, item: Json) -> None:
    soft, hard, used = item["Soft"], item["Hard"], item["Used"]
    near = used is not None and bool(soft) and used >= soft * _NEAR
    if not (item["WasAsked"] or near or item["Name"] in _ALWAYS_SHOWN):
        return

    def words(value: float | None) -> str:
        if value is None:
            return "no limit"
        return human_binary_size(value) if item["Unit"] == "bytes" else f"{value} {item['Unit']}".rstrip()

    extra = "" if hard == soft else f", hard {words(hard)}"
    differs = item["WasAsked"] and (item["WantedSoft"], item["WantedHard"]) != (soft, hard)
    extra += _asked(differs, f"{item['WantedSoft']}:{item['WantedHard']}")
    _draw_use(page, item["Name"], used, soft, words, extra)


def draw_root(page: Page, root: Json) -> None:
    flags = [
        word
        for word, on in (("read-only", root["ReadOnly"]), ("not synced: it goes with --rm", root["Volatile"]))
        if on
    ]
    page.title("Root file system" + (f" ({', '.join(flags)})" if flags else ""))
    size = root["WritableBytes"]
    written = "new" if size is None else human_size(size)
    page.row("read-write", f"{written:<8} {root['Writable']}")
    layers = root["Layers"]
    for layer in layers[:_MOST_LAYERS]:
        made = f"  {layer['CreatedBy']}" if layer["CreatedBy"] else ""
        page.row("layer", f"{human_size(layer['SizeBytes']):<9}{short_id(layer['ChainId'])}{made}")
    if len(layers) > _MOST_LAYERS:
        page.row("", f"and {len(layers) - _MOST_LAYERS} more")
    if layers:
        page.row("image", f"{human_size(root['ImageBytes'])} in {len(layers)} layer{'s' if len(layers) > 1 else ''}")


def draw_mounts(page: Page, mounts: list[Json], *, runs: bool) -> None:
    page.title("Mounts")
    for item in mounts:
        if item["Origin"] in {"user", "inside"} and not item["Missing"]:
            made = "  (the folder would be made on the host)" if item["Made"] else ""
            by = "  (mounted by the container itself)" if item["Origin"] == "inside" else ""
            options = ",".join(item["Options"])
            page.row(item["Destination"], f"{item['Source']}  {item['Type']} {options}{made}{by}", YELLOW if by else "")
    for item in mounts:
        if runs and item["Missing"]:
            page.row(item["Destination"], "asked for, and not seen at this path (a link may lead elsewhere)", YELLOW)
    usual = [item["Destination"] for item in mounts if item["Origin"] == "default" and not item["Missing"]]
    tops = [path for path in usual if not path.startswith("/sys/fs/cgroup/")]
    page.row("by default", " ".join(tops))


def draw_network(page: Page, network: Json, *, runs: bool) -> None:
    page.title(f"Network: {network['Mode']}")
    if network["Hostname"]:
        page.row("host name", network["Hostname"])
    for item in network["Interfaces"]:
        page.row(item["Name"], ", ".join(item["Addresses"]) or "no address")
    if runs and not network["Interfaces"]:
        page.row("interfaces", "none")


def draw_security(page: Page, security: Json, *, runs: bool) -> None:
    page.title("Rights" + (": privileged" if security["Privileged"] else ""), RED if security["Privileged"] else "1")
    _draw_user(page, security)
    _draw_capabilities(page, security, runs)
    filters = security["SeccompFilters"]
    policy = _POLICIES[security["Seccomp"]]
    differs = filters is not None and (filters == 0) != (security["Seccomp"] == "unconfined")
    in_force = "" if filters is None else f", {filters} filter{'' if filters == 1 else 's'} in force"
    page.row("seccomp", policy + in_force, YELLOW if differs else "")
    differs = runs and security["NoNewPrivileges"] != security["WantedNoNewPrivileges"]
    page.row(
        "new privileges",
        ("can't be gained" if security["NoNewPrivileges"] else "can be gained, by set-user-id programs")
        + _asked(differs, "no-new-privileges" if security["WantedNoNewPrivileges"] else "the default"),
    )
    page.row("masked", " ".join(security["MaskedPaths"]) or "nothing")
    page.row("read-only", " ".join(security["ReadonlyPaths"]) or "nothing")
    if security["ExposedPaths"]:
        page.row("not hidden", " ".join(security["ExposedPaths"]) + "  (asked to be)", YELLOW)
    devices = security["Devices"]
    if devices:
        page.row("devices", f"all {len(devices)} of the host" if security["Privileged"] else ", ".join(devices))
    if security["OomScoreAdj"]:
        page.row("oom score", f"{security['OomScoreAdj']:+d}")


def _draw_user(page: Page, security: Json) -> None:
    named = security["User"] or ("root" if not security["Uid"] else "")
    if security["Uid"] is None:
        page.row("user", named)
        return
    groups = " ".join(str(number) for number in security["Groups"])
    page.row("user", f"{named} (uid {security['Uid']}, gid {security['Gid']}, groups {groups or 'none'})")


def _draw_capabilities(page: Page, security: Json, runs: bool) -> None:
    have, wanted = security["Capabilities"], security["WantedCapabilities"]
    words = f"{len(have)}: the default ones"
    if len(have) == 0:
        words = "none"
    elif security["Added"] and not security["Dropped"] and len(security["Added"]) > len(have) // 2:
        words = f"all {len(have)} that the engine has"
    elif security["Added"] or security["Dropped"]:
        words += "".join(f" +{_short(name)}" for name in security["Added"])
        words += "".join(f" -{_short(name)}" for name in security["Dropped"])
    differs = runs and set(have) != set(wanted)
    page.row(
        "capabilities", words + _asked(differs, " ".join(map(_short, wanted)) or "none"), YELLOW if differs else ""
    )
    if runs and set(security["Effective"]) != set(have):
        in_use = " ".join(map(_short, security["Effective"])) or "none"
        page.row("", f"of which the first process has in effect now: {in_use}")


def _short(name: str) -> str:
    return name.removeprefix("CAP_")
