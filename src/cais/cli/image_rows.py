"""What the lists of images show of one: the fields of `images` and of `system df`."""

from __future__ import annotations

from cais.cli.formats import Columns
from cais.cli.units import age, human_size, local_time, short_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cais.cli.formats import Row
    from cais.client.model import ImageSummary

NONE = "<none>"
_UNKNOWN = "N/A"

COLUMNS = Columns(
    "formatter.imageContext",
    {
        "ID": "IMAGE ID",
        "Repository": "REPOSITORY",
        "Tag": "TAG",
        "Digest": "DIGEST",
        "CreatedSince": "CREATED",
        "CreatedAt": "CREATED AT",
        "Size": "SIZE",
        "Containers": "CONTAINERS",
        "VirtualSize": "SIZE",
        "SharedSize": "SHARED SIZE",
        "UniqueSize": "UNIQUE SIZE",
    },
    ("Repository", "Tag", "ID", "CreatedSince", "Size"),
    """repository: {{ .Repository }}
tag: {{.Tag}}
image_id: {{.ID}}
created_at: {{.CreatedAt}}
virtual_size: {{.Size}}
""",
)
RAW_WITH_DIGEST = """repository: {{ .Repository }}
{{if .Tag -}}
tag: {{.Tag}}
{{end -}}
{{if .Digest -}}
digest: {{.Digest}}
{{end -}}
image_id: {{.ID}}
created_at: {{.CreatedAt}}
virtual_size: {{.Size}}
"""


def names(image: ImageSummary, *, digests: bool, alone: bool) -> Iterator[tuple[str, str, str]]:
    """Repository, tag and digest of each line that shows an image.

    `digests`: tags are shown with their digests; `alone`: each digest without a tag has a line of its own.
    """
    tags = [name for name in image.get("RepoTags") or [] if name != f"{NONE}:{NONE}"]
    hashes: dict[str, list[str]] = {}
    for name in image.get("RepoDigests") or []:
        repository, _, digest = name.partition("@")
        if repository != NONE:
            hashes.setdefault(repository, []).append(digest)
    if not tags and not hashes:
        yield NONE, NONE, NONE
    tagged = set()
    for name in tags:
        repository, _, tag = name.rpartition(":")
        tagged.add(repository)
        for digest in (hashes.get(repository) if digests else None) or [NONE]:
            yield repository, tag, digest
    for repository, found in hashes.items():
        if repository not in tagged:
            yield from ((repository, NONE, digest) for digest in (found if alone else [NONE]))


def fields(image: ImageSummary, name: tuple[str, str, str], *, whole: bool) -> Row:
    """What is shown of an image, under the names that templates use. `whole`: nothing is shortened."""
    repository, tag, digest = name
    size, shared, containers = image.get("Size", 0), image.get("SharedSize", -1), image.get("Containers", -1)
    created = image.get("Created", 0)
    known = shared not in {-1, None}
    return {
        "Containers": _UNKNOWN if containers == -1 else str(containers),
        "CreatedAt": lambda: local_time(created),
        "CreatedSince": lambda: age(created),
        "Digest": digest,
        "ID": image["Id"] if whole else short_id(image["Id"]),
        "Repository": repository,
        "SharedSize": human_size(shared, 4) if known else _UNKNOWN,
        "Size": lambda: human_size(size),
        "Tag": tag,
        "UniqueSize": human_size(size - shared, 4) if known and size != -1 else _UNKNOWN,
        "VirtualSize": lambda: human_size(size, 4),
    }
