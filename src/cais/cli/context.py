"""`cais context`: names for engines, shared with docker."""

from __future__ import annotations

import os

from cais.cli.command import PROGRAM, Command, CommandError, Invocation
from cais.cli.connect import DEFAULT_HOST, environment_host, with_scheme
from cais.cli.contexts import DEFAULT, Context, NoSuchContext, Store, check_name
from cais.cli.flags import FORMAT, TABLE_FORMAT, Flag, switch
from cais.cli.formats import Columns, parsed_template
from cais.cli.mounts import split_fields
from cais.cli.output import err, out
from cais.cli.units import ellipsis
from cais.cli.values import parse_bool
from cais.client.codec import dumps, dumps_readable
from cais.client.pretty import indented_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cais.cli.formats import Row

_IN_MEMORY = "<IN MEMORY>"
_ERROR_COLUMNS = 45
_TLS_FILES = {"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}
_ENDPOINT_KEYS = ("from", "host", "skip-tls-verify", *_TLS_FILES)

_COLUMNS = Columns(
    "formatter.clientContextContext",
    {
        "Name": "NAME",
        "Shown": "NAME",
        "Description": "DESCRIPTION",
        "DockerEndpoint": "DOCKER ENDPOINT",
        "Error": "ERROR",
    },
    ("Shown", "Description", "DockerEndpoint", "Error"),
)


def _store(call: Invocation) -> Store:
    return Store(call.settings.folder)


def _default_context() -> Context:
    """What the environment says, which nobody keeps."""
    host = with_scheme(environment_host() or DEFAULT_HOST)
    return Context(DEFAULT, {}, {"docker": {"Host": host, "SkipTLSVerify": False}})


def _get(call: Invocation, name: str) -> Context:
    return _default_context() if name == DEFAULT else _store(call).get(name)


def _ls(call: Invocation) -> int:
    current = call.choice.context
    contexts = {context.name: context for context in [_default_context(), *_store(call).all()]}
    rows = {name: _row(context, current) for name, context in contexts.items()}
    if current not in contexts:
        rows[current] = _missing_row(call, current)
    names = sorted(rows)
    template = call.flags.text("format")
    if call.flags.on("quiet") and template in {"", "table"}:
        for name in names:
            out(name)
        return 0
    shown = [rows[name] for name in names]
    if template not in {"", "table"}:
        shown = [{name: value for name, value in row.items() if name != "Shown"} for row in shown]
    out(_COLUMNS.render(template, shown), end="", template=template)
    if environment_host() and current == DEFAULT:
        _warn_of_environment("a context")
    return 0


def _row(context: Context, current: str) -> Row:
    mark = " *" if context.name == current else ""
    here = f"Current {_host_variable()} based configuration"
    return {
        "Current": context.name == current,
        "Description": here if context.name == DEFAULT else context.description,
        "DockerEndpoint": context.host,
        "Error": "",
        "Name": context.name,
        "Shown": f"{context.name}{mark}",
    }


def _missing_row(call: Invocation, name: str) -> Row:
    try:
        return _row(_store(call).get(name), name)
    except NoSuchContext as error:
        return {**_row(Context(name, {}, {}), name), "Error": ellipsis(error.message, _ERROR_COLUMNS)}


def _host_variable() -> str:
    return "CAIS_HOST" if os.environ.get("CAIS_HOST") else "DOCKER_HOST"


def _warn_of_environment(what: str) -> None:
    name = _host_variable()
    err(
        f"Warning: {name} environment variable overrides the active context. To use {what}, either set the global "
        f"--context flag, or unset {name} environment variable."
    )


def _show(call: Invocation) -> int:
    out(call.choice.context)
    return 0


def _use(call: Invocation) -> int:
    name = call.arguments[0]
    if name != DEFAULT:
        _store(call).get(name)
    try:
        call.settings.set_text("currentContext", "" if name == DEFAULT else name)
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot write {call.settings.path}: {error}") from None
    out(name)
    err(f'Current context is now "{name}"')
    if name != DEFAULT and environment_host():
        _warn_of_environment(f'"{name}"')
    return 0


def _inspect(call: Invocation) -> int:
    template = call.flags.text("format")
    parsed = parsed_template(template) if template not in {"", "json"} else None
    found, failed = [], []
    for name in call.arguments or [call.choice.context]:
        try:
            found.append(_details(call, _get(call, name)))
        except NoSuchContext as error:
            failed.append(error.message)
    if parsed is not None:
        from cais.cli.gotemplate import TemplateError  # noqa: PLC0415 -- only for templates
        from cais.cli.gotemplate.values import held  # noqa: PLC0415

        try:
            out("".join(f"{parsed.apply(held(details), strict=True)}\n" for details in found) or "\n", end="")
        except TemplateError as error:
            failed.append(f"template parsing error: {error}")
    else:
        out(dumps_readable(found) if template else indented_json(dumps(found)))
    if failed:
        raise CommandError("\n".join(failed))
    return 0


def _details(call: Invocation, context: Context) -> dict[str, Any]:
    store = _store(call)
    if context.name == DEFAULT:
        tls: dict[str, list[str]] = {}
        storage = {"MetadataPath": _IN_MEMORY, "TLSPath": _IN_MEMORY}
    else:
        files = sorted(store.tls_files(context.name))
        tls = {"docker": files} if files else {}
        storage = {"MetadataPath": store.meta_folder(context.name), "TLSPath": store.tls_folder(context.name)}
    return {**context.as_json(), "TLSMaterial": tls, "Storage": storage}


def _create(call: Invocation) -> int:
    name = call.arguments[0]
    store = _store(call)
    check_name(name)
    if store.exists(name):
        raise CommandError(f'context "{name}" already exists')
    origin = call.flags.text("from")
    wanted = _endpoint_options(call)
    if origin and wanted:
        raise CommandError("cannot use --docker flag when --from is set")
    source = None
    if origin or not wanted:
        origin = origin or call.choice.context
        source = _get(call, origin)
        endpoint, tls = source.endpoint, _tls_of(store, origin)
    else:
        endpoint, tls = _endpoint(call, wanted)
    description = call.flags.text("description") or (source.description if source else "")
    metadata = {**(source.metadata if source else {}), **({"Description": description} if description else {})}
    store.save(Context(name, metadata, {"docker": endpoint}), tls)
    out(name)
    err(f'Successfully created context "{name}"')
    return 0


def _update(call: Invocation) -> int:
    name = call.arguments[0]
    check_name(name)
    store = _store(call)
    context = store.get(name)
    if call.flags.text("description"):
        context.metadata = {**context.metadata, "Description": call.flags.text("description")}
    wanted = _endpoint_options(call)
    tls = None
    if wanted:
        context.endpoints["docker"], tls = _endpoint(call, wanted)
    store.save(context, tls)
    out(name)
    err(f'Successfully updated context "{name}"')
    return 0


def _tls_of(store: Store, name: str) -> dict[str, bytes]:
    return {file: _content(path) for file, path in store.tls_files(name).items()} if name != DEFAULT else {}


def _parse_pairs(text: str) -> dict[str, str]:
    """KEY=VALUE,KEY=VALUE. Raises ValueError."""
    found = {}
    for field in split_fields(text):
        key, separator, value = field.partition("=")
        if not separator:
            raise ValueError(f"{field} must be formatted as key=value")
        found[key] = value
    return found


def _endpoint_options(call: Invocation) -> dict[str, str]:
    """What all --docker flags say. Raises CommandError."""
    found: dict[str, str] = {}
    for pairs in call.flags.items("docker"):
        if isinstance(pairs, dict):
            found.update(pairs)
    for key in found:
        if key not in _ENDPOINT_KEYS:
            raise CommandError(f"unable to create docker endpoint config: unrecognized config key: {key}")
    return found


def _endpoint(call: Invocation, wanted: dict[str, str]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The endpoint that the options describe, and its TLS files."""
    if "from" in wanted:
        if len(wanted) > 1:
            raise CommandError("unable to create docker endpoint config: from cannot be combined with other keys")
        return _get(call, wanted["from"]).endpoint, _tls_of(_store(call), wanted["from"])
    verification = wanted.get("skip-tls-verify", "false")
    try:
        skips = parse_bool(verification)
    except ValueError:
        raise CommandError(
            f'unable to create docker endpoint config: skip-tls-verify: parsing "{verification}": invalid syntax'
        ) from None
    tls = {file: _content(wanted[key]) for key, file in _TLS_FILES.items() if wanted.get(key)}
    return {"Host": wanted.get("host", ""), "SkipTLSVerify": skips}, tls


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        reason = f"open {path}: {(error.strerror or str(error)).lower()}"
        raise CommandError(f"unable to create docker endpoint config: {reason}") from None


def _rm(call: Invocation) -> int:
    store, current, force = _store(call), call.choice.context, call.flags.on("force")
    failed = []
    for name in call.arguments:
        if name == DEFAULT:
            failed.append(f'context "{DEFAULT}" cannot be removed')
        elif name == current and not force:
            failed.append(f'context "{name}" is in use, set -f flag to force remove')
        elif not store.exists(name) and not force:
            failed.append(f'context "{name}" does not exist')
        else:
            store.remove(name)
            if name == call.settings.text("currentContext"):
                call.settings.set_text("currentContext", "")
            out(name)
    if failed:
        raise CommandError("\n".join(failed))
    return 0


def _endpoint_help(verb: str) -> str:
    keys = {
        "from": "Copy named context's Docker endpoint configuration",
        "host": "Docker endpoint on which to connect",
        "ca": "Trust certs signed only by this CA",
        "cert": "Path to TLS certificate file",
        "key": "Path to TLS key file",
        "skip-tls-verify": "Skip TLS certificate validation",
    }
    rows = "\n".join(f"{name:<19} {text}" for name, text in {"NAME": "DESCRIPTION", **keys}.items())
    return (
        f"{verb} a context\n\nDocker endpoint config:\n\n{rows}\n\nExample:\n\n"
        f'$ {PROGRAM} context {verb.lower()} my-context --description "some description" '
        '--docker "host=tcp://myserver:2376,ca=~/ca-file,cert=~/cert-file,key=~/key-file"'
    )


_DESCRIPTION = Flag("description", "Description of the context")
_DOCKER = Flag(
    "docker", "set the docker endpoint", "", "stringToString", _parse_pairs, many=True, default_text="(default [])"
)
LS = Command(
    "[OPTIONS]",
    "context ls, context list",
    (TABLE_FORMAT, switch("quiet", "Only show context names", "q")),
    _ls,
    0,
    0,
)
SHOW = Command("", "", (), _show, 0, 0)
USE = Command("CONTEXT", "", (), _use, 1, 1, completes="context")
INSPECT = Command("[OPTIONS] [CONTEXT] [CONTEXT...]", "", (FORMAT,), _inspect, completes="context")
CREATE = Command(
    "[OPTIONS] CONTEXT",
    "",
    (_DESCRIPTION, _DOCKER, Flag("from", "create context from a named context")),
    _create,
    1,
    1,
    long_help=_endpoint_help("Create"),
)
UPDATE = Command(
    "[OPTIONS] CONTEXT",
    "",
    (_DESCRIPTION, _DOCKER),
    _update,
    1,
    1,
    completes="context",
    long_help=_endpoint_help("Update"),
)
RM = Command(
    "CONTEXT [CONTEXT...]",
    "context rm, context remove",
    (switch("force", "Force the removal of a context in use", "f"),),
    _rm,
    1,
    completes="context",
)
