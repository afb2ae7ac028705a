"""The running caisd: engine, API and signals, opened in order and closed in the reverse one."""

import asyncio
import gc
import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from cais import __version__
from cais.api.server import ApiServer
from cais.daemon.listeners import Listeners
from cais.daemon.options import Options
from cais.daemon.process import PidFile, Readiness
from cais.engine.engine import Engine
from cais.engine.settings import Settings

_log = logging.getLogger("cais.daemon")
_THREADS: Final = 8


def run(options: Options, readiness: Readiness) -> None:
    """Serves until SIGTERM or SIGINT. Raises CaisError when it cannot begin, with nothing left behind."""
    asyncio.run(_serve(options, readiness))


@asynccontextmanager
async def serving(settings: Settings, sockets: Sequence[Path]) -> AsyncIterator[tuple[Engine, Listeners]]:
    """An engine that is open in this event loop and served at the sockets. Raises CaisError."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="worker"))
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(Engine(settings))
        listeners = stack.enter_context(Listeners(sockets))
        server = ApiServer(engine)
        stack.push_async_callback(server.stop)
        await server.start(listeners.sockets)
        yield engine, listeners


async def _serve(options: Options, readiness: Readiness) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_stop, stop, number)
    loop.add_signal_handler(signal.SIGUSR1, dump_tasks)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    async with serving(options.settings, options.sockets):
        with PidFile(options.pidfile):
            _log.info(
                "caisd %s serves %s (pid %d, data root %s)",
                __version__, ", ".join(map(str, options.sockets)), os.getpid(), options.settings.data_root,
            )  # fmt: skip
            readiness.ready()
            gc.collect()
            gc.freeze()
            await stop.wait()
    _log.info("caisd has stopped; containers run on")


def _on_stop(stop: asyncio.Event, number: int) -> None:
    _log.info("caisd stops: %s", signal.Signals(number).name)
    stop.set()


def dump_tasks() -> None:
    """Writes where every task and thread stands into the log, for whoever looks for a fault."""
    text = io.StringIO()
    for task in asyncio.all_tasks():
        task.print_stack(file=text)
    for identity, frame in sys._current_frames().items():
        text.write(f"thread {identity}\n")
        traceback.print_stack(frame, file=text)
    for line in text.getvalue().splitlines():
        _log.info("%s", line)
