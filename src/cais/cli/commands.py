"""The table of commands. Only the module of the command that is called is imported."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.command import Command


class Entry:
    """Where a command is found, and what it does in one line."""

    __slots__ = ("attribute", "module", "summary", "verbs")

    def __init__(self, module: str, attribute: str, summary: str, verbs: dict[str, Entry] | None = None) -> None:
        self.module = module
        self.attribute = attribute
        self.summary = summary
        self.verbs = verbs or {}  # what its first argument may be the name of: a command of its own

    def load(self) -> Command:
        module = __import__(f"cais.cli.{self.module}", fromlist=[self.attribute])
        command: Command = getattr(module, self.attribute)
        return command


ATTACH = Entry("start", "ATTACH", "Attach local standard input, output, and error streams to a running container")
BUILD = Entry("build", "BUILD", "Build an image from a Dockerfile")
COMMIT = Entry("commit", "COMMIT", "Create a new image from a container's changes")
COPY = Entry("copy", "COPY", "Copy files/folders between a container and the local filesystem")
CREATE = Entry("run", "CREATE", "Create a new container")
DIFF = Entry("files", "DIFF", "Inspect changes to files or directories on a container's filesystem")
EVENTS = Entry("events", "EVENTS", "Get real time events from the server")
EXEC = Entry("execute", "EXEC", "Execute a command in a running container")
EXPLAIN = Entry(
    "explain",
    "EXPLAIN",
    "Explain a container, or what a run would do",
    {
        "create": Entry("explain", "EXPLAIN_CREATE", "Explain what creating and starting a container would do"),
        "run": Entry("explain", "EXPLAIN_RUN", "Explain what running a container would do, without running it"),
    },
)
EXPORT = Entry("files", "EXPORT", "Export a container's filesystem as a tar archive")
HISTORY = Entry("history", "HISTORY", "Show the history of an image")
IMAGES = Entry("images", "IMAGES", "List images")
IMPORT = Entry("transfer", "IMPORT", "Import the contents from a tarball to create a filesystem image")
INFO = Entry("info", "INFO", "Display system-wide information")
INSPECT = Entry("inspect", "INSPECT", "Return low-level information on Docker objects")
INSPECT_CONTAINER = Entry("inspect", "INSPECT_CONTAINER", "Display detailed information on one or more containers")
INSPECT_IMAGE = Entry("inspect", "INSPECT_IMAGE", "Display detailed information on one or more images")
KILL = Entry("lifecycle", "KILL", "Kill one or more running containers")
LOAD = Entry("transfer", "LOAD", "Load an image from a tar archive or STDIN")
LOGIN = Entry("login", "LOGIN", "Authenticate to a registry")
LOGOUT = Entry("login", "LOGOUT", "Log out from a registry")
LOGS = Entry("logs", "LOGS", "Fetch the logs of a container")
PAUSE = Entry("lifecycle", "PAUSE", "Pause all processes within one or more containers")
PORT = Entry("port", "PORT", "List port mappings or a specific mapping for the container")
PS = Entry("ps", "PS", "List containers")
PULL = Entry("registry", "PULL", "Download an image from a registry")
PUSH = Entry("registry", "PUSH", "Upload an image to a registry")
RENAME = Entry("lifecycle", "RENAME", "Rename a container")
RESTART = Entry("lifecycle", "RESTART", "Restart one or more containers")
RM = Entry("lifecycle", "RM", "Remove one or more containers")
RMI = Entry("images", "RMI", "Remove one or more images")
RUN = Entry("run", "RUN", "Create and run a new container from an image")
SAVE = Entry("transfer", "SAVE", "Save one or more images to a tar archive (streamed to STDOUT by default)")
SEARCH = Entry("registry", "SEARCH", "Search Docker Hub for images")
START = Entry("start", "START", "Start one or more stopped containers")
STATS = Entry("stats", "STATS", "Display a live stream of container(s) resource usage statistics")
STOP = Entry("lifecycle", "STOP", "Stop one or more running containers")
TAG = Entry("images", "TAG", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE")
TOP = Entry("top", "TOP", "Display the running processes of a container")
UNPAUSE = Entry("lifecycle", "UNPAUSE", "Unpause all processes within one or more containers")
UPDATE = Entry("update", "UPDATE", "Update configuration of one or more containers")
VERSION = Entry("version", "VERSION", "Show the Cais version information")
WAIT = Entry("lifecycle", "WAIT", "Block until one or more containers stop, then print their exit codes")

COMPOSE = Entry("compose.command", "COMPOSE", "Define and run multi-container applications")

COMMON: dict[str, Entry] = {
    "run": RUN,
    "exec": EXEC,
    "ps": PS,
    "build": BUILD,
    "pull": PULL,
    "push": PUSH,
    "images": IMAGES,
    "login": LOGIN,
    "logout": LOGOUT,
    "search": SEARCH,
    "version": VERSION,
    "info": INFO,
}

OTHERS: dict[str, Entry] = {
    "attach": ATTACH,
    "commit": COMMIT,
    "compose": COMPOSE,
    "cp": COPY,
    "create": CREATE,
    "diff": DIFF,
    "events": EVENTS,
    "explain": EXPLAIN,
    "export": EXPORT,
    "history": HISTORY,
    "import": IMPORT,
    "inspect": INSPECT,
    "kill": KILL,
    "load": LOAD,
    "logs": LOGS,
    "pause": PAUSE,
    "port": PORT,
    "rename": RENAME,
    "restart": RESTART,
    "rm": RM,
    "rmi": RMI,
    "save": SAVE,
    "start": START,
    "stats": STATS,
    "stop": STOP,
    "tag": TAG,
    "top": TOP,
    "unpause": UNPAUSE,
    "update": UPDATE,
    "wait": WAIT,
}

# Not listed: what completion scripts call, and what ssh runs on a machine whose engine is wanted elsewhere.
HIDDEN: dict[str, Entry] = {
    "__complete": Entry("complete", "COMPLETE", "Answer the completion script of a shell"),
    "system dial-stdio": Entry("dial", "DIAL", "Proxy the stdio stream to the daemon connection"),
}

GROUPS: dict[str, tuple[str, dict[str, Entry]]] = {
    "builder": (
        "Manage builds",
        {
            "build": BUILD,
            "du": Entry("builder", "DU", "Show the disk usage of the build cache"),
            "prune": Entry("builder", "PRUNE", "Remove build cache"),
        },
    ),
    "completion": (
        "Generate the autocompletion script for the specified shell",
        {
            "bash": Entry("completion", "BASH", "Generate the autocompletion script for bash"),
            "fish": Entry("completion", "FISH", "Generate the autocompletion script for fish"),
            "zsh": Entry("completion", "ZSH", "Generate the autocompletion script for zsh"),
        },
    ),
    "container": (
        "Manage containers",
        {
            "attach": ATTACH,
            "commit": COMMIT,
            "cp": COPY,
            "create": CREATE,
            "diff": DIFF,
            "exec": EXEC,
            "explain": EXPLAIN,
            "export": EXPORT,
            "inspect": INSPECT_CONTAINER,
            "kill": KILL,
            "logs": LOGS,
            "ls": PS,
            "pause": PAUSE,
            "port": PORT,
            "prune": Entry("prune", "PRUNE_CONTAINERS", "Remove all stopped containers"),
            "rename": RENAME,
            "restart": RESTART,
            "rm": RM,
            "run": RUN,
            "start": START,
            "stats": STATS,
            "stop": STOP,
            "top": TOP,
            "unpause": UNPAUSE,
            "update": UPDATE,
            "wait": WAIT,
        },
    ),
    "context": (
        "Manage contexts",
        {
            "create": Entry("context", "CREATE", "Create a context"),
            "inspect": Entry("context", "INSPECT", "Display detailed information on one or more contexts"),
            "ls": Entry("context", "LS", "List contexts"),
            "rm": Entry("context", "RM", "Remove one or more contexts"),
            "show": Entry("context", "SHOW", "Print the name of the current context"),
            "update": Entry("context", "UPDATE", "Update a context"),
            "use": Entry("context", "USE", "Set the current context"),
        },
    ),
    "image": (
        "Manage images",
        {
            "build": BUILD,
            "history": HISTORY,
            "import": IMPORT,
            "inspect": INSPECT_IMAGE,
            "layers": Entry("image_layers", "LAYERS", "Show what each layer of an image adds, changes and removes"),
            "load": LOAD,
            "ls": IMAGES,
            "prune": Entry("prune", "PRUNE_IMAGES", "Remove unused images"),
            "pull": PULL,
            "push": PUSH,
            "rm": RMI,
            "save": SAVE,
            "tag": TAG,
        },
    ),
    "manifest": (
        "Manage Docker image manifests and manifest lists",
        {"inspect": Entry("manifest", "INSPECT", "Display an image manifest, or manifest list")},
    ),
    "network": (
        "Manage networks",
        {
            "connect": Entry("network", "CONNECT", "Connect a container to a network"),
            "create": Entry("network_create", "CREATE", "Create a network"),
            "disconnect": Entry("network", "DISCONNECT", "Disconnect a container from a network"),
            "inspect": Entry("inspect", "INSPECT_NETWORK", "Display detailed information on one or more networks"),
            "ls": Entry("network", "LS", "List networks"),
            "map": Entry("network_map", "MAP", "Draw networks, their containers, addresses and published ports"),
            "prune": Entry("prune", "PRUNE_NETWORKS", "Remove all unused networks"),
            "rm": Entry("network", "RM", "Remove one or more networks"),
        },
    ),
    "system": (
        "Manage Cais",
        {
            "df": Entry("df", "DF", "Show cais disk usage"),
            "events": EVENTS,
            "info": INFO,
            "prune": Entry("prune", "PRUNE_ALL", "Remove unused data"),
        },
    ),
    "volume": (
        "Manage volumes",
        {
            "clone": Entry("volume_backup", "CLONE", "Make a volume with the content of another one"),
            "create": Entry("volumes", "CREATE", "Create a volume"),
            "export": Entry("volume_backup", "EXPORT", "Write the content of a volume to a tar archive"),
            "import": Entry("volume_backup", "IMPORT", "Make a volume of a tar archive"),
            "inspect": Entry("inspect", "INSPECT_VOLUME", "Display detailed information on one or more volumes"),
            "ls": Entry("volumes", "LIST", "List volumes"),
            "prune": Entry("prune", "PRUNE_VOLUMES", "Remove unused local volumes"),
            "rm": Entry("volumes", "REMOVE", "Remove one or more volumes"),
        },
    ),
}

# Other names of the commands of a group.
SYNONYMS: dict[str, dict[str, str]] = {
    "container": {"list": "ls", "ps": "ls", "remove": "rm"},
    "context": {"list": "ls", "remove": "rm"},
    "image": {"list": "ls", "remove": "rm"},
    "volume": {"list": "ls", "remove": "rm"},
    "network": {"list": "ls", "remove": "rm"},
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
    entry = COMMON.get(first) or OTHERS.get(first) or HIDDEN.get(first)
    if entry is not None:
        return _behind(first, entry, rest)
    if first not in GROUPS:
        raise UnknownCommandError("", first, [*COMMON, *OTHERS, *GROUPS])
    commands = GROUPS[first][1]
    if not rest or rest[0].startswith("-"):
        return Found(first, None, rest)
    hidden = HIDDEN.get(f"{first} {rest[0]}")
    if hidden is not None:
        return Found(f"{first} {rest[0]}", hidden, rest[1:])
    name = SYNONYMS.get(first, {}).get(rest[0], rest[0])
    if name not in commands:
        raise UnknownCommandError(first, rest[0], list(commands))
    return _behind(f"{first} {name}", commands[name], rest[1:])


def _behind(path: str, entry: Entry, rest: list[str]) -> Found:
    """The command itself, or the one that the next word is the verb of."""
    verb = entry.verbs.get(rest[0]) if rest else None
    return Found(path, entry, rest) if verb is None else Found(f"{path} {rest[0]}", verb, rest[1:])
