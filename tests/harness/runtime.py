"""The runtime by itself: containers of a busybox tree, started without an engine, and a look at what they leave."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cais.linux.credentials import CAPABILITY_NAMES
from cais.runtime import cgroups
from cais.runtime.client import Monitor, Runtime, read_exit_record
from cais.runtime.errors import StartFailed
from cais.runtime.messages import (
    Attachment,
    Event,
    ExecExited,
    ExecRequest,
    Exited,
    LogTarget,
    Lost,
    RootFilesystem,
    StartRequest,
)
from tests.harness import host
from tests.harness.images import PATH, busybox_root

CAPABILITIES = [
    f"CAP_{name}"
    for name in (
        "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
        "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
    )
]  # fmt: skip
MASKED = [
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
    "/sys/firmware",
]  # fmt: skip
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
_PROC = ["nosuid", "noexec", "nodev"]
_SECONDS = 20.0

Json = dict[str, Any]


def mount(destination: str, kind: str, source: str, *options: str) -> Json:
    """A mount of an OCI config."""
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def bind(source: str | Path, destination: str, *options: str) -> Json:
    """A bind mount of an OCI config."""
    return mount(destination, "bind", str(source), "rbind", *options)


DEFAULT_MOUNTS = [
    mount("/proc", "proc", "proc", *_PROC),
    mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
    mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
    mount("/sys", "sysfs", "sysfs", *_PROC, "ro"),
    mount("/sys/fs/cgroup", "cgroup", "cgroup", *_PROC, "ro"),
    mount("/dev/mqueue", "mqueue", "mqueue", *_PROC),
    mount("/dev/shm", "tmpfs", "shm", *_PROC, "mode=1777", "size=64m"),
]


def process(args: Sequence[str], *, capabilities: Sequence[str] = CAPABILITIES, user: str = "", **members: Any) -> Json:
    """The process of an OCI config."""
    sets = list(capabilities)
    return {
        "args": list(args),
        "env": [f"PATH={PATH}"],
        "cwd": "/",
        "user": {"username": user},
        "capabilities": {"bounding": sets, "effective": sets, "permitted": sets},
        **members,
    }


def shell(script: str, **options: Any) -> Json:
    """The process of an OCI config that runs a shell script."""
    return process(["sh", "-c", script], **options)


def unframed(data: bytes) -> dict[int, bytes]:
    """What Docker's multiplexed stream holds, by stream."""
    streams = {1: b"", 2: b""}
    while data:
        number, length = data[0], int.from_bytes(data[4:8], "big")
        assert data[1:4] == bytes(3)
        assert len(data) >= 8 + length
        streams[number] += data[8 : 8 + length]
        data = data[8 + length :]
    return streams


class Client:
    """A client's end of a stream, and what is given to the runtime of the other end."""

    def __init__(self, **options: Any) -> None:
        self.socket, self._theirs = socket.socketpair()
        self.socket.setblocking(False)
        self.attachment = Attachment(self._theirs.fileno(), **{"framed": False, **options})

    def hand_over(self) -> None:
        """The runtime has its copy: close ours, as caisd does."""
        self._theirs.close()

    async def send(self, data: bytes) -> None:
        await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(self.socket, data), _SECONDS)

    def end_input(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    async def read(self, count: int = 1 << 20) -> bytes:
        """What comes next; b"" at the end."""
        return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.socket, count), _SECONDS)

    async def read_until(self, text: bytes) -> bytes:
        """What comes, up to and with the piece that completes `text`."""
        data = b""
        while text not in data:
            piece = await self.read()
            assert piece, f"the stream ended before {text!r}: {data!r}"
            data += piece
        return data

    async def read_all(self) -> bytes:
        data = bytearray()
        while piece := await self.read():
            data += piece
        return bytes(data)

    def close(self) -> None:
        self.hand_over()
        self.socket.close()


