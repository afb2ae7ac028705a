"""What is mounted into a container of a service: its volumes, and the files of its secrets and configs."""

from __future__ import annotations

import os

from cais.compose.errors import ComposeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from cais.compose.document import Tree
    from cais.compose.model import Project
    from cais.compose.observed import Container
    from cais.compose.report import Reporter

_RECURSION = {
    "disabled": "NonRecursive",
    "writable": "ReadOnlyNonRecursive",
    "readonly": "ReadOnlyForceRecursive",
}


class Mounts:
    """`binds` in the short form of the API, which makes folders that are missing; `mounts` in the long form."""

    __slots__ = ("binds", "mounts")

    def __init__(self, binds: list[str], mounts: list[Tree]) -> None:
        self.binds = binds
        self.mounts = mounts


def mounts_of(
    project: Project, tree: Tree, image_volumes: Sequence[str], before: Container | None, reporter: Reporter
) -> Mounts:
    """`before`: the container that is replaced, whose volumes without a name are taken over. Raises ComposeError."""
    result = Mounts([], [])
    taken = _taken_over(tree, image_volumes, before)
    used = set(taken)
    result.mounts.extend(taken.values())
    for use in tree.get("volumes") or ():
        if use["target"] not in used:
            used.add(use["target"])
            _add(result, project, use)
    for mount in (*_file_mounts(project, tree, "secrets", reporter), *_file_mounts(project, tree, "configs", reporter)):
        if mount["Target"] not in used:
            used.add(mount["Target"])
            result.mounts.append(mount)
    return result


def _taken_over(tree: Tree, image_volumes: Sequence[str], before: Container | None) -> dict[str, Tree]:
    if before is None:
        return {}
    anonymous = {use["target"] for use in tree.get("volumes") or () if not use.get("source")}
    named = {use["target"] for use in tree.get("volumes") or () if use.get("source")}
    found = {}
    for mount in before.mounts:
        target = mount["Destination"]
        inherited = target in anonymous or (target in image_volumes and target not in named)
        if mount.get("Type") == "tmpfs" or not inherited:
            continue
        source = mount.get("Name") if mount.get("Type") == "volume" else mount.get("Source")
        found[target] = {
            "Type": mount["Type"],
            "Source": source,
            "Target": target,
            "ReadOnly": not mount.get("RW", True),
        }
    return found


def _add(result: Mounts, project: Project, use: Tree) -> None:
    kind, source = use["type"], use.get("source", "")
    if kind == "volume" and source:
        source = project.volumes[source]["name"] if source in project.volumes else source
    bind = use.get("bind")
    needs_long_form = bind is not None and (
        bind.get("create_host_path") is False or bind.get("propagation") or bind.get("recursive")
    )
    volume = use.get("volume") or {}
    is_short = (kind == "bind" and not needs_long_form) or (
        kind == "volume" and source and not volume.get("subpath") and not volume.get("labels")
    )
    if is_short:
        options = ["ro" if use.get("read_only") else "rw"]
        options += [bind["selinux"]] if bind and bind.get("selinux") else []
        options += ["nocopy"] if volume.get("nocopy") else []
        result.binds.append(f"{source}:{use['target']}:{','.join(options)}")
        return
    result.mounts.append(_long(kind, source, use))


def _long(kind: str, source: str, use: Tree) -> Tree:
    mount: dict[str, Any] = {"Type": kind, "Target": use["target"]}
    if source:
        mount["Source"] = source
    if use.get("read_only"):
        mount["ReadOnly"] = True
    if use.get("consistency"):
        mount["Consistency"] = use["consistency"]
    if (bind := use.get("bind")) is not None and kind == "bind":
        options: Tree = {"Propagation": bind.get("propagation", "")}
        if bind.get("create_host_path", True):
            options["CreateMountpoint"] = True
        if bind.get("recursive") in _RECURSION:
            options[_RECURSION[bind["recursive"]]] = True
        mount["BindOptions"] = options
    if (volume := use.get("volume")) and kind == "volume":
        mount["VolumeOptions"] = {
            key: value
            for key, value in (
                ("NoCopy", volume.get("nocopy")),
                ("Subpath", volume.get("subpath")),
                ("Labels", volume.get("labels")),
            )
            if value
        }
    if (tmpfs := use.get("tmpfs")) and kind == "tmpfs":
        mount["TmpfsOptions"] = {"SizeBytes": int(tmpfs.get("size") or 0), "Mode": tmpfs.get("mode") or 0}
    if (image := use.get("image")) and kind == "image":
        mount["ImageOptions"] = {"Subpath": image.get("subpath", "")}
    return mount


def file_target(kind: str, use: Tree) -> str:
    """Where a secret or a config is in the container."""
    base = "/run/secrets/" if kind == "secrets" else "/"
    target: str = use.get("target") or use["source"]
    return target if target.startswith("/") else base + target


def _file_mounts(project: Project, tree: Tree, kind: str, reporter: Reporter) -> list[Tree]:
    """The secrets or configs that are files of this machine; the others are put into the container before it starts."""
    found = []
    entries: dict[str, Tree] = getattr(project, kind)
    for use in tree.get(kind) or ():
        entry = entries[use["source"]]
        if entry.get("external"):
            raise ComposeError(f"unsupported external {kind[:-1]} {entry['name']}")
        for key in ("driver", "template_driver"):
            if entry.get(key):
                raise ComposeError(f"Docker Compose does not support {kind}.*.{key}")
        if not entry.get("file"):
            continue
        if not os.path.exists(entry["file"]):
            reporter.warn(f"{kind[:-1]} file {entry['name']} does not exist")
        found.append({"Type": "bind", "Source": entry["file"], "Target": file_target(kind, use), "ReadOnly": True})
    return found
