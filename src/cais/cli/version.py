"""`cais version`."""

from __future__ import annotations

import os
import sys

import cais
from cais.cli.command import Command, Invocation
from cais.cli.flags import FORMAT
from cais.cli.formats import parsed_template, print_typed
from cais.cli.output import out
from cais.client import system
from cais.client.codec import dumps_readable
from cais.client.engine import API_VERSION
from cais.client.errors import CannotConnect, ConnectionLost, EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.client.model import Version, VersionComponent

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_TITLES = {
    "ApiVersion": "API version",
    "Arch": "OS/Arch",
    "BuildTime": "Built",
    "GitCommit": "Git commit",
    "GoVersion": "Go version",
    "PythonVersion": "Python version",
}
_ENGINE_ORDER = ("ApiVersion", "GoVersion", "PythonVersion", "GitCommit", "BuildTime", "Arch", "Experimental")


def client_fields(api_version: str, context: str) -> dict[str, object]:
    """What this program says of itself. `api_version`: that of the conversation, "" when there was none."""
    machine = os.uname().machine
    spoken = {"ApiVersion": api_version} if api_version else {}
    return {
        "Version": cais.__version__,
        **spoken,
        "DefaultAPIVersion": API_VERSION,
        "GitCommit": "",
        "GoVersion": "",
        "PythonVersion": ".".join(map(str, sys.version_info[:3])),
        "Os": "linux",
        "Arch": _ARCHITECTURES.get(machine, machine),
        "BuildTime": "",
        "Context": context,
    }


def _version(call: Invocation) -> int:
    template = call.flags.text("format")
    parsed = parsed_template(template, name="version") if template not in {"", "json"} else None
    engine = call.engine
    server: Version | None = None
    failure: Exception | None = None
    try:
        server = system.version(engine)
    except (EngineError, CannotConnect, ConnectionLost) as error:
        failure = error
    fields = client_fields(engine.version, call.choice.context)
    if template == "json":
        out(dumps_readable({"Client": fields, "Server": server}))
    elif parsed is not None:
        print_typed(parsed, {"Client": fields, "Server": server}, "system.versionInfo")
    else:
        out(_client_text(fields))
        if server is not None:
            out("\n" + _server_text(server))
    if failure is not None:
        raise failure
    return 0


def _line(indent: str, title: str, value: object) -> str:
    return f"{indent}{title + ':':<{20 - len(indent)}}{value}"


def _client_text(fields: dict[str, object]) -> str:
    api = str(fields["ApiVersion"])
    if api != API_VERSION:
        api += f" (downgraded from {API_VERSION})"
    lines = (
        ("Version", fields["Version"]),
        ("API version", api),
        ("Python version", fields["PythonVersion"]),
        ("OS/Arch", f"{fields['Os']}/{fields['Arch']}"),
        ("Context", fields["Context"]),
    )
    return "\n".join(["Client:", *(_line(" ", title, value) for title, value in lines)])


def _server_text(server: Version) -> str:
    platform = server.get("Platform", {}).get("Name", "")
    parts = [f"Server: {platform}".strip()]
    for component in server.get("Components") or [_engine_component(server)]:
        parts += [f" {component['Name']}:", *_component_lines(component)]
    return "\n".join(parts)


def _engine_component(server: Version) -> VersionComponent:
    """What engines before API 1.35, which know no components, say of themselves."""
    details = {
        "ApiVersion": server.get("ApiVersion", ""),
        "MinAPIVersion": server.get("MinAPIVersion", ""),
        "Os": server.get("Os", ""),
        "Arch": server.get("Arch", ""),
        "GitCommit": server.get("GitCommit", ""),
    }
    return {"Name": "Engine", "Version": server.get("Version", ""), "Details": details}


def _component_lines(component: VersionComponent) -> list[str]:
    details = component.get("Details") or {}
    lines = [_line("  ", "Version", component.get("Version", ""))]
    if "ApiVersion" not in details:
        return lines + [_line("  ", name, value) for name, value in sorted(details.items())]
    for name in _ENGINE_ORDER:
        value = details.get(name)
        if not value:
            continue
        if name == "ApiVersion" and details.get("MinAPIVersion"):
            value += f" (minimum version {details['MinAPIVersion']})"
        elif name == "Arch":
            value = f"{details.get('Os', '')}/{value}"
        elif name == "BuildTime":
            value = _long_date(value)
        lines.append(_line("  ", _TITLES.get(name, name), value))
    return lines


def _long_date(text: str) -> str:
    """A date like Thu May  7 21:09:36 2026, of an RFC 3339 one."""
    from datetime import datetime  # noqa: PLC0415

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{moment:%a %b} {moment.day:2d} {moment:%H:%M:%S %Y}"


VERSION = Command("[OPTIONS]", "", (FORMAT,), _version, 0, 0)
