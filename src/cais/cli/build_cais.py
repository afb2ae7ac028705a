"""What `build` asks of a Cais beyond what any engine does: kept contexts, secrets, and steps told one by one."""

from __future__ import annotations

import os
import stat
from binascii import b2a_base64

from cais.cli.build_context import Folder, is_git, open_named
from cais.cli.build_files import Entry, pack
from cais.cli.build_kept import keep
from cais.cli.command import CommandError
from cais.client import builds
from cais.client.codec import dumps
from cais.client.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cais.cli.build_context import Context
    from cais.cli.build_view import View
    from cais.cli.command import Invocation
    from cais.client.engine import Query
    from cais.client.http import Response

_HEADER = "X-Cais-Build"
_NOT_FOUND = 404
_MOST_SECRET_BYTES = 500 << 10
_MOST_HEADER_BYTES = 200 << 10


def begin(
    call: Invocation,
    context: Context,
    view: View,
    query: Query,
    registries: Mapping[str, str],
    *,
    cache_from: list[str],
) -> Response:
    """Have a Cais build; the answer is a stream of messages. Raises CommandError and EngineError.

    `cache_from`: images with the cache of another build, which the engine has.
    """
    extras: dict[str, object] = {"Steps": True, **_extras(call, view)}
    if cache_from:
        extras["CacheFrom"] = cache_from
    if isinstance(context, Folder) and not context.temporary:
        try:
            kept = keep(call.engine, context, view.sent, context.dockerfile)
            alone = [Entry.made(context.dockerfile, context.text or b"")]
            headers = {**registries, **_header({**extras, "Context": kept})}
            return builds.build(call.engine, query, pack("", alone, view.sent), headers)
        except EngineError as error:
            if error.status != _NOT_FOUND or error.message.startswith("No such image"):
                raise
            # An older engine keeps none, or another build of this folder has replaced it meanwhile: all of it is sent.
    return builds.build(call.engine, query, context.blocks(view.sent), {**registries, **_header(extras)})


def _extras(call: Invocation, view: View) -> dict[str, object]:
    given = call.flags
    extras: dict[str, object] = {}
    if given.texts("secret"):
        extras["Secrets"] = dict(map(_secret, given.texts("secret")))
    if stages := [name for text in given.texts("no-cache-filter") for name in text.split(",") if name]:
        extras["NoCacheFilter"] = stages
    if given.texts("cache-to"):
        extras["CacheTo"] = True
    if given.texts("ssh"):
        if not call.engine.endpoint.is_unix:
            raise CommandError("--ssh needs an engine on this machine: the agent's socket is not forwarded further")
        extras["Ssh"] = dict(map(_agent, given.texts("ssh")))
    if given.texts("build-context"):
        extras["Contexts"] = dict(_named(call, text, view) for text in given.texts("build-context"))
    return extras


def _agent(text: str) -> tuple[str, str]:
    """The id and the socket of `ID[=SOCKET]`; SSH_AUTH_SOCK where none is named. Raises CommandError."""
    identity, _, path = text.partition("=")
    path = path or os.environ.get("SSH_AUTH_SOCK", "")
    if not path:
        raise CommandError(f"invalid empty ssh agent socket: --ssh {text} needs SSH_AUTH_SOCK, or {identity}=SOCKET")
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise CommandError(f"--ssh {text}: stat {path}: {(error.strerror or str(error)).lower()}") from error
    if not stat.S_ISSOCK(mode):
        raise CommandError(f"--ssh {text}: {path} is no agent's socket; add keys to an agent with ssh-add")
    return identity, os.path.abspath(path)


def _named(call: Invocation, text: str, view: View) -> tuple[str, str]:
    """The name and the place of `NAME=FOLDER|docker-image://REFERENCE|GIT`. Raises CommandError."""
    name, equals, where = text.partition("=")
    if not equals or not name or not where:
        raise CommandError(f"invalid context value: {text}, expected key=value")
    if where.startswith("docker-image://"):
        return name, where
    if "://" in where and not is_git(where):
        raise CommandError(f"--build-context {text}: a folder, a git repository or docker-image:// is supported")
    folder = open_named(where)
    try:
        return name, f"kept:{keep(call.engine, folder, view.sent, f'--build-context {where}')}"
    finally:
        folder.close()


def _header(extras: Mapping[str, object]) -> dict[str, str]:
    encoded = b2a_base64(dumps(dict(extras)), newline=False).decode("ascii").replace("+", "-").replace("/", "_")
    if len(encoded) > _MOST_HEADER_BYTES:
        raise CommandError("the secrets of one build may not be larger than 150 kB together")
    return {_HEADER: encoded}


def _secret(text: str) -> tuple[str, str]:
    """The id and the content, in base64, of `id=ID[,src=FILE][,env=VARIABLE][,type=file|env]`. Raises CommandError."""
    fields = dict(item.partition("=")[::2] for item in text.split(","))
    unknown = fields.keys() - {"id", "src", "source", "env", "type"}
    if unknown or not all("=" in item for item in text.split(",")):
        raise CommandError(f"invalid field '{min(unknown, default=text)}' must be a key=value pair: --secret {text}")
    path, variable = fields.get("src", "") or fields.get("source", ""), fields.get("env", "")
    if fields.get("type", "file") not in ("file", "env"):
        raise CommandError(f'unsupported secret type "{fields["type"]}"')
    if fields.get("type") == "env" and not variable:
        variable, path = path, ""
    identity = fields.get("id", "") or os.path.basename(path) or variable
    if not identity:
        raise CommandError("secret id is required: --secret id=ID,src=FILE")
    if variable or (not path and identity in os.environ):
        content = os.environb.get((variable or identity).encode())
        if content is None:
            raise CommandError(f"failed to read secret {identity}: the variable {variable} is not set")
        return identity, _base64(content)
    try:
        with open(path or identity, "rb") as file:
            content = file.read(_MOST_SECRET_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"failed to stat {path or identity}: stat {path or identity}: {reason}") from error
    if len(content) > _MOST_SECRET_BYTES:
        raise CommandError(f"secret {identity} too big. max size 500KB")
    return identity, _base64(content)


def _base64(content: bytes) -> str:
    return b2a_base64(content, newline=False).decode("ascii")
