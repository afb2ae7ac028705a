"""The names of the library: light to import, the same for a program and a type checker; and its documents' types."""

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import cais
from cais.errors import Conflict, InvalidArgument
from cais.library.model import Result
from tests.harness.library import examples
from tests.unit.test_cli_imports import HEAVY


def _in_a_process_of_its_own(program: str) -> str:
    source = str(Path(cais.__file__).parent.parent)
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {source!r}); {program}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_to_import_the_package_loads_nothing_else() -> None:
    loaded = _in_a_process_of_its_own("before = set(sys.modules); import cais; print(*set(sys.modules) - before)")
    assert loaded.split() == ["cais"]


def test_to_name_the_engine_loads_no_server() -> None:
    loaded = set(_in_a_process_of_its_own("import cais; cais.Engine; cais.run; print(*sys.modules)").split())
    assert not loaded & {"aiohttp", "msgspec", "sqlite3", "cais.api.server", "cais.engine.engine", "cais.daemon.serve"}
    assert loaded & HEAVY  # asyncio, which the library is for


def test_a_type_checker_sees_the_names_that_a_program_gets() -> None:
    tree = ast.parse(Path(cais.__file__).read_text("utf-8"))
    (choice,) = [node for node in tree.body if isinstance(node, ast.If)]
    homes = {
        alias.name: node.module for node in choice.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert homes == cais._HOMES  # type: ignore[attr-defined]
    for name, home in homes.items():
        assert getattr(cais, name).__module__ == home
        assert name in dir(cais)
    with pytest.raises(AttributeError, match="module 'cais' has no attribute 'absent'"):
        cais.absent  # type: ignore[attr-defined]  # noqa: B018


def test_the_examples_have_the_types_that_they_show(tmp_path: Path) -> None:
    found = [*examples("docs/library.md"), *examples("README.md")]
    assert len(found) >= 8
    files = []
    for number, example in enumerate(found):
        files.append(tmp_path / f"example_{number}.py")
        cell = f"async def cell() -> None:\n{textwrap.indent(example.program, '    ')}"
        files[-1].write_text(cell if example.waits_at_the_top else example.program)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), *map(str, files)]
    source = str(Path(cais.__file__).parent.parent)
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=tmp_path, env={"MYPYPATH": source}
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_errors_say_what_happened() -> None:
    failed = cais.CommandFailed("container x", Result(3, b"", b"first\nlast\n"))
    assert str(failed) == "container x ended with exit code 3: last"
    assert str(cais.CommandFailed("container x", Result(3, b"", b""))) == "container x ended with exit code 3"
    late = cais.CommandTimeout("container x", 1.5, b"out", b"")
    assert isinstance(late, TimeoutError)
    assert isinstance(late, cais.CaisError)
    assert str(late) == "container x was ended after 1.5 s"


def test_the_folders_and_the_host_of_an_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CAIS_HOST", "CAIS_DATA_ROOT", "CAIS_EXEC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    assert cais.Engine().url == "unix:///run/cais/cais.sock"
    monkeypatch.setenv("CAIS_DATA_ROOT", "/d")
    with pytest.raises(InvalidArgument, match="set together"):
        cais.Engine()
    monkeypatch.setenv("CAIS_EXEC_ROOT", "/e")
    assert cais.Engine().url == "unix:///e/cais.sock"
    monkeypatch.setenv("CAIS_HOST", "127.0.0.1:1")
    assert cais.Engine().url == "tcp://127.0.0.1:1"
    monkeypatch.chdir(tmp_path)
    assert cais.Engine(data_root="data", exec_root="run").url == f"unix://{tmp_path}/run/cais.sock"
    for wrong, says in (
        ({"data_root": "/d"}, "given together"),
        ({"data_root": "/d", "exec_root": "/d"}, "two folders"),
        ({"host": "unix:///s", "data_root": "/d", "exec_root": "/e"}, "not by both"),
    ):
        with pytest.raises(InvalidArgument, match=says):
            cais.Engine(**wrong)


async def test_an_engine_that_is_not_open_says_so() -> None:
    engine = cais.Engine(data_root="/absent/data", exec_root="/absent/run")
    with pytest.raises(cais.Unavailable, match="is not open"):
        await engine.info()
    assert issubclass(Conflict, cais.CaisError)
