"""`cais compose`: the flags of all its commands, and finding the one that is called.

The commands are in the table below; only the module of the one that is called is imported.
"""

from __future__ import annotations

from cais.cli import flags
from cais.cli.command import PROGRAM, Command, CommandError
from cais.cli.commands import Entry
from cais.cli.output import err, out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cais.cli.command import Invocation

_USAGE_STATUS = 125

COMMANDS: dict[str, Entry] = {
    "attach": Entry("compose.talk", "ATTACH", "Attach local standard input, output, and error streams to a service"),
    "build": Entry("compose.image_commands", "BUILD", "Build or rebuild services"),
    "commit": Entry("compose.files", "COMMIT", "Create a new image from a service container's changes"),
    "config": Entry("compose.config", "CONFIG", "Parse, resolve and render compose file in canonical format"),
    "cp": Entry("compose.files", "CP", "Copy files/folders between a service container and the local filesystem"),
    "create": Entry("compose.up", "CREATE", "Creates containers for a service"),
    "down": Entry("compose.down", "DOWN", "Stop and remove containers, networks"),
    "events": Entry("compose.watching", "EVENTS", "Receive real time events from containers"),
    "exec": Entry("compose.talk", "EXEC", "Execute a command in a running container"),
    "export": Entry("compose.files", "EXPORT", "Export a service container's filesystem as a tar archive"),
    "images": Entry("compose.lists", "IMAGES", "List images used by the created containers"),
    "kill": Entry("compose.down", "KILL", "Force stop service containers"),
    "logs": Entry("compose.logs", "LOGS", "View output from containers"),
    "ls": Entry("compose.lists", "LS", "List running compose projects"),
    "pause": Entry("compose.life", "PAUSE", "Pause services"),
    "port": Entry("compose.lists", "PORT", "Print the public port for a port binding"),
    "ps": Entry("compose.lists", "PS", "List containers"),
    "pull": Entry("compose.image_commands", "PULL", "Pull service images"),
    "push": Entry("compose.image_commands", "PUSH", "Push service images"),
    "restart": Entry("compose.life", "RESTART", "Restart service containers"),
    "rm": Entry("compose.down", "RM", "Removes stopped service containers"),
    "run": Entry("compose.run", "RUN", "Run a one-off command on a service"),
    "scale": Entry("compose.up", "SCALE", "Scale services"),
    "start": Entry("compose.life", "START", "Start services"),
    "stats": Entry("compose.watching", "STATS", "Display a live stream of container(s) resource usage statistics"),
    "stop": Entry("compose.down", "STOP", "Stop services"),
    "top": Entry("compose.watching", "TOP", "Display the running processes"),
    "unpause": Entry("compose.life", "UNPAUSE", "Unpause services"),
    "up": Entry("compose.up", "UP", "Create and start containers"),
    "version": Entry("compose.lists", "VERSION", "Show the Compose version information"),
    "volumes": Entry("compose.lists", "VOLUMES", "List volumes"),
    "wait": Entry("compose.life", "WAIT", "Block until containers of all (or specified) services stop."),
    "watch": Entry("compose.watch", "WATCH", "Watch build context for service and rebuild/refresh containers"),
}

_DRY_RUN = flags.switch("dry-run", "Execute command in dry run mode")
GLOBAL_FLAGS = (
    _DRY_RUN,
    flags.switch("all-resources", "Include all resources, even those not used by services"),
    flags.Flag(
        "ansi",
        'Control when to print ANSI control characters ("never"|"always"|"auto")',
        default="auto",
        default_text='(default "auto")',
    ),
    flags.switch("compatibility", "Run compose in backward compatibility mode"),
    flags.text_list("env-file", "Specify an alternate environment file", kind="stringArray"),
    flags.text_list("file", "Compose configuration files", "f", kind="stringArray"),
    flags.number("parallel", "Control max parallelism, -1 for unlimited", default=-1),
    flags.text_list("profile", "Specify a profile to enable", kind="stringArray"),
    flags.Flag("progress", "Set type of progress output (auto, tty, plain, json, quiet)"),
    flags.Flag(
        "project-directory",
        "Specify an alternate working directory\n(default: the path of the, first specified, Compose file)",
    ),
    flags.Flag("project-name", "Project name", "p"),
    flags.switch("version", "Show the Compose version information", "v"),
)


