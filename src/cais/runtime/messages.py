"""What caisd, the spawner, the monitors and the starting processes say to each other.

    caisd ── start ──▶ spawner ── (fork) ──▶ monitor ◀── clone ── container's pid 1
      │                                        │ ▲
      │◀── started | failed ───────────────────┘ │          the control channel, made by caisd with each start;
      │◀── exited, exec-exited, detached, oom ───┘          a later caisd connects to monitor.sock and gets `hello`
      │─── attach, resize, signal, exec, pids ─▶ monitor ── replies carry the request's `seq`; with `after_log`, attach
      │                                                     brings a gate too, and is told where the log stands
      │─── prepare, forget (an exec) ──────────▶ monitor ── no reply

    first process ◀── launch (the request, its ends of the pipes) ── monitor
                  ── root (a descriptor of its root's mount) ──▶
                  ── terminal (the master's descriptor) ──▶ monitor
                  ── resolver (two sockets) ──▶ monitor ──▶ caisd: where the container asks for names
                  ── failed (reason, message, has_group) ──▶  then it ends; has_group: its control groups are made
                  ── executing ──▶                            nothing is left but exec itself

    caisd ── network (a plan, its namespace, a channel for the answer) ──▶ spawner ── (fork) ──▶ helper
          ◀── done (the sockets of a resolver, where asked for) | failed ───────────────────────┘

    joiner of an exec ── terminal, failed ──▶ monitor           as above
                      ◀── process (an OCI process) ──           to a spare one alone, which knows none yet
                      ◀── go ──                                 until then all is done but fork and exec
                      ── pid or errno, in shared memory ──▶     then it ends

Every message is a JSON object with a `type`; these classes are its typed forms. Unknown keys are ignored,
so that an older monitor and a newer caisd understand each other.
"""

from dataclasses import dataclass, field
from typing import Any, Self

SOCKET_NAME = "monitor.sock"
"""Where a monitor is found again, in its container's bundle."""


@dataclass(frozen=True, slots=True)
class Record:
    """A message part with JSON forms."""

    def to_json(self) -> dict[str, Any]:
        """The JSON object of this record. Other values than records are not copied."""
        names: tuple[str, ...] = type(self).__match_args__  # the fields; dataclasses.fields() looks at far more
        return {name: _plain(getattr(self, name)) for name in names}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Self:
        """The record of a JSON object; unknown keys are ignored, missing ones take their defaults."""
        names: tuple[str, ...] = cls.__match_args__
        return cls(**{name: raw[name] for name in names if name in raw})


def _plain(value: object) -> object:
    if isinstance(value, Record):
        return value.to_json()
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True, slots=True)
class RootFilesystem(Record):
    """The overlay that becomes a container's root.

    lower: read-only folders, the topmost first. upper, work: the read-write layer and overlayfs' scratch folder,
    on one file system. volatile: nothing need survive a power cut, so the file system is not synced at the end.
    """

    lower: tuple[str, ...]
    upper: str
    work: str
    volatile: bool = False


@dataclass(frozen=True, slots=True)
class LogTarget(Record):
    """Where a container's output is kept: `path`, and `path`.1 … for older parts; sizes in bytes.

    attributes: a JSON object that every line carries, or nothing. compress: older parts are `path`.1.gz …
    """

    path: str
    max_bytes: int
    max_files: int
    attributes: str = ""
    compress: bool = False


@dataclass(frozen=True, slots=True)
class StartRequest(Record):
    """All that a monitor needs to run a container.

    bundle: the folder that holds config.json, an OCI runtime config. exit_file: where the exit status is recorded.
    seccomp: path of a compiled BPF program. open_stdin: keep standard input open for attached clients;
    stdin_once: close it when the first of them closes its end. terminal_size: rows and columns.
    init: the command is a child of an init of ours (`cais.runtime.reaper`) instead of pid 1 itself.
    network: a `cais.runtime.links.NetworkPlan` as JSON, for a network namespace of its own.
    """

    id: str
    bundle: str
    rootfs: RootFilesystem
    exit_file: str
    log: LogTarget | None = None
    seccomp: str | None = None
    open_stdin: bool = False
    stdin_once: bool = False
    terminal_size: tuple[int, int] | None = None
    init: bool = False
    network: dict[str, Any] | None = None

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "StartRequest":
        """The request of a JSON object."""
        nested = dict(raw)
        nested["rootfs"] = RootFilesystem.from_json(raw["rootfs"])
        nested["log"] = LogTarget.from_json(raw["log"]) if raw.get("log") else None
        return super(StartRequest, cls).from_json(nested)


