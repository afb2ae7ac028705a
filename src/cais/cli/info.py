"""`cais info`."""

from __future__ import annotations

from itertools import pairwise

import cais
from cais.cli.command import Command, CommandError, Invocation
from cais.cli.flags import FORMAT
from cais.cli.formats import parsed_template, print_typed
from cais.cli.output import err, out
from cais.cli.units import human_binary_size
from cais.cli.version import client_fields
from cais.client import system
from cais.client.codec import dumps_readable
from cais.client.errors import CannotConnect, ConnectionLost, EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from cais.cli.gotemplate import Template
    from cais.client.model import Info


def _info(call: Invocation) -> int:
    template = call.flags.text("format")
    if template not in {"", "json"}:
        return _info_as(template, call)
    server: Info | None = None
    failure = ""
    try:
        server = system.info(call.engine)
    except (EngineError, CannotConnect, ConnectionLost) as error:
        failure = str(error)
    if template:
        errors = {"ServerErrors": [failure]} if failure else {}
        out(dumps_readable({**(server or {}), **errors, "ClientInfo": _client(call, call.engine.version)}))
        if failure:
            err(failure)
        return int(bool(failure))
    client = {"Version:": cais.__version__, "Context:": call.choice.context, "Debug Mode:": _truth(call.debug)}
    out("\n".join(["Client:", *(f" {title:<11} {value}" for title, value in client.items()), "", "Server:"]))
    if server is None:
        raise CommandError(failure)
    out("\n".join(_lines(server, debug=call.debug)) + "\n")
    for warning in server.get("Warnings") or []:
        err(warning)
    return 0


def _client(call: Invocation, api_version: str) -> dict[str, object]:
    fields = client_fields(api_version, call.choice.context)
    return {"Debug": call.debug, **fields, "Plugins": [], "Warnings": None}


def _info_as(template: str, call: Invocation) -> int:
    """Show it as a template says. The engine is asked only when the template asks for something of its."""
    parsed = parsed_template(template)
    value: dict[str, object] = {"ClientInfo": _client(call, "")}
    failed = 0
    if not _is_about_client(template, parsed, value):
        try:
            value.update(system.info(call.engine))
        except (EngineError, CannotConnect, ConnectionLost) as error:
            value["ServerErrors"] = [str(error)]
            err(str(error))
            failed = 1
        value["ClientInfo"] = _client(call, call.engine.version)
    print_typed(parsed, value, "system.dockerInfo")
    return failed


def _is_about_client(text: str, template: Template, value: object) -> bool:
    from cais.cli.gotemplate import TemplateError  # noqa: PLC0415 -- only for templates
    from cais.cli.gotemplate.values import held  # noqa: PLC0415

    if not any(dot == "." and letter.isascii() and letter.isalpha() for dot, letter in pairwise(text)):
        return False
    try:
        template.apply(held(value), strict=True)
    except TemplateError:
        return False
    return True


def _truth(value: object) -> str:
    return "true" if value else "false"


def _lines(server: Info, *, debug: bool) -> Iterator[str]:
    yield f" Containers: {server.get('Containers', 0)}"
    for state in ("Running", "Paused", "Stopped"):
        yield f"  {state}: {server.get(f'Containers{state}', 0)}"
    yield f" Images: {server.get('Images', 0)}"
    yield from _given(server, {"Server Version": "ServerVersion", "Storage Driver": "Driver"})
    yield from (f"  {name}: {value}" for name, value in server.get("DriverStatus") or [])
    yield from _given(
        server,
        {"Logging Driver": "LoggingDriver", "Cgroup Driver": "CgroupDriver", "Cgroup Version": "CgroupVersion"},
    )
    plugins = server.get("Plugins") or {}
    yield " Plugins:"
    for kind in ("Volume", "Network", "Authorization", "Log"):
        if kind != "Authorization" or plugins.get(kind):
            yield f"  {kind}: {' '.join(plugins.get(kind) or [])}"
    if server.get("CDISpecDirs"):
        yield " CDI spec directories:"
        yield from (f"  {folder}" for folder in server["CDISpecDirs"])
    yield f" Swarm: {(server.get('Swarm') or {}).get('LocalNodeState', '')}"
    yield from _runtime_lines(server)
    yield from _machine_lines(server)
    yield f" Docker Root Dir: {server.get('DockerRootDir', '')}"
    yield f" Debug Mode: {_truth(server.get('Debug'))}"
    if server.get("Debug") or debug:
        yield f"  File Descriptors: {server.get('NFd', 0)}"
        yield f"  Goroutines: {server.get('NGoroutines', 0)}"
        yield f"  System Time: {server.get('SystemTime', '')}"
        yield f"  EventsListeners: {server.get('NEventsListener', 0)}"
    yield from _configuration_lines(server)


