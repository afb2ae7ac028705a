"""What `pip install .` gives, and that the lock files are whole, portable and in step with pyproject.toml."""

import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import cais

PROJECT = Path(__file__).resolve().parent.parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock")
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+) \\$", re.MULTILINE)


def _pins(lock: str) -> dict[str, Version]:
    text = (PROJECT / lock).read_text("utf-8")
    return {canonicalize_name(name): Version(version) for name, version in PIN.findall(text)}


def _required(extra: str | None = None) -> list[Requirement]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    listed = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    return [Requirement(line) for line in listed]


@pytest.mark.parametrize(("lock", "extra"), [(LOCKS[0], None), (LOCKS[1], None), (LOCKS[1], "dev")])
def test_a_lock_file_pins_what_the_project_requires(lock: str, extra: str | None) -> None:
    pins = _pins(lock)
    for requirement in _required(extra):
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier


def test_both_lock_files_pin_the_same_versions() -> None:
    runtime, everything = (_pins(lock) for lock in LOCKS)
    assert runtime.items() <= everything.items()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_of_a_lock_file_has_hashes(lock: str) -> None:
    text = (PROJECT / lock).read_text("utf-8")
    entries = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert all(PIN.match(line) for line in entries)
    for block in re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in block, block.splitlines()[0]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_names_no_host_and_no_path(lock: str) -> None:
    text = (PROJECT / lock).read_text("utf-8")
    assert not re.search(r"://|file:|[ =]/", text)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    subprocess.run(command, cwd=PROJECT, check=True, timeout=120)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel: Path) -> None:
    source = PROJECT / "src"
    expected = {path.relative_to(source).as_posix() for path in source.rglob("*.py")} | {"cais/py.typed"}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert expected <= names
    assert all(name.startswith("cais/") for name in names)


def test_an_installed_wheel_gives_the_command_and_the_daemon(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv")
    interpreter = tmp_path / "venv/bin/python"
    pip = [sys.executable, "-m", "pip", "--python", str(interpreter), "install", "-q", "--no-deps", str(wheel)]
    subprocess.run(pip, check=True, timeout=120)
    assert (tmp_path / "venv/bin/caisd").exists()
    # The command itself needs nothing but the standard library.
    told = subprocess.run(
        [tmp_path / "venv/bin/cais", "--version"], check=True, timeout=30, capture_output=True, text=True
    )
    assert cais.__version__ in told.stdout