def _compose(call: Invocation) -> int:
    if call.flags.on("version"):
        return _run("version", COMMANDS["version"], [], call)
    if not call.arguments:
        out(_help())
        return 0
    name, rest = call.arguments[0], call.arguments[1:]
    if name == "help":
        return _help_about(rest)
    if name not in COMMANDS:
        from cais.cli.commands import UnknownCommandError  # noqa: PLC0415

        raise UnknownCommandError("compose", name, [*COMMANDS])
    return _run(name, COMMANDS[name], rest, call)


def _run(name: str, entry: Entry, arguments: Sequence[str], call: Invocation) -> int:
    find_packages()
    from cais.cli.compose.call import Call  # noqa: PLC0415 -- not for the help
    from cais.cli.compose.progress import kind_of  # noqa: PLC0415

    path, command = f"compose {name}", completed(entry.load())
    try:
        parsed = flags.parse(command.flags, arguments, interspersed=command.interspersed)
    except flags.HelpWanted:
        from cais.cli.help import command_help  # noqa: PLC0415

        out(command_help(path, entry, command))
        return 0
    except flags.FlagError as error:
        from cais.cli.help import flag_error, usage_line  # noqa: PLC0415

        err(flag_error(usage_line(path, command), path, command.flags, error))
        return _USAGE_STATUS
    given = len(parsed.arguments)
    if given < command.fewest or (command.most is not None and given > command.most):
        from cais.cli.help import arguments_error  # noqa: PLC0415

        raise CommandError(arguments_error(path, command))
    kind_of(call.flags.text("progress"))
    return command.run(Call(path, parsed, call))


def completed(command: Command) -> Command:
    """The command with the flag that each of them has."""
    return Command(
        command.usage,
        command.aliases,
        (*command.flags, _DRY_RUN),
        command.run,
        command.fewest,
        command.most,
        interspersed=command.interspersed,
    )


def find_packages() -> None:
    """bin/cais leaves the installed packages out, which no other command needs; these need one, for YAML."""
    import os  # noqa: PLC0415
    import sys  # noqa: PLC0415

    if "site" not in sys.modules:
        home = os.path.dirname(os.path.dirname(sys.executable))
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        sys.path.append(os.path.join(home, "lib", version, "site-packages"))


def _help_about(words: Sequence[str]) -> int:
    from cais.cli.help import command_help  # noqa: PLC0415

    if not words:
        out(_help())
        return 0
    if words[0] not in COMMANDS:
        raise CommandError(f"unknown help topic: {' '.join(words)}")
    entry = COMMANDS[words[0]]
    out(command_help(f"compose {words[0]}", entry, completed(entry.load())))
    return 0


def _help() -> str:
    from cais.cli.help import options_block, table  # noqa: PLC0415

    return "\n\n".join(
        [
            f"Usage:  {PROGRAM} compose [OPTIONS] COMMAND",
            "Define and run multi-container applications",
            "Options:\n" + options_block(GLOBAL_FLAGS),
            table("Commands", {name: entry.summary for name, entry in COMMANDS.items()}),
            f"Run '{PROGRAM} compose COMMAND --help' for more information on a command.",
        ]
    )


COMPOSE = Command("[OPTIONS] COMMAND", "", GLOBAL_FLAGS, _compose, interspersed=False)


def main() -> int:
    """The entry point of `cais-compose`: the same as `cais compose`."""
    import sys  # noqa: PLC0415

    from cais.cli.main import main as program  # noqa: PLC0415

    sys.argv[1:1] = ["compose"]
    return program()
