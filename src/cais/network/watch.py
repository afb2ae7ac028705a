"""Notices what somebody else takes from the host's network: links, and rules of the firewall."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from cais.linux import nfnetlink, rtnetlink
from cais.linux.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, Netlink

_log = logging.getLogger("cais.network")

_PAUSE_SECONDS: Final = 0.2  # what belongs together comes together
_RULES: Final = frozenset(
    {nfnetlink.NFT_MSG_DELTABLE, nfnetlink.NFT_MSG_NEWCHAIN, nfnetlink.NFT_MSG_DELCHAIN, nfnetlink.NFT_MSG_DELRULE,
     nfnetlink.NFT_MSG_DELSET}
)  # fmt: skip


class Watch:
    """Calls `repair` a moment after something may be missing, with the names of the links that are gone."""

    def __init__(self, repair: Callable[[set[str]], Coroutine[Any, Any, None]]) -> None:
        """Raises OSError."""
        self._repair = repair
        self._loop = asyncio.get_running_loop()
        self._links = Netlink(NETLINK_ROUTE, [rtnetlink.RTNLGRP_LINK])
        self._rules = Netlink(NETLINK_NETFILTER, [nfnetlink.NFNLGRP_NFTABLES])
        self._gone: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop.add_reader(self._links.fileno(), self._on_links)
        self._loop.add_reader(self._rules.fileno(), self._on_rules)

    async def close(self) -> None:
        """Looks no longer; what has been begun is finished."""
        for netlink in (self._links, self._rules):
            self._loop.remove_reader(netlink.fileno())
            netlink.close()
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def _on_links(self) -> None:
        try:
            told = self._links.receive()
        except OSError:  # more was told than there was room for
            self._look_soon()
            return
        gone = {rtnetlink.link_info(payload).name for kind, payload in told if kind == rtnetlink.RTM_DELLINK}
        if gone:
            self._gone |= gone
            self._look_soon()

    def _on_rules(self) -> None:
        try:
            told = self._rules.receive()
        except OSError:
            self._look_soon()
            return
        if any(nfnetlink.message_kind(kind) in _RULES for kind, _ in told):
            self._look_soon()

    def _look_soon(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(_PAUSE_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._task is not None and not self._task.done():
            self._look_soon()
            return
        gone, self._gone = self._gone, set()
        self._task = self._loop.create_task(self._mend(gone), name="repair the host's network")

    async def _mend(self, gone: set[str]) -> None:
        try:
            await self._repair(gone)
        except Exception as error:  # noqa: BLE001  the next change is another chance
            _log.error("the host's network is not repaired: %s", error)
