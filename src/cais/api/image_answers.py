"""Images in the words of the API."""

from typing import Any

import msgspec

from cais.distribution.oci import ContainerConfig
from cais.engine.image import Image
from cais.engine.images import HistoryItem, Removed
from cais.engine.models import NEVER
from cais.engine.times import parse_time_ns
from cais.engine.views import STORAGE_DRIVER

Json = dict[str, Any]

WITHOUT_VIRTUAL_SIZE = (1, 44)
WITHOUT_NONE_NAMES = (1, 43)
WITHOUT_CONTAINER_CONFIG = (1, 45)
WITHOUT_ZERO_FIELDS = (1, 50)

# Fields of a container's configuration that an image never has, but old clients expect with their zero values.
_ZERO_FIELDS: Json = {
    "Hostname": "",
    "Domainname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Env": None,
    "Cmd": None,
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": None,
}


def summary(image: Image, version: tuple[int, int], shared_size: int | None) -> Json:
    """ImageSummary."""
    tags, digests = list(image.references), list(image.repo_digests)
    if not tags and not digests and version < WITHOUT_NONE_NAMES:
        tags, digests = ["<none>:<none>"], ["<none>@<none>"]
    answer: Json = {
        "Id": image.id,
        "ParentId": image.parent,
        "RepoTags": tags,
        "RepoDigests": digests,
        "Created": image.created_ns // 1_000_000_000,
        "Size": image.size_bytes,
        "SharedSize": -1 if shared_size is None else shared_size,
        "Labels": image.config.defaults.labels,
        "Containers": -1,
    }
    if version < WITHOUT_VIRTUAL_SIZE:
        answer["VirtualSize"] = image.size_bytes
    return answer


def inspection(image: Image, lower_dirs: list[str], version: tuple[int, int]) -> Json:
    """ImageInspect."""
    config = image.config
    answer: Json = {
        "Id": image.id,
        "RepoTags": list(image.references),
        "RepoDigests": list(image.repo_digests),
        "Parent": image.parent,
        "Comment": config.comment or (image.history[-1].comment if image.history else ""),
        "DockerVersion": config.docker_version,
        "Author": config.author,
        "Config": _container_config(config.defaults, version),
        "Architecture": config.architecture,
        "Os": config.os or "linux",
        "Size": image.size_bytes,
        "GraphDriver": {"Name": STORAGE_DRIVER, "Data": _graph_data(lower_dirs)},
        "RootFS": {"Type": "layers", "Layers": list(config.diff_ids)},
        "Metadata": {"LastTagTime": image.last_tagged or NEVER},
    }
    if image.created:
        answer["Created"] = image.created
    if config.variant:
        answer["Variant"] = config.variant
    if config.os_version:
        answer["OsVersion"] = config.os_version
    if version < WITHOUT_CONTAINER_CONFIG:
        answer |= {"Container": "", "ContainerConfig": dict(_ZERO_FIELDS)}
    if version < WITHOUT_VIRTUAL_SIZE:
        answer["VirtualSize"] = image.size_bytes
    return answer


def history_item(item: HistoryItem) -> Json:
    """ImageHistoryResponseItem."""
    return {
        "Id": item.id,
        "Created": (parse_time_ns(item.created) or 0) // 1_000_000_000,
        "CreatedBy": item.created_by,
        "Tags": list(item.tags) or None,
        "Size": item.size_bytes,
        "Comment": item.comment,
    }


def removal(removed: Removed) -> Json:
    """ImageDeleteResponseItem."""
    return {"Untagged": removed.untagged} if removed.untagged else {"Deleted": removed.deleted}


def _container_config(config: ContainerConfig, version: tuple[int, int]) -> Json:
    said: Json = msgspec.to_builtins(msgspec.structs.replace(config, stop_timeout=None))
    return said if version >= WITHOUT_ZERO_FIELDS else {**_ZERO_FIELDS, **said}


def _graph_data(lower_dirs: list[str]) -> dict[str, str]:
    """Where the files are: the topmost layer, and those below it."""
    data = {"UpperDir": lower_dirs[0]} if lower_dirs else {}
    if len(lower_dirs) > 1:
        data["LowerDir"] = ":".join(lower_dirs[1:])
    return data
