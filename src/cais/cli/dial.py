"""`cais system dial-stdio`: the standard streams as a connection to the engine, for clients that come through ssh."""

from __future__ import annotations

import _socket
import os
import select

from cais.cli.command import Command, Invocation
from cais.cli.output import STDIN, STDOUT, write_all

_BLOCK_BYTES = 65536


def _dial(call: Invocation) -> int:
    """Carry both directions; neither waits for the other."""
    link = call.engine.connect().socket
    waiting = memoryview(b"")  # read, and not yet taken by the engine
    typing = True
    while True:
        poll = select.poll()
        poll.register(link.fileno(), select.POLLIN | (select.POLLOUT if waiting else 0))
        poll.register(STDOUT, 0)
        if typing and not waiting:
            poll.register(STDIN, select.POLLIN)
        ready = dict(poll.poll())
        if STDOUT in ready:  # nobody is left to read
            return 0
        if STDIN in ready:
            waiting = memoryview(os.read(STDIN, _BLOCK_BYTES))
            if not waiting:
                typing = False
                link.shutdown(_socket.SHUT_WR)
        if waiting:
            waiting = waiting[_sent(link, waiting) :]
        if ready.get(link.fileno(), 0) & ~select.POLLOUT:
            data = link.recv(_BLOCK_BYTES)
            if not data:
                return 0
            write_all(STDOUT, data)


def _sent(link: _socket.socket, data: memoryview) -> int:
    """How much of `data` the engine takes now."""
    try:
        return link.send(data, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
    except BlockingIOError:
        return 0


DIAL = Command("", "", (), _dial, 0, 0)
