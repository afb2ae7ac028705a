"""What the lists of volumes show of one: the fields of `volume ls` and of `system df`."""

from __future__ import annotations

from cais.cli.formats import Columns, Labelled
from cais.cli.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.formats import Row
    from cais.client.model import VolumeDetail

COLUMNS = Columns(
    "formatter.volumeContext",
    {
        "Name": "VOLUME NAME",
        "Driver": "DRIVER",
        "Scope": "SCOPE",
        "Availability": "AVAILABILITY",
        "Mountpoint": "MOUNTPOINT",
        "Labels": "LABELS",
        "Links": "LINKS",
        "Size": "SIZE",
        "Group": "GROUP",
        "Status": "STATUS",
    },
    ("Driver", "Name"),
    "name: {{.Name}}\ndriver: {{.Driver}}\n",
)


def fields(volume: VolumeDetail) -> Row:
    """What is shown of a volume, under the names that templates use."""
    data = volume.get("UsageData")
    labels = volume.get("Labels") or {}
    return {
        "Availability": "N/A",
        "Driver": volume.get("Driver", ""),
        "Group": "N/A",
        "Label": Labelled(labels),
        "Labels": ",".join(f"{name}={value}" for name, value in sorted(labels.items())),
        "Links": "N/A" if data is None else str(data.get("RefCount", 0)),
        "Mountpoint": volume.get("Mountpoint", ""),
        "Name": volume.get("Name", ""),
        "Scope": volume.get("Scope", ""),
        "Size": "N/A" if data is None else human_size(data.get("Size", 0), 4),
        "Status": "N/A",
    }
