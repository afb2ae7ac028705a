"""The short form of a mount: [SOURCE:]TARGET[:OPTIONS]."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.compose.document import Tree

_PROPAGATIONS = {"private", "rprivate", "shared", "rshared", "slave", "rslave"}


def parse(text: str) -> Tree:
    """The long form. Raises ValueError."""
    if not text:
        raise ValueError("invalid empty volume spec")
    fields = text.split(":")
    if len(fields) == 1:
        return {"type": "volume", "target": _cleaned(text), "volume": {}}
    if len(fields) > 3 or not fields[0] or not fields[1]:
        raise ValueError(
            f"invalid spec: {text}: empty section between colons" if "" in fields[:2] else f"invalid spec: {text}"
        )
    source, target = fields[0], fields[1]
    is_path = source[0] in "./~"
    mount: Tree = {"type": "bind" if is_path else "volume", "source": source, "target": _cleaned(target)}
    mount["bind" if is_path else "volume"] = {}
    if len(fields) == 3:
        for option in fields[2].split(","):
            _take_option(mount, option)
    return mount


def _take_option(mount: Tree, option: str) -> None:
    bind = mount.get("bind")
    if option == "ro":
        mount["read_only"] = True
    elif option == "nocopy":
        mount.setdefault("volume", {})["nocopy"] = True
    elif option in {"z", "Z"} and bind is not None:
        bind["selinux"] = option
    elif option in _PROPAGATIONS and bind is not None:
        bind["propagation"] = option


def _cleaned(target: str) -> str:
    """As Go's path.Clean does it."""
    from posixpath import normpath  # noqa: PLC0415

    cleaned = normpath(target)
    return cleaned[1:] if cleaned.startswith("//") else cleaned
