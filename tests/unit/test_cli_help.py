"""Help, usage and suggestions."""

import pytest

from cais.cli import commands, help
from cais.cli.commands import UnknownCommandError, find
from cais.cli.flags import Flag, FlagError, switch, text_list

PS_HELP = """\
Usage:  cais ps [OPTIONS]

List containers

Aliases:
  cais container ls, cais container list, cais container ps, cais ps

Options:
  -a, --all             Show all containers (default shows just running)
  -f, --filter filter   Filter output based on conditions provided
      --format string   Format output using a custom template:
                        'table':            Print output in table format
                        with column headers (default)
                        'table TEMPLATE':   Print output in table format
                        using the given Go template
                        'json':             Print in JSON format
                        'TEMPLATE':         Print output using the given
                        Go template.
                        Refer to https://docs.docker.com/go/formatting/
                        for more information about formatting output with
                        templates
  -n, --last int        Show n last created containers (includes all
                        states) (default -1)
  -l, --latest          Show the latest created container (includes all
                        states)
      --no-trunc        Don't truncate output
  -q, --quiet           Only display container IDs
  -s, --size            Display total file sizes"""


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(help, "terminal_size", lambda _descriptor: None)


def _all() -> list[tuple[str, commands.Entry]]:
    found = list((commands.COMMON | commands.OTHERS).items())
    for group, (_, entries) in commands.GROUPS.items():
        found += [(f"{group} {name}", entry) for name, entry in entries.items()]
    return found


def test_the_help_of_a_command_is_laid_out_as_docker_s() -> None:
    entry = commands.COMMON["ps"]
    assert help.command_help("ps", entry, entry.load()) == PS_HELP


@pytest.mark.parametrize(("path", "entry"), _all(), ids=[path for path, _ in _all()])
def test_every_command_has_help_that_fits_the_terminal(path: str, entry: commands.Entry) -> None:
    text = help.command_help(path, entry, entry.load())
    assert text.startswith(f"Usage:  cais {path}")
    options = text.partition("Options:\n")[2]
    assert all(len(line) <= 84 for line in options.splitlines())


def test_a_command_has_no_two_flags_of_one_name() -> None:
    for path, entry in _all():
        flags = entry.load().flags
        names = [flag.name for flag in flags] + [flag.short for flag in flags if flag.short]
        assert len(set(names)) == len(names), path


def test_the_program_s_help_lists_every_command() -> None:
    text = help.program_help([switch("debug", "Enable debug mode", "D")])
    for name in (*commands.COMMON, *commands.OTHERS, *commands.GROUPS):
        assert f"\n  {name:<11} " in text
    assert "Global Options:\n  -D, --debug   Enable debug mode" in text


def test_a_group_s_help_lists_its_commands() -> None:
    assert "  ls          List containers" in help.group_help("container")


def test_long_texts_wrap_under_themselves() -> None:
    block = help.options_block([Flag("name", "word " * 20 + "end"), text_list("list", "short", "l")])
    assert block.splitlines() == [
        "  -l, --list list     short",
        "      --name string   word word word word word word word word word word",
        "                      word word word word word word word word word word end",
    ]


def test_a_close_name_is_suggested() -> None:
    flags = [Flag("network", ""), Flag("name", "")]
    text = help.flag_error("Usage:  cais run", "run", flags, FlagError("unknown flag: --networking", "networking"))
    assert text == (
        "unknown flag: --networking\n\nDid you mean --network?\n\nUsage:  cais run\n\n"
        "Run 'cais run --help' for more information"
    )
    text = help.flag_error("Usage:  cais run", "run", flags, FlagError("unknown flag: --zzz", "zzz"))
    assert "Did you mean" not in text


def test_an_unknown_command_gets_a_suggestion() -> None:
    with pytest.raises(UnknownCommandError) as caught:
        find(["imges"])
    assert help.unknown_command(caught.value) == (
        "cais: unknown command: cais imges\n\nDid you mean images?\n\nRun 'cais --help' for more information"
    )
    with pytest.raises(UnknownCommandError) as caught:
        find(["container", "xyz"])
    assert help.unknown_command(caught.value) == (
        "cais: unknown command: cais container xyz\n\nUsage:  cais container\n\n"
        "Run 'cais container --help' for more information"
    )


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["ps"], "ps"),
        (["container", "ps"], "container ls"),
        (["container", "list"], "container ls"),
        (["image", "remove", "x"], "image rm"),
        (["system", "info"], "system info"),
    ],
)
def test_commands_are_found_under_all_their_names(words: list[str], path: str) -> None:
    assert find(words).path == path


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("run", "cais: 'cais run' requires at least 1 argument"),
        ("exec", "cais: 'cais exec' requires at least 2 arguments"),
        ("tag", "cais: 'cais tag' requires 2 arguments"),
        ("logs", "cais: 'cais logs' requires 1 argument"),
        ("ps", "cais: 'cais ps' accepts no arguments"),
        ("images", "cais: 'cais images' requires at most 1 argument"),
    ],
)
def test_a_wrong_number_of_arguments_is_explained(path: str, text: str) -> None:
    entry = (commands.COMMON | commands.OTHERS)[path]
    lines = help.arguments_error(path, entry.load()).splitlines()
    assert lines[0] == text
    assert lines[2].startswith(f"Usage:  cais {path}")
    assert lines[4].endswith(f" 'cais {path} --help' for more information")
