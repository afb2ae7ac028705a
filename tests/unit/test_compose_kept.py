"""What is kept of Compose files: by their content alone, and never at the price of an error."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import cais
from cais.compose import documents
from cais.compose.errors import FileError
from cais.compose.kept import MOST_BYTES, MOST_ENTRIES, Kept, folder_of
from cais.compose.model import Project
from cais.compose.project import Sources, Workspace

KEY = "a" * 64
PLAIN = """\
version: "3"
services:
  web:
    image: busybox
    command: sleep 1000
    ports: ["8080:80"]
    mem_limit: 64m
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which something may be kept; it does not exist yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/cais/compose"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def read(place: Path, text: str = "", **variables: str) -> tuple[Project, list[str]]:
    """The project of a folder, with the file as given, and the warnings."""
    if text:
        (place / "compose.yaml").write_text(text)
    warnings: list[str] = []
    return Workspace(Sources(directory=str(place)), variables, warnings.append).read(), warnings


def services(place: Path, text: str = "", **variables: str) -> object:
    return read(place, text, **variables)[0].services


def test_what_is_kept_reads_like_the_file(cache: Path, place: Path) -> None:
    first, first_warnings = read(place, PLAIN)
    (entry,) = cache.iterdir()
    written = entry.stat().st_mtime_ns
    again, warnings = read(place)
    assert again.services == first.services
    assert list(again.services["web"]) == list(first.services["web"])
    assert warnings == first_warnings
    assert "the attribute `version` is obsolete" in warnings[0]
    assert again.where(("services", "web", "ports")) == f"{place}/compose.yaml:6: "
    assert entry.stat().st_mtime_ns == written


def test_an_entry_and_its_folder_are_the_user_s_alone(cache: Path, place: Path) -> None:
    read(place, PLAIN)
    (entry,) = cache.iterdir()
    assert entry.stat().st_mode & 0o777 == 0o600
    assert cache.stat().st_mode & 0o777 == 0o700


def test_yaml_is_not_loaded_for_what_is_kept(cache: Path, place: Path) -> None:
    read(place, PLAIN)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from cais.compose.project import Sources, Workspace\n"
        "sys.path.append(sys.argv[3])\n"
        "Workspace(Sources(directory=sys.argv[2]), {}, lambda text: None).read()\n"
        "print(*sys.modules)"
    )
    source = str(Path(cais.__file__).parent.parent)
    packages = next(folder for folder in sys.path if Path(folder, "yaml/__init__.py").exists())
    command = [sys.executable, "-I", "-S", "-c", program, source, str(place), packages]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=dict(os.environ))
    loaded = set(done.stdout.split())
    assert loaded.isdisjoint({"yaml", "re", "cais.compose.canonical", "cais.compose.schema"})
    assert "cais.compose.normalize" in loaded


def test_another_content_with_the_same_time_and_size_is_another_project(cache: Path, place: Path) -> None:
    file = place / "compose.yaml"
    services(place, PLAIN)
    status = file.stat()
    file.write_text(PLAIN.replace("busybox", "busyboy"))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert read(place)[0].services["web"]["image"] == "busyboy"
    assert len(list(cache.iterdir())) == 2