class Container:
    """A container that was started, or found again."""

    def __init__(self, lab: "Lab", container_id: str) -> None:
        self.lab = lab
        self.id = container_id
        self.bundle = lab.run_root / "containers" / container_id
        self.data = lab.data_root / container_id
        self.exit_file = str(self.data / "exit.json")
        self.log_file = self.data / "log"
        self.events: list[Event] = []
        self._changed = asyncio.Event()
        self.monitor: Monitor

    def on_event(self, _: Monitor, event: Event) -> None:
        self.events.append(event)
        self._changed.set()

    async def until(self, condition: Callable[[], Any], seconds: float = _SECONDS) -> Any:
        """Wait until an event makes the condition true."""

        async def wait() -> Any:
            while not (result := condition()):
                self._changed.clear()
                await self._changed.wait()
            return result

        return await asyncio.wait_for(wait(), seconds)

    async def end(self, seconds: float = _SECONDS) -> Exited | Lost:
        """How it ended."""

        def find() -> Event | None:
            return next((event for event in self.events if isinstance(event, Exited | Lost)), None)

        found: Exited | Lost = await self.until(find, seconds)
        return found

    async def exit_code(self, seconds: float = _SECONDS) -> int:
        end = await self.end(seconds)
        assert isinstance(end, Exited), end
        assert end.error == ""
        assert read_exit_record(self.exit_file) == end
        return end.exit_code

    async def exec_exit_code(self, exec_id: str) -> int:
        def find() -> list[ExecExited]:
            return [event for event in self.events if isinstance(event, ExecExited) and event.exec_id == exec_id]

        (event,) = await self.until(find)
        return int(event.exit_code)

    async def exec(self, args: Sequence[str] | Json, *, client: Client | None = None, **options: Any) -> int:
        """Start a further process; its pid."""
        document = args if isinstance(args, dict) else process(args)
        open_stdin = client is not None and client.attachment.stdin
        options.setdefault("waits_inside", "seccomp" not in options)
        request = ExecRequest(options.pop("exec_id", "exec"), document, open_stdin, **options)
        try:
            return await self.monitor.exec(request, client.attachment if client else None)
        finally:
            if client:
                client.hand_over()

    async def run(self, args: Sequence[str] | Json, **options: Any) -> tuple[int, str]:
        """Run a further process to its end: its exit code and its output, errors among it."""
        client = Client()
        exec_id = options.setdefault("exec_id", uuid.uuid4().hex)
        await self.exec(args, client=client, **options)
        output = await client.read_all()
        client.close()
        return await self.exec_exit_code(exec_id), output.decode("utf-8", "replace")

    async def kill(self) -> None:
        """End it, if it runs; also when it stands still."""
        try:
            await self.monitor.thaw()
            await self.monitor.signal(signal.SIGKILL)
        except StartFailed:
            pass
        await self.end()

    def logged(self) -> list[tuple[str, str]]:
        """The log's records: stream and text."""
        records = map(json.loads, self.log_file.read_text("utf-8").splitlines())
        return [(record["stream"], record["log"]) for record in records]

    @property
    def monitor_pid(self) -> int:
        return host.parent(self.monitor.pid)

    @property
    def group(self) -> str:
        return f"{self.lab.group}/{self.id}"


