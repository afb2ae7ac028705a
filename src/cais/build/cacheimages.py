"""The cache of a build in images, for `--cache-to` and `--cache-from`: layers, and which steps have made them.

One image for each stage. Its label says of each step how many of its layers, from the bottom, the step has come to.
What such an image says counts for builds that ask for it by name, and for no other: it may lie (CVE-2024-24557).
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from cais.build.state import State
from cais.distribution.oci import ContainerConfig, History, ImageConfig, RootFS
from cais.engine.image import Image
from cais.engine.image_steps import Step
from cais.engine.image_store import NewImage
from cais.engine.models import timestamp
from cais.storage.layers import chain_ids

LABEL: Final = "cais.build.cache"
_MOST_STEPS: Final = 10_000


class _Record(msgspec.Struct, frozen=True):
    key: str
    layers: int
    kind: str
    text: str
    created_ns: int


class _Document(msgspec.Struct, frozen=True):
    images: int  # of how many images of one build this is one
    steps: list[_Record]


def cache_images(states: Sequence[State], used: Iterable[Step]) -> list[NewImage]:
    """The images for the stages that a build had, the one that it was about first."""
    steps = list(used)
    chosen = [state for number, state in enumerate(states) if number == 0 or state.base is None]
    made = []
    for number, state in enumerate(chosen):
        places = {chain_id: count for count, chain_id in enumerate(state.chain, 1)}
        records = [
            _Record(step.key, places.get(step.chain_id or "", 0), step.kind, step.description, step.created_ns)
            for step in steps
            if step.chain_id in places or (step.chain_id is None and number == 0)
        ]
        made.append(_image(state, _Document(len(chosen), records)))
    return made


def _image(state: State, document: _Document) -> NewImage:
    created = timestamp(state.created_ns)
    config = ImageConfig(
        architecture=state.architecture,
        variant=state.variant,
        os="linux",
        created=created,
        config=ContainerConfig(labels={LABEL: msgspec.json.encode(document).decode()}),
        rootfs=RootFS(diff_ids=list(state.diff_ids)),
        history=[History(created=created, created_by="build cache") for _ in state.diff_ids],
    )
    return NewImage(msgspec.json.encode(config), config)


def steps_of(image: Image) -> list[Step]:
    """The steps that an image says to be the cache of; none for an ordinary one."""
    try:
        document = msgspec.json.decode(image.labels.get(LABEL, ""), type=_Document)
    except (msgspec.MsgspecError, RecursionError):
        return []
    chain = ["", *chain_ids(image.config.diff_ids)]
    return [
        Step(
            record.key,
            chain[record.layers] or None,
            chain[max(record.layers - 1, 0)],
            record.kind,
            record.text,
            0,
            record.created_ns,
            record.created_ns,
        )
        for record in document.steps[:_MOST_STEPS]
        if 0 <= record.layers < len(chain)
    ]
