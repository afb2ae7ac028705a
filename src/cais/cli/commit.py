"""`cais commit`: an image of what a container has become."""

from __future__ import annotations

from cais.cli.command import Command, CommandError, Invocation
from cais.cli.flags import Flag, switch, text_list
from cais.cli.output import out
from cais.cli.reference import Reference
from cais.client import images


def _commit(call: Invocation) -> int:
    given = call.flags
    container, *target = call.arguments
    query: dict[str, str | list[str]] = {
        "container": container,
        "repo": "",
        "tag": "",
        "comment": given.text("message"),
        "author": given.text("author"),
    }
    if target and target[0]:
        try:
            reference = Reference(target[0])
        except ValueError as error:
            raise CommandError(str(error)) from None
        if reference.digest:
            raise CommandError("refusing to create a tag with a digest reference")
        query["repo"] = f"{reference.domain}/{reference.path}"
        query["tag"] = reference.tag or "latest"
    if given.texts("change"):
        query["changes"] = given.texts("change")
    if not given.on("pause"):
        query["pause"] = "0"
    out(images.commit(call.engine, query))
    return 0


COMMIT = Command(
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    "container commit, commit",
    (
        Flag("author", 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")', "a"),
        text_list("change", "Apply Dockerfile instruction to the created image", "c"),
        Flag("message", "Commit message", "m"),
        switch("pause", "Pause container during commit", "p", default=True),
    ),
    _commit,
    1,
    2,
    completes="container",
)
