"""Commands that are executed in a container when it has started, or before it is stopped."""

from __future__ import annotations

from cais.client import containers
from cais.client.frames import STDOUT, Demultiplexer
from cais.compose.errors import ComposeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.client.model import ExecConfig
    from cais.compose.document import Tree
    from cais.compose.engines import Engines
    from cais.compose.observed import Container
    from cais.compose.report import Reporter

_BLOCK_BYTES = 65536


def run_hook(engines: Engines, container: Container, hook: Tree, reporter: Reporter) -> None:
    """Execute the command and wait for it. Raises ComposeError where it fails, with the end of its output."""
    if engines.rehearses:
        return
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
        identity = containers.exec_create(engine, container.identity, config)
        socket, unread = containers.exec_start(engine, identity, tty=False, size=None).response().hijack()
        frames, output = Demultiplexer(), b""
        try:
            while data := unread or socket.recv(_BLOCK_BYTES):
                unread = b""
                for stream, content in frames.feed(data):
                    output = (output + content)[-1000:]
                    reporter.heard(container.name, stream, content)
        finally:
            socket.close()
            reporter.heard(container.name, STDOUT, b"")
        status = containers.exec_detail(engine, identity).get("ExitCode") or 0
    if status:
        said = output.decode("utf-8", "replace").strip()
        raise ComposeError(f"{container.service} hook exited with status {status}" + (f": {said}" if said else ""))