def test_the_program_itself_is_part_of_the_key(cache: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(place, PLAIN)
    monkeypatch.setattr(documents, "_source_of", lambda module: b"changed " + module.encode())
    read(place)
    assert len(list(cache.iterdir())) == 2


def test_variables_are_never_kept(cache: Path, place: Path) -> None:
    text = 'services: {a: {image: "busybox:${TAG:-latest}", environment: {SECRET: "\\x24SECRET", OTHER: $OTHER}}}'
    assert read(place, text, TAG="1", SECRET="tell-nobody", OTHER="x")[0].services["a"]["image"] == "busybox:1"
    project, warnings = read(place, TAG="2", SECRET="other")
    assert project.services["a"]["image"] == "busybox:2"
    assert project.services["a"]["environment"] == {"SECRET": "other", "OTHER": ""}
    assert warnings == ['The "OTHER" variable is not set. Defaulting to a blank string.']
    (place / ".env").write_text("TAG=3\nSECRET=x\nOTHER=y")
    assert read(place)[0].services["a"]["image"] == "busybox:3"
    (entry,) = cache.iterdir()
    assert b"tell-nobody" not in entry.read_bytes()


def test_other_files_count_as_they_are_now(cache: Path, place: Path) -> None:
    (place / "web.env").write_text("WHO=first")
    text = "services: {web: {image: busybox, env_file: web.env, profiles: [more]}, always: {image: busybox}}"
    assert list(read(place, text)[0].services) == ["always"]
    assert read(place, COMPOSE_PROFILES="more")[0].services["web"]["environment"] == {"WHO": "first"}
    (place / "web.env").write_text("WHO=other")
    assert read(place, COMPOSE_PROFILES="more")[0].services["web"]["environment"] == {"WHO": "other"}
    (place / "compose.override.yaml").write_text("services: {always: {image: debian}}")
    assert read(place)[0].services["always"]["image"] == "debian"
    (place / "compose.override.yaml").unlink()
    assert read(place)[0].services["always"]["image"] == "busybox"


def test_resets_and_several_documents_come_back(cache: Path, place: Path) -> None:
    text = (
        "services: {a: {image: busybox, ports: ['80'], dns: [1.1.1.1]}}\n"
        "---\n"
        "services: {a: {ports: !reset [], dns: !override [8.8.8.8]}}\n"
    )
    first = services(place, text)
    assert list(cache.iterdir())
    assert services(place) == first
    assert read(place)[0].services["a"]["dns"] == ["8.8.8.8"]
    assert "ports" not in read(place)[0].services["a"]


def test_a_wrong_file_is_wrong_each_time(cache: Path, place: Path) -> None:
    for _ in range(2):
        with pytest.raises(FileError, match=r"compose.yaml:3: services.a.imagee: additional property 'imagee'"):
            read(place, "services:\n  a:\n    imagee: busybox\n")
    assert not cache.exists()


def test_an_error_about_variables_names_the_line_from_what_is_kept(cache: Path, place: Path) -> None:
    text = "services:\n  a:\n    image: busybox\n    mem_limit: $LIMIT\n"
    read(place, text, LIMIT="1m")
    with pytest.raises(FileError, match=r"compose.yaml:4: "):
        read(place, LIMIT="much")


def test_what_json_cannot_say_is_not_kept(cache: Path, place: Path) -> None:
    first = read(place, "x-a: {infinite: .inf}\nservices: {a: {image: busybox}}")[0]
    assert not cache.exists()
    assert read(place)[0].extensions == first.extensions == {"x-a": {"infinite": float("inf")}}


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-5],
        lambda data: data.replace(b"busybox", b"busyboy"),
        lambda data: b"\xff\xfe" + data,
        lambda data: b"0" * 64 + b"\nnull",
    ],
    ids=["empty", "short", "changed", "binary", "foreign"],
)
def test_a_damaged_entry_is_as_if_it_were_not_there(cache: Path, place: Path, damage: object) -> None:
    assert callable(damage)
    first = services(place, PLAIN)
    (entry,) = cache.iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    assert services(place) == first
    assert entry.read_bytes() == whole


def test_an_entry_of_somebody_else_is_not_believed(tmp_path: Path) -> None:
    store = Kept(str(tmp_path / "kept"))
    store.put(KEY, ["one", "two"])
    assert store.get(KEY) == ["one", "two"]
    entry = tmp_path / "kept" / KEY
    entry.chmod(0o620)
    assert store.get(KEY) is None
    entry.chmod(0o600)
    (tmp_path / "kept").chmod(0o770)
    assert store.get(KEY) is None
    store.put("b" * 64, ["three"])
    assert [one.name for one in (tmp_path / "kept").iterdir()] == [KEY]
    (tmp_path / "kept").chmod(0o700)
    other = tmp_path / "other"
    entry.rename(other)
    entry.symlink_to(other)
    assert store.get(KEY) is None


def test_a_home_of_somebody_else_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    Kept(str(tmp_path / "kept")).put(KEY, ["one"])
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("folder", ["/proc/nowhere/kept", "/dev/null", "/dev/null/kept"])
def test_a_folder_that_cannot_be_written_is_no_hindrance(folder: str) -> None:
    store = Kept(folder)
    store.put(KEY, ["one"])
    assert store.get(KEY) is None


def test_a_project_is_read_without_a_cache_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/cache")
    first = services(place, PLAIN)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    assert services(place) == first


def test_entries_are_bounded(tmp_path: Path) -> None:
    store = Kept(str(tmp_path))
    for number in range(MOST_ENTRIES + 5):
        store.put(f"{number:064}", [str(number)])
        os.utime(tmp_path / f"{number:064}", (number, number))
    assert len(list(tmp_path.iterdir())) == MOST_ENTRIES
    assert store.get(f"{0:064}") is None
    assert store.get(f"{MOST_ENTRIES + 4:064}") == [str(MOST_ENTRIES + 4)]
    store.put(KEY, ["x" * (MOST_BYTES + 1)])
    assert store.get(KEY) is None


def test_writers_at_the_same_time_leave_a_whole_entry(tmp_path: Path) -> None:
    store = Kept(str(tmp_path / "kept"))
    texts = [f"{number}" * 50_000 for number in range(8)]
    seen: list[list[str] | None] = []

    def write(text: str) -> None:
        for _ in range(20):
            store.put(KEY, [text, text])
            seen.append(store.get(KEY))

    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 160
    assert all(found is not None and found[0] == found[1] and found[0] in texts for found in seen)
    assert [entry.name for entry in (tmp_path / "kept").iterdir()] == [KEY]


def test_where_the_folder_is() -> None:
    assert folder_of({"XDG_CACHE_HOME": "/c", "HOME": "/h"}) == "/c/cais/compose"
    assert folder_of({"XDG_CACHE_HOME": "relative", "HOME": "/h"}) == "/h/.cache/cais/compose"
    assert folder_of({"HOME": ""}) == ""