class Lab:
    """A runtime of a test's own."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.image = image
        self.folder = folder
        self.run_root, self.data_root = folder / "run", folder / "data"
        self.run_root.mkdir(mode=0o700)
        self.data_root.mkdir()
        self.group = f"/cais-test-{uuid.uuid4().hex[:12]}"
        self.runtime = Runtime(self.run_root)
        self.containers: list[Container] = []
        self._network_namespaces: set[str] = set()
        self._names = 0

    def config(self, container_id: str, command: Json, **members: Any) -> Json:
        """An OCI config with Docker's defaults; `linux` and `mounts` are added to them, the rest replaces."""
        linux = members.pop("linux", {})
        return {
            "ociVersion": "1.2.0",
            "hostname": "box",
            "root": {"path": "rootfs", "readonly": members.pop("readonly", False)},
            "process": command,
            "mounts": members.pop("default_mounts", DEFAULT_MOUNTS) + members.pop("mounts", []),
            "linux": {
                "namespaces": [{"type": kind} for kind in ("mount", "network", "uts", "pid", "ipc")],
                "cgroupsPath": f"{self.group}/{container_id}",
                "maskedPaths": MASKED,
                "readonlyPaths": READ_ONLY,
                "resources": {},
                **linux,
            },
            **members,
        }

    def prepare(
        self, args: Sequence[str] | Json, *, lower: Sequence[Path] = (), name: str = "", **options: Any
    ) -> tuple[Container, StartRequest]:
        """Write the bundle of a new container. options: of `config`, and those of StartRequest."""
        self._names += 1
        container = Container(self, name or f"c{self._names}")
        for folder in (container.bundle, container.data / "diff", container.data / "work"):
            folder.mkdir(parents=True, exist_ok=True)
        request = {
            key: options.pop(key)
            for key in ("open_stdin", "stdin_once", "terminal_size", "seccomp", "log")
            if key in options
        }
        volatile = options.pop("volatile", True)
        command = args if isinstance(args, dict) else process(args)
        (container.bundle / "config.json").write_text(json.dumps(self.config(container.id, command, **options)))
        return container, StartRequest(
            container.id,
            str(container.bundle),
            RootFilesystem(
                (*map(str, lower), str(self.image)),
                str(container.data / "diff"),
                str(container.data / "work"),
                volatile,
            ),
            container.exit_file,
            **{"log": LogTarget(str(container.log_file), 0, 1), **request},
        )

    async def start(self, args: Sequence[str] | Json, *, clients: Sequence[Client] = (), **options: Any) -> Container:
        """Start a container."""
        container, request = self.prepare(args, **options)
        return await self.launch(container, request, clients)

    async def launch(self, container: Container, request: StartRequest, clients: Sequence[Client] = ()) -> Container:
        """Start a container that was prepared."""
        try:
            container.monitor = await self.runtime.start(
                request, [client.attachment for client in clients], container.on_event
            )
        finally:
            for client in clients:
                client.hand_over()
        self.containers.append(container)
        self._note_namespace(container.monitor.pid)
        return container

    async def run(self, args: Sequence[str] | Json, **options: Any) -> tuple[int, str]:
        """Run a container to its end: its exit code and its output, errors among it."""
        client = Client()
        container = await self.start(args, clients=[client], **options)
        output = await client.read_all()
        client.close()
        return await container.exit_code(), output.decode("utf-8", "replace")

    async def output(self, script: str, **options: Any) -> str:
        """What a shell script prints that must succeed."""
        code, output = await self.run(shell(script), **options)
        assert code == 0, output
        return output.rstrip("\n")

    async def close(self) -> None:
        """End everything, and check that nothing is left."""
        for container in self.containers:
            await container.kill()
        for monitor in [container.monitor for container in self.containers]:
            monitor.detach()
        await self.runtime.close()
        await self._until_nothing_is_left()
        cgroups.open_hierarchy().open(self.group).remove()

    def end_by_force(self) -> None:
        """End what a failed test, or a failed check, has left, so that it harms no other."""
        group = cgroups.open_hierarchy().open(self.group)
        group.kill()
        group.remove()

    def _note_namespace(self, pid: int) -> None:
        try:
            namespace = os.readlink(f"/proc/{pid}/ns/net")
        except OSError:  # it has ended already
            return
        if namespace != os.readlink("/proc/self/ns/net"):
            self._network_namespaces.add(namespace)

    async def _until_nothing_is_left(self) -> None:
        for _ in range(100):
            if not self._left():
                return
            await asyncio.sleep(0.1)
        raise AssertionError("left:\n" + "\n".join(self._left()))

    def _left(self) -> list[str]:
        left = [f"cgroup {name}" for name in cgroups.open_hierarchy().children(self.group)]
        left += [f"process {pid} {host.command_line(pid)}" for pid in host.processes_naming(str(self.folder))]
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            left += [f"mount {line}" for line in file if str(self.folder) in line]
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                namespace = os.readlink(f"/proc/{pid}/ns/net")
            except OSError:
                continue
            if namespace in self._network_namespaces:
                left.append(f"{namespace} of process {pid} {host.command_line(int(pid))}")
        left += [f"socket {path}" for path in self.run_root.glob("containers/*/monitor.sock")]
        return left


def make_image(folder: Path) -> None:
    """Unpack the busybox tree."""
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", folder], input=busybox_root().finish(), check=True)


@asynccontextmanager
async def new_lab(image: Path) -> AsyncIterator[Lab]:
    """A lab that is open."""
    folder = Path(tempfile.mkdtemp(prefix=host.SESSION_ROOT_PREFIX))
    lab = Lab(image, folder)
    try:
        await lab.runtime.open()
        yield lab
        await lab.close()
    finally:
        lab.end_by_force()
        shutil.rmtree(folder)


async def eventually(condition: Callable[[], Any] | Callable[[], Awaitable[Any]], seconds: float = _SECONDS) -> None:
    """Wait until a condition that no event announces is true."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        result = condition()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return
        assert asyncio.get_running_loop().time() < deadline, "it never came true"
        await asyncio.sleep(0.02)


def text_of(path: str | Path) -> str:
    """What is in a file."""
    return Path(path).read_text("utf-8", errors="surrogateescape")


def environment(pid: int) -> Mapping[bytes, bytes]:
    """The environment of a process."""
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(entry.split(b"=", 1) for entry in entries if entry)


ALL_CAPABILITIES = list(CAPABILITY_NAMES)
