"""What builds take from elsewhere, on loopback: networks of commands, addresses, repositories, contexts."""

import hashlib
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.harness.archives import Archive
from tests.harness.build import build, build_archive, context, look
from tests.harness.engine import Daemon


@pytest.fixture
def daemon(build_daemon: Daemon) -> Daemon:
    return build_daemon


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a web server on loopback, and the folder that it serves."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", folder
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def repository(served: tuple[str, Path], tmp_path: Path) -> str:
    """The address of a git repository that a plain web server serves."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    work = tmp_path / "work"

    def git(*arguments: str) -> None:
        identity = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        subprocess.run(["git", *arguments], cwd=work, check=True, capture_output=True, env=os.environ | identity)

    (work / "sub").mkdir(parents=True)
    (work / "Dockerfile").write_text("FROM busybox\nCOPY . /r/\n")
    (work / "sub" / "Dockerfile").write_text("FROM busybox\nCOPY f /f\n")
    (work / "sub" / "f").write_text("first")
    (work / "out").symlink_to("/etc")
    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-qm", "one")
    git("tag", "v1")
    (work / "sub" / "f").write_text("second")
    git("commit", "-qam", "two")
    git("clone", "-q", "--bare", str(work), str(served[1] / "r.git"))
    subprocess.run(["git", "update-server-info"], cwd=served[1] / "r.git", check=True)
    return f"{served[0]}/r.git"


def test_commands_have_the_network_of_the_build(daemon: Daemon) -> None:
    ping = "RUN ip -o -4 addr show eth0 | wc -l; ping -c1 -w5 $(ip route | awk '/default/{print $3}') > /dev/null\n"
    assert not build(daemon, "FROM busybox\n" + ping).error
    assert build(daemon, "FROM busybox\n" + ping, networkmode="none").error
    daemon.docker_output("network", "create", "build-net")
    try:
        daemon.docker_output("run", "-d", "--name", "peer", "--network", "build-net", "busybox", "sleep", "1000")
        made = build(
            daemon, "FROM busybox\nRUN ping -c1 -w5 peer > /dev/null && echo reached\n", networkmode="build-net"
        )
        assert "reached\n" in made.text, made.error
        joined = build(daemon, "FROM busybox\nRUN hostname -i; ip -o -4 addr show eth0\n", networkmode="container:peer")
        address = daemon.inspect("peer")["NetworkSettings"]["Networks"]["build-net"]["IPAddress"].text
        assert address in joined.text
        daemon.remove_containers()
        members = daemon.ask("GET", "/networks/build-net").json["Containers"]
        assert members.value == {}
    finally:
        daemon.remove_containers()
        daemon.docker_output("network", "rm", "build-net")
    assert "not found" in build(daemon, "FROM busybox\nRUN true", networkmode="absent-net").error


def test_files_are_added_by_their_address(daemon: Daemon, served: tuple[str, Path]) -> None:
    address, folder = served
    (folder / "f.txt").write_text("fetched")
    os.utime(folder / "f.txt", (1_000_000_000, 1_000_000_000))
    (folder / "a.tar").write_bytes(Archive().add("inner", b"in").data)
    digest = hashlib.sha256(b"fetched").hexdigest()
    text = (
        f"FROM busybox\nADD {address}/f.txt /d/\nADD --chmod=755 --checksum=sha256:{digest} {address}/f.txt /named\n"
        f"ADD {address}/a.tar /packed/\nADD --unpack=true {address}/a.tar /unpacked/\n"
    )
    made = build(daemon, text)
    assert look(daemon, made.image, "cat /d/f.txt /named /unpacked/inner; stat -c '%a %Y' /d/f.txt; ls /packed") == (
        "fetchedfetchedin600 1000000000\na.tar"
    )
    assert build(daemon, text).cached == 4
    (folder / "f.txt").write_text("changed")
    assert "digest mismatch" in build(daemon, text).error
    for line, error in (
        (f"ADD {address}/absent /x", "status 404"),
        (f"ADD {address}/ /x", "cannot determine filename"),
        ("ADD http://127.0.0.1:1/x /x", "failed to GET"),
        (f"ADD --checksum=md5:00 {address}/f.txt /x", "unsupported digest algorithm"),
        (f"ADD --checksum=sha256:00 {address}/f.txt /x", "invalid checksum digest length"),
        (f"ADD --checksum={'0' * 64} {address}/f.txt /x", "invalid checksum digest format"),
        (f"ADD --checksum=sha512:{'0' * 128} {address}/f.txt /x", "digest mismatch sha512:"),
        (f"ADD --checksum=sha256:{'0' * 64} f.txt /x", "checksum requires HTTP(S) sources"),
    ):
        assert error in build(daemon, f"FROM busybox\n{line}").error, line


def test_repositories_are_added_and_built(daemon: Daemon, repository: str) -> None:
    made = build(
        daemon,
        f"FROM busybox\nADD {repository} /r\nADD {repository}#v1:sub /s\nADD --keep-git-dir=true {repository} /k\n",
    )
    script = "cat /r/sub/f /s/f; ls -a /r | grep -c git; ls -d /k/.git; readlink /r/out"
    assert look(daemon, made.image, script) == "secondfirst0\n/k/.git\n/etc"
    built = build_archive(daemon, b"", remote=repository)
    assert look(daemon, built.image, "cat /r/sub/f") == "second"
    below = build_archive(daemon, b"", remote=f"{repository}#v1:sub")
    assert look(daemon, below.image, "cat /f") == "first"
    for fragment, error in (
        (":out", "is no folder"),
        (":absent", "is no folder"),
        ("absent", "git"),
        ("--x", "invalid"),
    ):
        assert error in build_archive(daemon, b"", remote=f"{repository}#{fragment}").error, fragment


def test_git_runs_nothing_and_reads_nothing_of_the_host(daemon: Daemon, tmp_path: Path) -> None:
    """CVE-2018-11235 and its like: an address is no option, no file of the host and no command."""
    mark = tmp_path / "ran"
    for address in (
        f"ext::sh -c touch% {mark}.git", f"git@-oProxyCommand=touch {mark}:x.git", f"--upload-pack=touch {mark} x.git",
        f"file://{tmp_path}/x.git", f"ssh://-oProxyCommand=touch%20{mark}/x.git",
    ):  # fmt: skip
        assert build_archive(daemon, b"", remote=address).error
        assert build(daemon, f'FROM busybox\nADD ["{address}", "/x"]').error
    assert not mark.exists()


def test_contexts_by_their_address(daemon: Daemon, served: tuple[str, Path]) -> None:
    address, folder = served
    (folder / "ctx.tar").write_bytes(context("FROM busybox\nCOPY f /f", {"f": "from afar"}))
    (folder / "Alone").write_text("FROM busybox\nRUN echo alone > /f\n")
    for name, expected in (("ctx.tar", "from afar"), ("Alone", "alone")):
        made = build_archive(daemon, b"", remote=f"{address}/{name}")
        assert look(daemon, made.image, "cat /f") == expected
    assert "status 404" in build_archive(daemon, b"", remote=f"{address}/absent").error
    assert "only http" in build_archive(daemon, b"", remote="/etc").error
