"""`cais images`, `rmi` and `tag`."""

from __future__ import annotations

from cais.cli.command import Command, CommandError, Invocation
from cais.cli.flags import TABLE_FORMAT, filter_flag, switch
from cais.cli.formats import json_line, table, wants_json
from cais.cli.output import err, out
from cais.cli.reference import Reference
from cais.cli.units import age, go_quote, human_size, local_time, short_id
from cais.client import images
from cais.client.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cais.client.model import ImageSummary

NONE = "<none>"


def _images(call: Invocation) -> int:
    given = call.flags
    as_json = wants_json(given.text("format"))
    filters = given.filters()
    if call.arguments:
        filters.setdefault("reference", []).append(call.arguments[0])
    found = images.summaries(call.engine, everything=given.on("all"), filters=filters)
    whole, digests = given.on("no-trunc"), given.on("digests")
    rows = [_fields(image, *row, whole=whole) for image in found for row in _rows(image, digests=digests or as_json)]
    if given.on("quiet") and not as_json:
        for row in rows:
            out(str(row["ID"]))
    elif as_json:
        for row in rows:
            out(json_line(row))
    else:
        names = ["Repository", "Tag", "ID", "CreatedSince", "Size"]
        header = ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]
        if digests:
            names.insert(2, "Digest")
            header.insert(2, "DIGEST")
        out(table([header, *([str(row[name]) for name in names] for row in rows)]))
    return 0


def _rows(image: ImageSummary, *, digests: bool) -> Iterator[tuple[str, str, str]]:
    """Repository, tag and digest of each line that shows an image."""
    tags = [name for name in image.get("RepoTags") or [] if name != "<none>:<none>"]
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
            yield from ((repository, NONE, digest) for digest in (found if digests else [NONE]))


def _fields(image: ImageSummary, repository: str, tag: str, digest: str, *, whole: bool) -> dict[str, object]:
    """What is shown of an image, under the names that templates use."""
    size, shared, containers = image.get("Size", 0), image.get("SharedSize", -1), image.get("Containers", -1)
    created = image.get("Created", 0)
    return {
        "Containers": "N/A" if containers == -1 else str(containers),
        "CreatedAt": local_time(created),
        "CreatedSince": age(created),
        "Digest": digest,
        "ID": image["Id"] if whole else short_id(image["Id"]),
        "Repository": repository,
        "SharedSize": "N/A" if shared == -1 else human_size(shared, 4),
        "Size": human_size(size),
        "Tag": tag,
        "UniqueSize": "N/A" if shared == -1 or size == -1 else human_size(size - shared, 4),
        "VirtualSize": human_size(size, 4),
    }


def _rmi(call: Invocation) -> int:
    given = call.flags
    force = given.on("force")
    failed = False
    for image in call.arguments:
        try:
            removed = images.remove(call.engine, image, force=force, prune=not given.on("no-prune"))
        except EngineError as error:
            err(str(error))
            failed |= not (force and error.status == 404)
            continue
        for item in removed:
            out(f"Deleted: {item['Deleted']}" if item.get("Deleted") else f"Untagged: {item.get('Untagged', '')}")
    return int(failed)


def _tag(call: Invocation) -> int:
    source, target = call.arguments
    try:
        reference = Reference(target)
        if reference.digest:
            raise CommandError("refusing to create a tag with a digest reference")
    except ValueError as error:
        raise CommandError(
            f"Error parsing reference: {go_quote(target)} is not a valid repository/tag: {error}"
        ) from None
    reference = reference.tagged()
    images.tag(call.engine, source, reference.familiar_name, reference.tag)
    return 0


IMAGES = Command(
    "[OPTIONS] [REPOSITORY[:TAG]]",
    "image ls, image list, images",
    (
        switch("all", "Show all images (default hides intermediate images)", "a"),
        switch("digests", "Show digests"),
        filter_flag(),
        TABLE_FORMAT,
        switch("no-trunc", "Don't truncate output"),
        switch("quiet", "Only show image IDs", "q"),
    ),
    _images,
    0,
    1,
)
RMI = Command(
    "[OPTIONS] IMAGE [IMAGE...]",
    "image rm, image remove, rmi",
    (
        switch("force", "Force removal of the image", "f"),
        switch("no-prune", "Do not delete untagged parents"),
    ),
    _rmi,
    1,
)
TAG = Command("SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", "image tag, tag", (), _tag, 2, 2)
