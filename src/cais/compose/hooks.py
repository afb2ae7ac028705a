"""Commands that are executed in a container when it has started, or before it is stopped."""

from __future__ import annotations

from cais.client import containers
from cais.client.frames import Demultiplexer
from cais.compose.errors import ComposeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.client.model import ExecConfig
    from cais.compose.document import Tree
    from cais.compose.engines import Engines

_BLOCK_BYTES = 65536


def run_hook(engines: Engines, container: str, hook: Tree) -> None:
    """Execute the command and wait for it. Raises ComposeError where it fails, with the end of its output."""
    config: ExecConfig = {
        "AttachStdout": True,
        "AttachStderr": True,
        "Cmd": hook["command"],
        "Privileged": bool(hook.get("privileged")),
        "User": hook.get("user") or "",
        "WorkingDir": hook.get("working_dir") or "",
        "Env": [
            name if value is None else f"{name}={value}" for name, value in (hook.get("environment") or {}).items()
        ],
    }
    with engines.one() as engine:
        identity = containers.exec_create(engine, container, config)
        socket, unread = containers.exec_start(engine, identity, tty=False, size=None).response().hijack()
        frames, output = Demultiplexer(), b""
        try:
            while data := unread or socket.recv(_BLOCK_BYTES):
                unread = b""
                output = (output + b"".join(content for _, content in frames.feed(data)))[-1000:]
        finally:
            socket.close()
        status = containers.exec_detail(engine, identity).get("ExitCode") or 0
    if status:
        said = output.decode("utf-8", "replace").strip()
        raise ComposeError(f"hook {hook['command']} exited with status {status}" + (f": {said}" if said else ""))
