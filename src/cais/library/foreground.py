"""A container in the foreground: started, listened to, and waited for; ended when nobody waits any more."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from cais.errors import Conflict, NotFound
from cais.library.containers import Container, discard
from cais.library.model import Result
from cais.library.streams import Collector
from cais.library.tasks import insist


async def in_foreground(
    container: Container,
    what: str,
    *,
    data: bytes | None,
    timeout_seconds: float | None,
    remove: bool,
) -> Result:
    """Start a container, send it `data`, and read its output to its end.

    When the time is over (CommandTimeout, which says `what` took so long) or the caller is cancelled, the container is
    killed. `remove`: the engine removes it at its end; it is removed here if anything else goes wrong.
    """
    collector = Collector()
    try:
        async with asyncio.timeout(timeout_seconds):
            # Its streams and its end are asked for before it begins, so that nothing of either is missed.
            until = container.ending("removed" if remove else "next-exit")
            async with container.attach(stdin=data is not None) as streams, until as exit_code:
                await container.start()
                await collector.communicate(streams, data)
                return collector.result(await exit_code())
    except BaseException as error:
        await insist(_give_up(container, remove=remove))
        if isinstance(error, TimeoutError) and timeout_seconds is not None:
            raise collector.timeout(what, timeout_seconds) from None
        raise


async def _give_up(container: Container, *, remove: bool) -> None:
    if remove:
        await discard(container)
        return
    with suppress(NotFound, Conflict):  # it does not run
        await container.kill()
        await container.wait()
