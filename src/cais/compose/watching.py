"""`develop.watch`: the files of services are looked at twice a second, and what has changed is acted on.

sync          the file is copied into the containers, or removed there
sync+restart  the same, and the containers are restarted
sync+exec     the same, and a command is executed in them
restart       the containers are restarted
rebuild       the image is built and the containers are replaced
"""

from __future__ import annotations

import io
import os
import tarfile
import time

from cais.build.ignore import Ignore, parse_ignore
from cais.client import containers as calls
from cais.client.errors import EngineError
from cais.client.http import quote
from cais.compose.hooks import run_hook
from cais.compose.observed import containers
from cais.compose.report import Reporter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cais.client.model import ExecConfig
    from cais.compose.document import Tree
    from cais.compose.engines import Engines
    from cais.compose.model import Project
    from cais.compose.observed import Container

_PERIOD_SECONDS = 0.5
Snapshot = dict[str, tuple[int, int, int]]
"""Paths relative to what is watched ("" for the path itself, where it is a file), with time, size and inode."""


class Rule:
    """One entry of a service's `develop.watch`."""

    __slots__ = ("_ignored", "_included", "action", "before", "entry", "path", "service", "target")

    def __init__(self, service: str, entry: Tree, ignored: Ignore) -> None:
        self.service = service
        self.entry = entry
        self.path: str = entry["path"]
        self.action: str = entry["action"]
        self.target: str = entry.get("target", "")
        self.before: Snapshot = {}
        self._ignored = (ignored, Ignore(entry.get("ignore") or []))
        self._included = Ignore(entry["include"]) if entry.get("include") else None

    def snapshot(self) -> Snapshot:
        found: Snapshot = {}
        for path in self._files():
            try:
                status = os.stat(os.path.join(self.path, path) if path else self.path)
            except OSError:
                continue
            found[path] = (status.st_mtime_ns, status.st_size, status.st_ino)
        return found

    def _files(self) -> Iterator[str]:
        if os.path.isfile(self.path):
            yield ""
            return
        for parent, folders, files in os.walk(self.path):
            base = os.path.relpath(parent, self.path)
            prefix = "" if base == "." else f"{base}/"
            folders[:] = [name for name in folders if not self._leaves_out(f"{prefix}{name}")]
            for name in files:
                path = f"{prefix}{name}"
                if not self._leaves_out(path) and (self._included is None or self._included.leaves_out(path)):
                    yield path

    def _leaves_out(self, path: str) -> bool:
        return path.split("/", maxsplit=1)[0] == ".git" or any(each.leaves_out(path) for each in self._ignored)


class Watcher:
    """Acts on changes; `say` is told of each, `rebuild` makes a service anew."""

    def __init__(
        self, engines: Engines, project: Project, say: Callable[[str], None], rebuild: Callable[[str], None]
    ) -> None:
        self._engines = engines
        self._project = project
        self._say = say
        self._rebuild = rebuild
        self.rules: list[Rule] = []
        for name, service in project.services.items():
            ignored = _dockerignore(service)
            for entry in (service.get("develop") or {}).get("watch") or ():
                self.rules.append(Rule(name, entry, ignored))

    def run(self) -> None:
        """Watch for ever."""
        for rule in self.rules:
            rule.before = rule.snapshot()
            if rule.entry.get("initial_sync") and rule.action.startswith("sync"):
                self._act(rule, sorted(rule.before), [])
        while True:
            time.sleep(_PERIOD_SECONDS)
            self.look()

    def look(self) -> None:
        """Act on what has changed since the last time."""
        for rule in self.rules:
            now = rule.snapshot()
            changed = sorted(path for path, stamp in now.items() if rule.before.get(path) != stamp)
            gone = sorted(path for path in rule.before if path not in now)
            rule.before = now
            if changed or gone:
                self._act(rule, changed, gone)

    def _act(self, rule: Rule, changed: list[str], gone: list[str]) -> None:
        if rule.action == "rebuild":
            self._rebuild(rule.service)
            return
        found = containers(self._engines, self._project.name, [rule.service], stopped=False)
        for container in found:
            try:
                self._act_on(rule, container, changed, gone)
            except EngineError as error:
                self._say(f"Error handling changed files for service {rule.service}: {error}")
        if rule.action.startswith("sync"):
            self._say(f"Syncing service {rule.service!r} after {len(changed) + len(gone)} changes were detected")

    def _act_on(self, rule: Rule, container: Container, changed: list[str], gone: list[str]) -> None:
        if rule.action.startswith("sync"):
            if changed:
                self._put(rule, container, changed)
            if gone:
                self._remove(container, [_inside(rule, path) for path in gone])
        if rule.action in {"restart", "sync+restart"}:
            self._engines.post(f"/containers/{quote(container.identity)}/restart")
            self._say(f"service(s) [{rule.service!r}] restarted")
        if rule.action == "sync+exec" and rule.entry.get("exec"):
            run_hook(self._engines, container, rule.entry["exec"], Reporter())

    def _put(self, rule: Rule, container: Container, paths: list[str]) -> None:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for path in paths:
                source = os.path.join(rule.path, path) if path else rule.path
                entry = tar.gettarinfo(source, _inside(rule, path).lstrip("/"))
                entry.uid = entry.gid = 0
                entry.uname = entry.gname = ""
                with open(source, "rb") as file:
                    tar.addfile(entry, file)
        with self._engines.one() as engine:
            location = f"/containers/{quote(container.identity)}/archive"
            engine.send_blocks("PUT", location, {"path": "/"}, [archive.getvalue()], "application/x-tar").read()

    def _remove(self, container: Container, paths: list[str]) -> None:
        config: ExecConfig = {"Cmd": ["rm", "-rf", *paths], "User": "root"}
        with self._engines.one() as engine:
            identity = calls.exec_create(engine, container.identity, config)
            calls.exec_start_detached(engine, identity, tty=False)


def _inside(rule: Rule, path: str) -> str:
    return f"{rule.target.rstrip('/')}/{path}" if path else rule.target


def _dockerignore(service: Tree) -> Ignore:
    context = (service.get("build") or {}).get("context", "")
    try:
        with open(os.path.join(context, ".dockerignore"), "rb") as file:
            return Ignore(parse_ignore(file.read()))
    except OSError:
        return Ignore([])
