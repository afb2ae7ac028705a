"""`cais images`, `rmi` and `tag`."""

from __future__ import annotations

from cais.cli.command import Command, CommandError, Invocation
from cais.cli.flags import TABLE_FORMAT, filter_flag, switch, text_list
from cais.cli.image_rows import COLUMNS, RAW_WITH_DIGEST, fields, names
from cais.cli.output import err, out
from cais.cli.platform import FORMATTED_AS, parse_platform
from cais.cli.reference import Reference
from cais.client import images
from cais.client.codec import dumps
from cais.client.errors import EngineError
from cais.gotext import go_quote


def _images(call: Invocation) -> int:
    given = call.flags
    if given.on("tree"):
        from cais.cli.image_tree import show_tree  # noqa: PLC0415 -- only for the tree

        return show_tree(call)
    template = given.text("format") or call.settings.text("imagesFormat")
    filters = given.filters()
    if call.arguments:
        filters.setdefault("reference", []).append(call.arguments[0])
    found = images.summaries(call.engine, everything=given.on("all"), filters=filters)
    alone = given.on("digests")
    digests = alone or "{{.Digest}}" in template
    whole = given.on("no-trunc")
    rows = [fields(image, name, whole=whole) for image in found for name in names(image, digests=digests, alone=alone)]
    if given.on("quiet") and template in {"", "table"}:
        for row in rows:
            out(str(row["ID"]))
        return 0
    if template == "raw":
        template = "image_id: {{.ID}}" if given.on("quiet") else RAW_WITH_DIGEST if alone else template
    shown = ("Repository", "Tag", "Digest", "ID", "CreatedSince", "Size") if alone else ()
    out(COLUMNS.render(template, rows, shown), end="", template=template)
    return 0


def _rmi(call: Invocation) -> int:
    given = call.flags
    force = given.on("force")
    prune = not given.on("no-prune")
    try:
        platforms = [dumps(parse_platform(text)).decode("ascii") for text in _split(given.texts("platform"))]
    except ValueError as error:
        raise CommandError(str(error)) from None
    failed = False
    for image in call.arguments:
        try:
            removed = images.remove(call.engine, image, force=force, prune=prune, platforms=platforms)
        except EngineError as error:
            err(str(error))
            failed |= not (force and error.status == 404)
            continue
        for item in removed:
            out(f"Deleted: {item['Deleted']}" if item.get("Deleted") else f"Untagged: {item.get('Untagged', '')}")
    return int(failed)


def _split(texts: list[str]) -> list[str]:
    """What was given in several flags, or in one with commas."""
    return [part for text in texts for part in text.split(",")]


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
    images.tag(call.engine, source, f"{reference.domain}/{reference.path}", reference.tag)
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
        switch("tree", "List multi-platform images as a tree (EXPERIMENTAL)"),
    ),
    _images,
    0,
    1,
    completes="image",
)
RMI = Command(
    "[OPTIONS] IMAGE [IMAGE...]",
    "image rm, image remove, rmi",
    (
        switch("force", "Force removal of the image", "f"),
        switch("no-prune", "Do not delete untagged parents"),
        text_list(
            "platform",
            f"Remove only the given platform variant. {FORMATTED_AS}",
            kind="strings",
        ),
    ),
    _rmi,
    1,
    completes="image",
)
TAG = Command(
    "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", "image tag, tag", (), _tag, 2, 2, interspersed=False, completes="image"
)
