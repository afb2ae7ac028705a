"""An engine on another machine, reached through the program `ssh`: its standard streams are the connection.

There, `docker system dial-stdio`, or where docker is not installed the same of our own command, connects them to the
engine's socket.
"""

from __future__ import annotations

import _socket
import os

_REMOTE = (
    "if command -v docker >/dev/null 2>&1; then exec docker system dial-stdio; else exec cais system dial-stdio; fi"
)
_OPTIONS = ("-o", "ConnectTimeout=30", "-T")


def ssh_command(address: str) -> list[str]:
    """What connects to [USER@]HOST[:PORT]. Raises OSError for what is no such address."""
    user, _, rest = address.rstrip("/").rpartition("@")
    host, colon, port = rest.rpartition(":") if not rest.endswith("]") else (rest, "", "")
    if not colon:
        host, port = rest, ""
    if not host or host.startswith("-") or user.startswith("-") or (colon and not port.isdigit()) or "/" in rest:
        raise OSError(f"invalid SSH host: {address}")
    words = ["ssh", *_OPTIONS]
    if user:
        words += ["-l", user]
    if port:
        words += ["-p", port]
    return [*words, "--", host.strip("[]"), _REMOTE]


def connect_through_ssh(address: str) -> _socket.socket:
    """A connected stream socket; ssh ends when it is closed. Raises OSError."""
    command = ssh_command(address)
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        streams = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), descriptor) for descriptor in (0, 1)]
        # In a session of its own: keys that interrupt a container must not interrupt the way to it.
        os.posix_spawnp(command[0], command, os.environ, file_actions=streams, setsid=True)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return ours
