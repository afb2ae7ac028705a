"""`cais system df`: the space that images, containers, volumes and the build cache take."""

from __future__ import annotations

from cais.cli import container_rows, image_rows, volume_rows
from cais.cli.command import Command, Invocation
from cais.cli.flags import TABLE_FORMAT, switch
from cais.cli.formats import Columns, parsed_template, plain
from cais.cli.output import out
from cais.cli.times import age_of_date, go_date
from cais.cli.units import human_size, short_id
from cais.client import system
from cais.client.codec import dumps_readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.formats import Row
    from cais.client.model import BuildCacheRecord, ContainerSummary, DiskUsage, ImageSummary, VolumeDetail

_TOTALS = Columns(
    "formatter.diskUsageImagesContext",
    {"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE"},
    ("Type", "TotalCount", "Active", "Size", "Reclaimable"),
    "type: {{.Type}}\ntotal: {{.TotalCount}}\nactive: {{.Active}}\nsize: {{.Size}}\nreclaimable: {{.Reclaimable}}\n",
)
_CACHE = Columns(
    "formatter.buildCacheContext",
    {
        "ID": "CACHE ID",
        "CacheType": "CACHE TYPE",
        "Size": "SIZE",
        "CreatedSince": "CREATED",
        "LastUsedSince": "LAST USED",
        "UsageCount": "USAGE",
        "Shared": "SHARED",
    },
    ("ID", "CacheType", "Size", "CreatedSince", "LastUsedSince", "UsageCount", "Shared"),
)
_IMAGE_COLUMNS = ("Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers")
_CONTAINER_COLUMNS = ("ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names")
_ACTIVE_STATES = ("running", "paused", "restarting")


def _df(call: Invocation) -> int:
    template = call.flags.text("format")
    usage = system.disk_usage(call.engine)
    if not call.flags.on("verbose"):
        out(_TOTALS.render(template, _totals(usage)), end="", template=template)
    elif template in {"", "table"}:
        out(_sections(usage), end="")
    else:
        rows = {name: [plain(row) for row in found] for name, found in _rows(usage, whole=True).items()}
        out(dumps_readable(rows) if template == "json" else _applied(template, rows), end="", template=template)
    return 0


def _applied(template: str, rows: object) -> str:
    from cais.cli.gotemplate.values import held  # noqa: PLC0415 -- only for templates

    return parsed_template(template, status=1).apply(held(rows), strict=True)


def _totals(usage: DiskUsage) -> list[Row]:
    return [
        _of_images(usage.get("Images") or [], usage.get("LayersSize", 0)),
        _of_containers(usage.get("Containers") or []),
        _of_volumes(usage.get("Volumes") or []),
        _of_cache(usage.get("BuildCache") or []),
    ]


def _total(kind: str, count: int, active: int, size: int, reclaimable: int, *, share: bool = True) -> Row:
    percent = f" ({reclaimable * 100 // size}%)" if share and size > 0 else ""
    return {
        "Type": kind,
        "TotalCount": str(count),
        "Active": str(active),
        "Size": human_size(size, 4),
        "Reclaimable": f"{human_size(reclaimable, 4)}{percent}",
    }


def _of_images(images: list[ImageSummary], layers_size: int) -> Row:
    in_use = [image for image in images if image.get("Containers", 0) > 0]
    used = 0
    for image in images:
        size, shared = image.get("Size", -1), image.get("SharedSize", -1)
        if image.get("Containers", 0) != 0 and size != -1 and shared != -1:
            used += size - shared
    return _total("Images", len(images), len(in_use), layers_size, layers_size - used)


def _of_containers(containers: list[ContainerSummary]) -> Row:
    idle = [one for one in containers if not any(state in one.get("State", "") for state in _ACTIVE_STATES)]
    size, reclaimable = (sum(one.get("SizeRw", 0) for one in some) for some in (containers, idle))
    return _total("Containers", len(containers), len(containers) - len(idle), size, reclaimable)


def _of_volumes(volumes: list[VolumeDetail]) -> Row:
    data = [volume.get("UsageData") or {} for volume in volumes]
    known = [one for one in data if one.get("Size", -1) != -1]
    size = sum(one["Size"] for one in known)
    reclaimable = sum(one["Size"] for one in known if one.get("RefCount", 0) == 0)
    active = sum(one.get("RefCount", 0) > 0 for one in data)
    return _total("Local Volumes", len(volumes), active, size, reclaimable)


def _of_cache(cache: list[BuildCacheRecord]) -> Row:
    own = [record for record in cache if not record.get("Shared")]
    size, in_use = (sum(one.get("Size", 0) for one in some) for some in (own, [one for one in own if one.get("InUse")]))
    active = sum(bool(record.get("InUse")) for record in cache)
    return _total("Build Cache", len(cache), active, size, size - in_use, share=False)


def _rows(usage: DiskUsage, *, whole: bool) -> dict[str, list[Row]]:
    return {
        "Images": [_image(image, whole=whole) for image in usage.get("Images") or []],
        "Containers": [
            container_rows.fields({**container, "SizeRootFs": 0}, whole=whole)
            for container in usage.get("Containers") or []
        ],
        "Volumes": [volume_rows.fields(volume) for volume in usage.get("Volumes") or []],
        "BuildCache": [
            _record(record, whole=whole)
            for record in sorted(
                usage.get("BuildCache") or [], key=lambda one: (one.get("LastUsedAt") or "", one["ID"])
            )
        ],
    }


def _image(image: ImageSummary, *, whole: bool) -> Row:
    repository, tag, _ = next(image_rows.names(image, digests=False, alone=False))
    return image_rows.fields(image, (repository, tag, ""), whole=whole)


def _record(record: BuildCacheRecord, *, whole: bool) -> Row:
    used_at = record.get("LastUsedAt") or ""
    parents = ", ".join(record.get("Parents") or [])
    identifier = record["ID"] if whole else short_id(record["ID"])
    return {
        "CacheType": record.get("Type", ""),
        "CreatedAt": go_date(record.get("CreatedAt", "")),
        "CreatedSince": age_of_date(record.get("CreatedAt", "")),
        "Description": record.get("Description", ""),
        "ID": f"{identifier}*" if record.get("InUse") else identifier,
        "InUse": "true" if record.get("InUse") else "false",
        "LastUsedAt": go_date(used_at),
        "LastUsedSince": age_of_date(used_at),
        "Parent": parents if whole else short_id(parents),
        "Shared": "true" if record.get("Shared") else "false",
        "Size": human_size(record.get("Size", 0)),
        "UsageCount": str(record.get("UsageCount", 0)),
    }


def _sections(usage: DiskUsage) -> str:
    rows = _rows(usage, whole=False)
    cache_size = sum(record.get("Size", 0) for record in usage.get("BuildCache") or [] if not record.get("Shared"))
    return (
        f"Images space usage:\n\n{image_rows.COLUMNS.render('', rows['Images'], _IMAGE_COLUMNS)}"
        f"\nContainers space usage:\n\n{container_rows.COLUMNS.render('', rows['Containers'], _CONTAINER_COLUMNS)}"
        f"\nLocal Volumes space usage:\n\n{volume_rows.COLUMNS.render('', rows['Volumes'], ('Name', 'Links', 'Size'))}"
        f"\nBuild cache usage: {human_size(cache_size, 4)}\n\n{_CACHE.render('', rows['BuildCache'])}"
    )


DF = Command(
    "[OPTIONS]",
    "",
    (TABLE_FORMAT, switch("verbose", "Show detailed information on space usage", "v")),
    _df,
    0,
    0,
)
