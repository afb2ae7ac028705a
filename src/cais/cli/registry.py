"""`cais pull`, `push` and `search`: images at a registry."""

from __future__ import annotations

import os

from cais.cli.command import Command, CommandError, Invocation
from cais.cli.create import check_content_trust
from cais.cli.credentials import authorization
from cais.cli.flags import Flag, filter_flag, number, switch
from cais.cli.formats import Columns
from cais.cli.output import STDOUT, note, out
from cais.cli.platform import platform_query
from cais.cli.progress import show
from cais.cli.pull import pull
from cais.cli.reference import HUB, Reference
from cais.cli.units import ellipsis
from cais.client import images
from cais.client.engine import filters_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.formats import Row
    from cais.client.model import SearchResult

_DESCRIPTION_COLUMNS = 45
_ONE_PLATFORM = """\
Using --platform pushes only the specified platform manifest of a multi-platform image index.
Other components, like attestations, will not be included.
To push the complete multi-platform image, remove the --platform flag.
"""
_SEARCH = Columns(
    "registry.searchContext",
    {"Name": "NAME", "Description": "DESCRIPTION", "StarCount": "STARS", "IsOfficial": "OFFICIAL"},
    ("Name", "Description", "StarCount", "IsOfficial"),
)


def _reference(call: Invocation) -> Reference:
    """What is to be pulled or pushed. Raises CommandError."""
    given = call.flags
    check_content_trust(given)
    try:
        reference = Reference(call.arguments[0])
    except ValueError as error:
        raise CommandError(str(error)) from None
    if given.on("all-tags"):
        if not reference.is_name_only:
            raise CommandError("tag can't be used with --all-tags/-a")
    elif reference.is_name_only:
        reference.tagged()
        if not given.on("quiet"):
            out("Using default tag: latest")
    return reference


def _pull(call: Invocation) -> int:
    given = call.flags
    reference = _reference(call)
    platform = given.text("platform") or os.environ.get("DOCKER_DEFAULT_PLATFORM", "")
    pull(call.engine, call.settings, reference, platform, None if given.on("quiet") else STDOUT)
    out(reference.full)
    return 0


def _push(call: Invocation) -> int:
    given = call.flags
    query = platform_query(given.text("platform"))
    if query:
        note(STDOUT, _ONE_PLATFORM)
    reference = _reference(call)
    if reference.digest:
        raise CommandError("cannot push a digest reference")
    if reference.tag:
        query["tag"] = reference.tag
    headers = authorization(call.settings, reference.domain)
    answer = images.push(call.engine, f"{reference.domain}/{reference.path}", query, headers)
    quiet = given.on("quiet")
    show(answer, None if quiet else STDOUT)
    if quiet:
        out(reference.full)
    return 0


def _search(call: Invocation) -> int:
    given = call.flags
    term = call.arguments[0]
    template = given.text("format")
    query = {"term": term}
    if limit := given.number("limit"):
        query["limit"] = str(limit)
    if filters := given.filters():
        query["filters"] = filters_text(filters)
    headers = authorization(call.settings, _domain_of(term))
    found = images.search(call.engine, query, headers)
    rows = [_found(one, whole=given.on("no-trunc"), json=template == "json") for one in found]
    out(_SEARCH.render(template, rows), end="", template=template)
    return 0


def _domain_of(term: str) -> str:
    """The registry that is searched: what stands before the first slash, if that is a host."""
    first, slash, _ = term.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else HUB


def _found(result: SearchResult, *, whole: bool, json: bool) -> Row:
    description = result.get("description", "").replace("\n", " ").replace("\r", " ")
    yes, no = ("true", "false") if json else ("[OK]", "")
    return {
        "Name": result.get("name", ""),
        "Description": description if whole else ellipsis(description, _DESCRIPTION_COLUMNS),
        "StarCount": str(result.get("star_count", 0)),
        "IsOfficial": yes if result.get("is_official") else no,
    }


PULL = Command(
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    "image pull, pull",
    (
        switch("all-tags", "Download all tagged images in the repository", "a"),
        switch("disable-content-trust", "Skip image verification", default=True),
        Flag("platform", "Set platform if server is multi-platform capable"),
        switch("quiet", "Suppress verbose output", "q"),
    ),
    _pull,
    1,
    1,
)
PUSH = Command(
    "[OPTIONS] NAME[:TAG]",
    "image push, push",
    (
        switch("all-tags", "Push all tags of an image to the repository", "a"),
        switch("disable-content-trust", "Skip image signing", default=True),
        Flag(
            "platform",
            "Push a platform-specific manifest as a single-platform image to the registry.\n"
            "Image index won't be pushed, meaning that other manifests, including attestations won't be preserved.\n"
            "'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)",
        ),
        switch("quiet", "Suppress verbose output", "q"),
    ),
    _push,
    1,
    1,
    completes="image",
)
SEARCH = Command(
    "[OPTIONS] TERM",
    "",
    (
        filter_flag(),
        Flag("format", "Pretty-print search using a Go template"),
        number("limit", "Max number of search results"),
        switch("no-trunc", "Don't truncate output"),
    ),
    _search,
    1,
    1,
)