@dataclass(frozen=True, slots=True)
class Outline(Record):
    """What the monitor itself needs of a start.

    The request is passed on unread, and the config is read in the process that becomes the container's first: the
    pages that reading takes would be the monitor's for its whole life.
    pid_namespace: "" for a new one, a path to join that one, None to stay in the host's.
    """

    id: str
    bundle: str
    exit_file: str
    log: LogTarget | None
    open_stdin: bool
    stdin_once: bool
    terminal: bool
    cgroups_path: str
    pid_namespace: str | None

    @classmethod
    def of(cls, request: StartRequest, config: dict[str, Any]) -> "Outline":
        """The outline of a request and its OCI config."""
        linux = config.get("linux", {})
        entries = [item.get("path", "") for item in linux.get("namespaces", []) if item.get("type") == "pid"]
        return cls(
            id=request.id,
            bundle=request.bundle,
            exit_file=request.exit_file,
            log=request.log,
            open_stdin=request.open_stdin,
            stdin_once=request.stdin_once,
            terminal=bool(config.get("process", {}).get("terminal", False)),
            cgroups_path=linux.get("cgroupsPath", ""),
            pid_namespace=entries[0] if entries else None,
        )

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "Outline":
        """The outline of a JSON object."""
        log = LogTarget.from_json(raw["log"]) if raw["log"] else None
        return super(Outline, cls).from_json({**raw, "log": log})


@dataclass(frozen=True, slots=True)
class ExecRequest(Record):
    """A further process in a running container.

    process: an OCI process object. open_stdin: a client may write to it. waits_inside: its seccomp filter lets it wait
    for a signal, so that it can be in the container before it is started.
    """

    id: str
    process: dict[str, Any]
    open_stdin: bool = False
    seccomp: str | None = None
    terminal_size: tuple[int, int] | None = None
    waits_inside: bool = False


@dataclass(frozen=True, slots=True)
class StreamOptions(Record):
    """How a client is attached: which streams, in Docker's frames or raw, and what detaches it (may be empty)."""

    stdin: bool
    stdout: bool
    stderr: bool
    framed: bool
    detach_keys: str = ""  # one character a byte (latin-1)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A client's connected stream socket and how it is attached. The runtime works on a copy of `fd`."""

    fd: int
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    framed: bool = True
    detach_keys: bytes = b""

    @property
    def options(self) -> StreamOptions:
        """What travels beside the descriptor."""
        keys = self.detach_keys.decode("latin-1")
        return StreamOptions(self.stdin, self.stdout, self.stderr, self.framed, keys)


@dataclass(frozen=True, slots=True)
class OomFigures(Record):
    """Of the control groups of a container in which the kernel killed for want of memory, at its end.

    limit_bytes: its own limit, None where it had none. kills: processes. failures: how often the limit was hit.
    """

    limit_bytes: int | None
    peak_bytes: int
    kills: int
    failures: int


@dataclass(frozen=True, slots=True)
class Exited(Record):
    """A container's end. exit_code: the process's own, or 128 + the number of the signal that ended it.

    signal: that number, 0 for a process that ended by itself. oom: None where the kernel killed nothing.
    """

    exit_code: int
    oom_killed: bool
    finished_at_ns: int
    error: str = ""
    signal: int = 0
    oom: OomFigures | None = None

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "Exited":
        """The end of a JSON object."""
        oom = OomFigures.from_json(raw["oom"]) if raw.get("oom") else None
        return super(Exited, cls).from_json({**raw, "oom": oom})


@dataclass(frozen=True, slots=True)
class ExecExited(Record):
    """The end of a further process."""

    exec_id: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class Detached(Record):
    """A client typed the detach keys. exec_id: None for the container's own streams."""

    exec_id: str | None


@dataclass(frozen=True, slots=True)
class Oom(Record):
    """The kernel killed a process of the container for want of memory."""


@dataclass(frozen=True, slots=True)
class Lost(Record):
    """The monitor is gone without a word. What was left of the container has been killed."""

    finished_at_ns: int


@dataclass(frozen=True, slots=True)
class RunningExec(Record):
    """One further process, as a monitor knows it; exit_code is None while it runs."""

    id: str
    pid: int
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Hello(Record):
    """The state of a running container, for a caisd that finds its monitor again."""

    id: str
    pid: int
    started_at_ns: int
    execs: list[RunningExec] = field(default_factory=list)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "Hello":
        """The state of a JSON object."""
        execs = [RunningExec.from_json(item) for item in raw.get("execs", [])]
        return super(Hello, cls).from_json({**raw, "execs": execs})


Event = Exited | ExecExited | Detached | Oom | Lost
