"""cais.local: what it offers, and the archives that it makes."""

import asyncio
import subprocess
import tarfile
from pathlib import Path

import pytest

from cais.distribution.local import LocalSource
from cais.distribution.local_busybox import is_static
from cais.distribution.local_debian import default_suite
from cais.distribution.local_hello import TEXT, hello_program
from cais.distribution.platforms import host_platform
from cais.distribution.reference import parse
from cais.errors import NotFound, Unsupported


def ignore(_: str) -> None:
    pass


@pytest.mark.parametrize(
    "name",
    ["busybox", "debian", "debian:bookworm", "debian:sid", "debian:stable", "hello-world", "hello-world:latest"],
)
def test_what_it_offers(name: str) -> None:
    LocalSource().check(parse(f"cais.local/{name}").with_default_tag())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ubuntu", "pull access denied for cais.local/ubuntu, repository does not exist"),
        ("a/busybox", "pull access denied for cais.local/a/busybox"),
        ("busybox:1.36", r"manifest for cais.local/busybox:1.36 not found: manifest unknown: .*: latest"),
        ("debian:potato", "manifest for cais.local/debian:potato not found: manifest unknown: .*bookworm"),
        ("busybox@sha256:" + "a" * 64, "not found: manifest unknown"),
    ],
)
def test_what_it_does_not_offer_is_not_found(name: str, message: str) -> None:
    with pytest.raises(NotFound, match=message):
        LocalSource().check(parse(f"cais.local/{name}").with_default_tag())


async def test_busybox_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    if not is_static(Path("/bin/busybox")):
        pytest.skip("no static busybox on this machine")
    made = []
    for name in ("one", "two"):
        work = tmp_path / name
        work.mkdir()
        made.append(await LocalSource().make(parse("cais.local/busybox:latest"), work, ignore))
    assert made[0].archive.read_bytes() == made[1].archive.read_bytes()
    assert made[0].created == made[1].created
    assert made[0].defaults.cmd == ["sh"]
    with tarfile.open(made[0].archive) as archive:
        entries = {entry.name: entry for entry in archive}
    assert entries["tmp"].mode == 0o1777
    assert entries["bin/sh"].linkname == "busybox"
    assert entries["bin/busybox"].mode == 0o755
    assert {"etc/passwd", "etc/group", "root", "usr/bin/env"} <= set(entries)
    assert {(entry.uid, entry.gid) for entry in entries.values()} == {(0, 0)}


def test_hello_world_runs_without_any_library(tmp_path: Path) -> None:
    made = asyncio.run(LocalSource().make(parse("cais.local/hello-world:latest"), tmp_path, ignore))
    assert made.defaults.cmd == ["/hello"]
    with tarfile.open(made.archive) as archive:
        entry = archive.extractfile("hello")
        assert entry is not None
        (tmp_path / "hello").write_bytes(entry.read())
    (tmp_path / "hello").chmod(0o755)
    ran = subprocess.run([tmp_path / "hello"], check=True, capture_output=True, text=True)
    assert ran.stdout == TEXT.lstrip("\n")


def test_hello_world_is_assembled_for_two_architectures() -> None:
    for architecture, machine in (("amd64", 62), ("arm64", 183)):
        program = hello_program(architecture)
        assert program[:4] == b"\x7fELF"
        assert int.from_bytes(program[18:20], "little") == machine
        assert program.endswith(TEXT.lstrip("\n").encode())
    with pytest.raises(Unsupported, match="s390x"):
        hello_program("s390x")


def test_a_static_program_is_told_from_others(tmp_path: Path) -> None:
    static = tmp_path / "static"
    static.write_bytes(hello_program("amd64" if host_platform().architecture != "arm64" else "arm64"))
    assert is_static(static)
    assert not is_static(Path("/bin/sh"))
    assert not is_static(Path("/etc/passwd"))
    assert not is_static(tmp_path)
    assert not is_static(tmp_path / "missing")


@pytest.mark.parametrize(
    ("text", "suite"),
    [
        ("ID=debian\nVERSION_CODENAME=trixie\n", "trixie"),
        ('ID="debian"\nVERSION_CODENAME="bookworm"\n', "bookworm"),
        ("ID=debian\nVERSION_CODENAME=buzz\n", "bookworm"),
        ("ID=debian\n", "bookworm"),
        ("ID=ubuntu\nVERSION_CODENAME=noble\n", "bookworm"),
        ("", "bookworm"),
    ],
)
def test_the_suite_is_that_of_this_machine_where_it_has_one(tmp_path: Path, text: str, suite: str) -> None:
    (tmp_path / "os-release").write_text(text, "utf-8")
    assert default_suite(tmp_path / "os-release") == suite
    assert default_suite(tmp_path / "missing") == "bookworm"
