"""The table of commands. Only the module of the command that is called is imported."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.command import Command


class Entry:
    """Where a command is found, and what it does in one line."""

    __slots__ = ("attribute", "module", "summary")

    def __init__(self, module: str, attribute: str, summary: str) -> None:
        self.module = module
        self.attribute = attribute
        self.summary = summary

    def load(self) -> Command:
        module = __import__(f"cais.cli.{self.module}", fromlist=[self.attribute])
        command: Command = getattr(module, self.attribute)
        return command


ATTACH = Entry("start", "ATTACH", "Attach local standard input, output, and error streams to a running container")
CREATE = Entry("run", "CREATE", "Create a new container")
EVENTS = Entry("events", "EVENTS", "Get real time events from the server")
EXEC = Entry("execute", "EXEC", "Execute a command in a running container")
IMAGES = Entry("images", "IMAGES", "List images")
IMPORT = Entry("transfer", "IMPORT", "Import the contents from a tarball to create a filesystem image")
INFO = Entry("info", "INFO", "Display system-wide information")
INSPECT = Entry("inspect", "INSPECT", "Return low-level information on Docker objects")
INSPECT_CONTAINER = Entry("inspect", "INSPECT_CONTAINER", "Display detailed information on one or more containers")
INSPECT_IMAGE = Entry("inspect", "INSPECT_IMAGE", "Display detailed information on one or more images")
KILL = Entry("lifecycle", "KILL", "Kill one or more running containers")
LOAD = Entry("transfer", "LOAD", "Load an image from a tar archive or STDIN")
LOGS = Entry("logs", "LOGS", "Fetch the logs of a container")
PS = Entry("ps", "PS", "List containers")
PULL = Entry("transfer", "PULL", "Download an image from a registry")
RM = Entry("lifecycle", "RM", "Remove one or more containers")
RMI = Entry("images", "RMI", "Remove one or more images")
RUN = Entry("run", "RUN", "Create and run a new container from an image")
START = Entry("start", "START", "Start one or more stopped containers")
STOP = Entry("lifecycle", "STOP", "Stop one or more running containers")
TAG = Entry("images", "TAG", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE")
TOP = Entry("top", "TOP", "Display the running processes of a container")
VERSION = Entry("version", "VERSION", "Show the Cais version information")
WAIT = Entry("lifecycle", "WAIT", "Block until one or more containers stop, then print their exit codes")

COMMON: dict[str, Entry] = {
    "run": RUN,
    "exec": EXEC,
    "ps": PS,
    "pull": PULL,
    "images": IMAGES,
    "version": VERSION,
    "info": INFO,
}

OTHERS: dict[str, Entry] = {
    "attach": ATTACH,
    "create": CREATE,
    "events": EVENTS,
    "import": IMPORT,
    "inspect": INSPECT,
    "kill": KILL,
    "load": LOAD,
    "logs": LOGS,
    "rm": RM,
    "rmi": RMI,
    "start": START,
    "stop": STOP,
    "tag": TAG,
    "top": TOP,
    "wait": WAIT,
}

GROUPS: dict[str, tuple[str, dict[str, Entry]]] = {
    "container": (
        "Manage containers",
        {
            "attach": ATTACH,
            "create": CREATE,
            "exec": EXEC,
            "inspect": INSPECT_CONTAINER,
            "kill": KILL,
            "logs": LOGS,
            "ls": PS,
            "rm": RM,
            "run": RUN,
            "start": START,
            "stop": STOP,
            "top": TOP,
            "wait": WAIT,
        },
    ),
    "image": (
        "Manage images",
        {
            "import": IMPORT,
            "inspect": INSPECT_IMAGE,
            "load": LOAD,
            "ls": IMAGES,
            "pull": PULL,
            "rm": RMI,
            "tag": TAG,
        },
    ),
    "system": ("Manage Cais", {"events": EVENTS, "info": INFO}),
}

# Other names of the commands of a group.
SYNONYMS: dict[str, dict[str, str]] = {
    "container": {"list": "ls", "ps": "ls", "remove": "rm"},
    "image": {"list": "ls", "remove": "rm"},
}


class Found:
    """What the words of a command line name: a command, or a group without one."""

    __slots__ = ("entry", "path", "rest")

    def __init__(self, path: str, entry: Entry | None, rest: list[str]) -> None:
        self.path = path
        self.entry = entry
        self.rest = rest


class UnknownCommandError(Exception):
    """No command has this name; `known` are the names that could have been meant."""

    def __init__(self, path: str, word: str, known: list[str]) -> None:
        super().__init__(word)
        self.path = path  # of the group that was looked in, "" at the top
        self.word = word
        self.known = known


def find(words: list[str]) -> Found:
    """The command that `words`, the first of which is no flag, begin with. Raises UnknownCommandError."""
    first, rest = words[0], words[1:]
    entry = COMMON.get(first) or OTHERS.get(first)
    if entry is not None:
        return Found(first, entry, rest)
    if first not in GROUPS:
        raise UnknownCommandError("", first, [*COMMON, *OTHERS, *GROUPS])
    commands = GROUPS[first][1]
    if not rest or rest[0].startswith("-"):
        return Found(first, None, rest)
    name = SYNONYMS.get(first, {}).get(rest[0], rest[0])
    if name not in commands:
        raise UnknownCommandError(first, rest[0], list(commands))
    return Found(f"{first} {name}", commands[name], rest[1:])
