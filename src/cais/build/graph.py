"""Which stages a build needs, and the numbers of its steps."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cais.build import instructions as kinds
from cais.build.dockerfile import Dockerfile, parse_trigger
from cais.build.events import Planned
from cais.build.expansion import expand_from
from cais.build.instructions import Instruction, Stage

SCRATCH: Final = "scratch"
_FROM: Final = re.compile(r"(?:^|,)\"?from=([^,\"]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class StagePlan:
    """A stage that is built. base: its base, expanded. first: the number of its FROM, from 1; the others follow it."""

    stage: Stage
    base: str
    platform: str
    base_stage: int | None
    first: int
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The stages that are built, in their order; the last one is the target."""

    stages: tuple[StagePlan, ...]
    planned: Planned

    def find(self, index: int) -> StagePlan:
        """The plan of a stage that is needed."""
        return next(plan for plan in self.stages if plan.stage.index == index)

    @property
    def target(self) -> StagePlan:
        """The stage that becomes the image."""
        return self.stages[-1]


def plan(dockerfile: Dockerfile, target: str, scope: dict[str, str], labels: tuple[Instruction, ...]) -> Plan:
    """What is to be built. scope: what FROM's variables stand for. labels: the last instructions of the target.

    Raises: DockerfileError.
    """
    last = dockerfile.target(target)
    bases = {stage.index: expand_from(dockerfile, stage, scope) for stage in dockerfile.stages}
    needed: set[int] = set()
    waiting = [last.index]
    while waiting:
        index = waiting.pop()
        if index not in needed:
            needed.add(index)
            waiting += _needs(dockerfile, dockerfile.stages[index], bases[index][0])
    texts = [arg.original for arg in dockerfile.global_args]
    names = ["" for _ in texts]
    plans = []
    for index in sorted(needed):
        stage = dockerfile.stages[index]
        _check_copies(dockerfile, stage)
        base, platform = bases[index]
        instructions = (*stage.instructions, *(labels if stage is last else ()))
        base_stage = dockerfile.stage(base, before=index) if base.lower() != SCRATCH else None
        plans.append(
            StagePlan(stage, base, platform, base_stage.index if base_stage else None, len(texts) + 1, instructions)
        )
        texts += [stage.original, *(line.original for line in instructions)]
        names += [stage.name or f"stage-{index}"] * (1 + len(instructions))
    return Plan(tuple(plans), Planned(tuple(texts), tuple(names)))


def _needs(dockerfile: Dockerfile, stage: Stage, base: str) -> Iterator[int]:
    below = dockerfile.stage(base, before=stage.index)
    triggers = tuple(
        parse_trigger(line.expression, dockerfile.escape)
        for line in (below.instructions if below else ())
        if isinstance(line, kinds.Onbuild)
    )
    for name in (base, *_named(stage.instructions), *_named(triggers)):
        found = dockerfile.stage(name, before=stage.index)
        if found is not None:
            yield found.index


def _named(lines: tuple[Instruction, ...]) -> Iterator[str]:
    """What a stage's instructions take files from."""
    for line in lines:
        if isinstance(line, kinds.Copy) and line.source_from:
            yield line.source_from
        elif isinstance(line, kinds.Run):
            for text in line.mount_texts:
                yield from _FROM.findall(text)


def _check_copies(dockerfile: Dockerfile, stage: Stage) -> None:
    """Raises: DockerfileError for a COPY from the stage itself, or from a later one by its number."""
    for line in stage.instructions:
        if not isinstance(line, kinds.Copy) or not line.source_from:
            continue
        name = line.source_from
        if name.isdigit() and int(name) >= stage.index:
            text = f"invalid from flag value {name}: refers to current or a later build stage"
            raise dockerfile.error(text, line.first_line, line.last_line)
        if stage.name and name.lower() == stage.name and dockerfile.stage(name, before=stage.index) is None:
            text = f"circular dependency detected on stage: {name}"
            raise dockerfile.error(text, line.first_line, line.last_line)
