"""One netlink socket, asked by several threads at once."""

import socket
import threading

import pytest

from cais.linux import rtnetlink
from cais.linux.netlink import NETLINK_ROUTE, Netlink


@pytest.mark.timeout(60)
def test_threads_get_their_own_answers() -> None:
    expected = {name for _, name in socket.if_nameindex()} & {"lo"}
    missed: list[str] = []
    with Netlink(NETLINK_ROUTE) as netlink:

        def ask() -> None:
            for _ in range(100):
                if not expected <= {link.name for link in rtnetlink.links(netlink)}:
                    missed.append("a dump without lo")
                try:
                    netlink.request(rtnetlink.delete_link("no-such-link"))
                except OSError:
                    continue
                missed.append("an error that nobody was told")

        threads = [threading.Thread(target=ask, daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(50)
            assert not thread.is_alive()
    assert missed == []