def _given(server: Info, fields: dict[str, str]) -> Iterator[str]:
    """A line for each field that the engine filled."""
    return (f" {title}: {server[name]}" for title, name in fields.items() if server.get(name))


def _commit(server: Info, name: str) -> str:
    commit: dict[str, str] = server.get(name) or {}
    return commit.get("ID", "")


def _runtime_lines(server: Info) -> Iterator[str]:
    if server.get("Runtimes"):
        yield f" Runtimes: {' '.join(server['Runtimes'])}"
        yield f" Default Runtime: {server.get('DefaultRuntime', '')}"
    yield f" Init Binary: {server.get('InitBinary', '')}"
    yield f" containerd version: {_commit(server, 'ContainerdCommit')}"
    yield f" runc version: {_commit(server, 'RuncCommit')}"
    yield f" init version: {_commit(server, 'InitCommit')}"
    if server.get("SecurityOptions"):
        yield " Security Options:"
        for option in server["SecurityOptions"]:
            fields: dict[str, Any] = dict(part.partition("=")[::2] for part in option.split(","))
            yield f"  {fields.get('name', option)}"
            if "profile" in fields:
                yield f"   Profile: {fields['profile']}"


def _machine_lines(server: Info) -> Iterator[str]:
    yield from _given(
        server,
        {
            "Kernel Version": "KernelVersion",
            "Operating System": "OperatingSystem",
            "OSType": "OSType",
            "Architecture": "Architecture",
        },
    )
    yield f" CPUs: {server.get('NCPU', 0)}"
    yield f" Total Memory: {human_binary_size(server.get('MemTotal', 0))}"
    yield from _given(server, {"Name": "Name", "ID": "ID"})


def _configuration_lines(server: Info) -> Iterator[str]:
    yield from _given(server, {"HTTP Proxy": "HttpProxy", "HTTPS Proxy": "HttpsProxy", "No Proxy": "NoProxy"})
    if server.get("Labels"):
        yield " Labels:"
        yield from (f"  {label}" for label in server["Labels"])
    yield f" Experimental: {_truth(server.get('ExperimentalBuild'))}"
    registries = server.get("RegistryConfig") or {}
    indexes = registries.get("IndexConfigs") or {}
    insecure = [index["Name"] for index in indexes.values() if not index.get("Secure")]
    insecure += registries.get("InsecureRegistryCIDRs") or []
    if insecure or indexes:
        yield " Insecure Registries:"
        yield from (f"  {name}" for name in insecure)
    if registries.get("Mirrors"):
        yield " Registry Mirrors:"
        yield from (f"  {mirror}" for mirror in registries["Mirrors"])
    yield f" Live Restore Enabled: {_truth(server.get('LiveRestoreEnabled'))}"
    if server.get("ProductLicense"):
        yield f" Product License: {server['ProductLicense']}"
    if server.get("DefaultAddressPools"):
        yield " Default Address Pools:"
        yield from (f"   Base: {pool['Base']}, Size: {pool['Size']}" for pool in server["DefaultAddressPools"])


INFO = Command("[OPTIONS]", "system info, info", (FORMAT,), _info, 0, 0)
