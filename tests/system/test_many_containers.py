"""With many containers, what is done to one costs what it costs with few: steps are counted, not seconds."""

import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any, Self

from cais.engine import views
from cais.engine.container import Condition
from cais.engine.engine import Engine
from cais.engine.models import CreateRequest, HostConfig
from cais.engine.settings import Settings
from tests.harness.engine import Daemon

FEW, MANY = 10, 500


class Steps:
    """Counts the bytecodes that this thread executes in functions that are called meanwhile."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, _: Any) -> "Callable[[FrameType, str, Any], Any]":
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self.count += event == "opcode"
        return self._trace


async def _create(engine: Engine, name: str = "") -> str:
    request = CreateRequest(Image="busybox", Cmd=["true"], host_config=HostConfig(NetworkMode="none"))
    return (await engine.containers.create(request, name))[0].id


async def _counted(work: Awaitable[object]) -> int:
    with Steps() as steps:
        await work
    return steps.count


async def _inspect(engine: Engine, reference: str) -> None:
    container = engine.containers.find(reference)
    views.inspect(container, engine.containers, engine.images, engine.settings, known=engine.networks)


async def _run(engine: Engine, identity: str) -> None:
    container = engine.containers.find(identity)
    ended = container.wait(Condition.NEXT_EXIT)
    await engine.lifecycle.start(container)
    await ended


async def _costs(engine: Engine) -> dict[str, int]:
    """The fewest steps of everything that is done to one container: what else went on meanwhile was counted too."""
    rounds = [await _once(engine) for _ in range(4)]
    return {name: min(costs[name] for costs in rounds) for name in rounds[0]}


async def _once(engine: Engine) -> dict[str, int]:
    one = await _create(engine, "one")
    costs = {
        "create": await _counted(_create(engine, "two")),
        "inspect by name": await _counted(_inspect(engine, "one")),
        "inspect by a beginning": await _counted(_inspect(engine, one[:12])),
        "run": await _counted(_run(engine, one)),
    }
    for name in ("one", "two"):
        costs[f"remove {name}"] = await _counted(engine.lifecycle.remove(engine.containers.find(name)))
    return costs


async def test_nothing_looks_at_all_containers_for_one(private_caisd: Daemon) -> None:
    private_caisd.stop()
    async with Engine(Settings(private_caisd.data_root, private_caisd.exec_root)) as engine:
        for _ in range(FEW):
            await _create(engine)
        await _once(engine)  # what is done the first time only
        few = await _costs(engine)
        for _ in range(MANY - FEW):
            await _create(engine)
        many = await _costs(engine)
        # to look at a container takes several steps: the shortest loop over all would be thousands more
        assert all(many[name] < few[name] + 2 * MANY for name in few), (few, many)
