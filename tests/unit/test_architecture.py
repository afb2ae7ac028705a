"""The rules of the tree that no linter checks, read off the source."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cais

PACKAGE = Path(cais.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def _imports(path: Path) -> Iterator[str]:
    """The full names of the modules and objects that a module imports, wherever in it the import stands."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{_name(path)}:{node.lineno}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _in(path: Path, *folders: str) -> bool:
    return _name(path).startswith(tuple(f"{folder}/" for folder in folders))


@pytest.mark.parametrize("path", [path for path in MODULES if _in(path, "runtime", "linux")], ids=_name)
def test_runtime_and_linux_import_the_standard_library_alone(path: Path) -> None:
    allowed = ("cais.runtime", "cais.linux", "cais.errors")
    for name in _imports(path):
        assert name.partition(".")[0] in sys.stdlib_module_names or name.startswith(allowed), name


@pytest.mark.parametrize("path", [path for path in MODULES if _in(path, "runtime", "linux")], ids=_name)
def test_runtime_and_linux_never_ask_the_c_library_for_names(path: Path) -> None:
    """pwd, grp and the resolver load libraries that are chosen by files of the root they run in."""
    for name in _imports(path):
        assert name.partition(".")[0] not in {"pwd", "grp", "getpass"}, name
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"getaddrinfo", "gethostbyname", "getpwnam", "expanduser"}, node.lineno


@pytest.mark.parametrize("path", [path for path in MODULES if not _in(path, "cli")], ids=_name)
def test_only_the_command_line_and_the_daemon_s_main_end_the_process(path: Path) -> None:
    if _name(path) == "daemon/main.py":
        return
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) != ("sys", "exit"), f"{_name(path)}:{node.lineno}"
        if isinstance(node, ast.Name):
            assert node.id not in {"SystemExit", "exit", "quit"}, f"{_name(path)}:{node.lineno}"


@pytest.mark.parametrize("path", [path for path in MODULES if path.name == "__init__.py"], ids=_name)
def test_a_package_s_init_only_re_exports(path: Path) -> None:
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)
    body = _tree(path).body
    if path.parent == PACKAGE:  # it names what it re-exports twice: for type checkers, and to be loaded when it is used
        (choice,) = [node for node in body if isinstance(node, ast.If)]
        body = [node for node in body if node is not choice] + choice.body
        lazy = [node.name for node in choice.orelse if isinstance(node, ast.FunctionDef)]
        assert lazy == ["__getattr__", "__dir__"]
    for node in body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        assert is_docstring or isinstance(node, allowed), f"{_name(path)}:{node.lineno}"


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_archives_are_never_unpacked_by_the_tarfile_module(path: Path) -> None:
    """Its filters have been bypassed; layers are unpacked by code of our own that cannot leave its root."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"extract", "extractall"}, f"{_name(path)}:{node.lineno}"


def test_the_tree_has_no_unfinished_places() -> None:
    marks = ("TODO", "FIXME", "NotImplementedError")
    found = [
        f"{_name(path)}:{number}"
        for path in MODULES
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if any(mark in line for mark in marks)
    ]
    assert not found
