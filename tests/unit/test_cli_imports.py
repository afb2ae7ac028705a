"""What a short command costs to load is what its user waits for."""

import subprocess
import sys
from pathlib import Path

import pytest

import cais

# Each takes longer to import than all of the command's own modules together.
HEAVY = {
    *("aiohttp", "argparse", "asyncio", "collections", "ctypes", "dataclasses", "datetime", "email", "enum"),
    *("http", "importlib", "inspect", "json", "logging", "msgspec", "pathlib", "random", "re", "rich", "selectors"),
    *("shutil", "signal", "socket", "string", "struct", "subprocess", "tempfile", "threading", "traceback", "typing"),
    *("urllib", "uuid"),
}
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
import cais.cli.main, cais.cli.connect
for name in sys.argv[2:]:
    __import__(name)
print(*sorted(set(sys.modules) - before))
"""
EVERY_RUN = ("cais.cli.run", "cais.cli.signals", "cais.cli.networks", "cais.cli.ports", "cais.cli.pull")


@pytest.mark.parametrize(
    "modules",
    [
        EVERY_RUN,
        ("cais.cli.execute",),
        ("cais.cli.ps",),
        ("cais.cli.lifecycle",),
        ("cais.cli.logs",),
        ("cais.cli.start",),
        ("cais.cli.images",),
        ("cais.cli.network",),
        ("cais.cli.registry", "cais.cli.pull", "cais.cli.credentials"),
        ("cais.cli.history",),
        ("cais.cli.transfer",),
        ("cais.cli.compose.call", "cais.cli.compose.up"),
    ],
    ids=lambda modules: modules[0],
)
def test_frequent_commands_load_nothing_heavy(modules: tuple[str, ...]) -> None:
    source = str(Path(cais.__file__).parent.parent)
    command = [sys.executable, "-I", "-S", "-c", SCRIPT, source, *modules]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded & HEAVY == set()
    assert "cais" in loaded


def test_the_daemon_s_parts_are_not_loaded() -> None:
    source = str(Path(cais.__file__).parent.parent)
    command = [sys.executable, "-I", "-S", "-c", SCRIPT, source, *EVERY_RUN]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    parts = {name.split(".")[1] for name in done.stdout.split() if name.startswith("cais.")}
    assert parts == {"cli", "client", "errors", "gotext"}
