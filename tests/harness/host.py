"""What a machine has that a container engine could leave behind, and the difference between two looks at it."""

import os
import shutil
import subprocess
import time
from dataclasses import dataclass, fields
from pathlib import Path

TEST_ROOT_PREFIX = "/tmp/cais-test-"
SESSION_ROOT_PREFIX = f"{TEST_ROOT_PREFIX}{os.getpid()}-"
"""Every daemon of this test session keeps its folders under a path that begins so; its processes can be told by it."""

TEST_ENVIRONMENT = "CAIS_TEST_SESSION"
"""The environment variable that marks every process started by a test session."""

# On a machine where other engines are at work meanwhile, only what can be told to be ours is compared.
SHARED_HOST = bool(os.environ.get("CAIS_TEST_SHARED_HOST"))


@dataclass(frozen=True, slots=True)
class HostState:
    """One look at the machine. Each field is a set of strings that a reader of a failure understands."""

    mounts: frozenset[str]
    network_namespaces: frozenset[str]
    links: frozenset[str]
    firewall: frozenset[str]
    cgroups: frozenset[str]
    processes: frozenset[str]
    abstract_sockets: frozenset[str]

    def left_since(self, before: "HostState") -> list[str]:
        """What is here now and was not before, a line a thing."""
        return [
            f"{field.name}: {thing}"
            for field in fields(self)
            for thing in sorted(getattr(self, field.name) - getattr(before, field.name))
        ]


def look() -> HostState:
    """Take a look at the machine."""
    everything = HostState(
        mounts=frozenset(_mounts()),
        network_namespaces=frozenset(_network_namespaces()),
        links=frozenset(os.listdir("/sys/class/net")),
        firewall=frozenset(_firewall()),
        cgroups=frozenset(_cgroups()),
        processes=frozenset(_processes()),
        abstract_sockets=frozenset(_abstract_sockets()),
    )
    if not SHARED_HOST:
        return everything
    return HostState(
        mounts=frozenset(mount for mount in everything.mounts if SESSION_ROOT_PREFIX in mount),
        network_namespaces=frozenset(),
        links=frozenset(),
        firewall=frozenset(),
        cgroups=frozenset(),
        processes=frozenset(process for process in everything.processes if SESSION_ROOT_PREFIX in process),
        abstract_sockets=frozenset(),
    )


def wait_until_as_before(before: HostState, seconds: float) -> list[str]:
    """What is still left after up to `seconds`: the kernel finishes some of its removals a moment later."""
    deadline = time.monotonic() + seconds
    while True:
        left = look().left_since(before)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


def children(pid: int) -> list[int]:
    """The processes whose parent is `pid`."""
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
        return [
            int(child)
            for task in tasks
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text("ascii").split()
        ]
    except FileNotFoundError:
        return []


def descendants(pid: int) -> list[int]:
    """The processes below `pid`, nearest first."""
    found: list[int] = []
    queue = children(pid)
    while queue:
        child = queue.pop(0)
        found.append(child)
        queue += children(child)
    return found


def alive(pid: int) -> bool:
    """Whether `pid` is a process that runs: neither gone nor a zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in {"Z", "X"}


def parent(pid: int) -> int:
    """The parent of `pid`."""
    return int(Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()[1])


def command_line(pid: int) -> str:
    """The arguments of `pid`, joined by spaces; empty for a kernel thread or a process that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def open_files(pid: int) -> list[str]:
    """What the descriptors of `pid` are open on, as /proc shows it."""
    found = []
    for descriptor in _listed(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
        except OSError:  # closed meanwhile
            continue
    return found


def processes_naming(text: str) -> list[int]:
    """The processes, this one and its parents apart, whose arguments, environment or open files contain `text`."""
    own = set()
    ancestor = os.getpid()
    while ancestor > 1:
        own.add(ancestor)
        ancestor = parent(ancestor)
    found = []
    for pid in _pids():
        if pid in own or not alive(pid):
            continue
        if text in command_line(pid) or text in _environment(pid) or any(text in path for path in open_files(pid)):
            found.append(pid)
    return found


def cgroup_folders(name_prefix: str) -> list[Path]:
    """The cgroups, in any hierarchy, whose name begins with `name_prefix`, at the top or one level below it."""
    top = Path("/sys/fs/cgroup")
    depths = (f"{name_prefix}*", f"*/{name_prefix}*", f"*/*/{name_prefix}*")
    while True:
        try:
            return sorted({path for depth in depths for path in top.glob(depth) if path.is_dir()})
        except FileNotFoundError:  # another engine's group went while it was looked through
            continue


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _environment(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def _mounts() -> list[str]:
    mounts = []
    for line in Path("/proc/self/mountinfo").read_text("utf-8", errors="replace").splitlines():
        fields_before, _, fields_after = line.partition(" - ")
        identity, path = fields_before.split()[0], fields_before.split()[4]
        mounts.append(f"{path} ({fields_after.split()[0]}, mount {identity})")
    return mounts


def _network_namespaces() -> list[str]:
    found = [f"named {name}" for name in _listed("/run/netns")]
    for pid in _pids():
        try:
            found.append(os.readlink(f"/proc/{pid}/ns/net"))
        except OSError:  # a kernel thread, or gone
            continue
    return found


def _firewall() -> list[str]:
    nft = shutil.which("nft")
    if nft is None:
        return []
    tables = subprocess.run([nft, "list", "tables"], check=False, capture_output=True, text=True, timeout=30)
    return tables.stdout.splitlines()


def marked(mark: str) -> list[str]:
    """The links and the rules of the firewall that carry this mark of an engine."""
    links = subprocess.run(["ip", "-d", "-o", "link"], check=True, capture_output=True, text=True, timeout=30).stdout
    rules = subprocess.run(["nft", "list", "ruleset"], check=True, capture_output=True, text=True, timeout=30).stdout
    return [line.strip() for line in (*links.splitlines(), *rules.splitlines()) if mark in line]


def _cgroups() -> list[str]:
    return [str(path) for path in cgroup_folders("cais")]


def _processes() -> list[str]:
    marked = set(processes_naming(TEST_ROOT_PREFIX)) | set(processes_naming(TEST_ENVIRONMENT + "="))
    marked |= {pid for pid in _pids() if "/cais" in cgroup_of(pid) or _comm(pid).startswith("cais-")}
    marked |= set(descendants(os.getpid()))
    return [f"{pid} {command_line(pid)} {open_files(pid)}" for pid in marked if alive(pid)]


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8", errors="replace")
    except OSError:
        return ""


def cgroup_of(pid: int) -> str:
    """The control groups of `pid`, as /proc shows them; "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/cgroup").read_text("utf-8", errors="replace")
    except OSError:
        return ""


def _abstract_sockets() -> list[str]:
    lines = Path("/proc/net/unix").read_text("utf-8", errors="replace").splitlines()[1:]
    names = (line.split()[7] for line in lines if len(line.split()) > 7)
    return [name for name in names if name.startswith("@") and "cais" in name]


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # absent, or a process that is gone
        return []


def mounts_below(folder: Path) -> list[str]:
    """The lines of mountinfo that name something in a folder."""
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"{folder}/" in line]
