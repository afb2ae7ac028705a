"""`cp`, by the real docker client and by our own command: the rules about paths are Docker's."""

import os
import stat
from pathlib import Path

import pytest

from tests.harness.engine import Engine

_PREPARE = """
mkdir -p /w/d/sub && echo x >/w/d/x && echo y >/w/d/sub/y && ln -s d /w/dl && ln -s /w/d/x /w/xl && chown 7:8 /w/d/x
touch /ready; sleep 100"""


@pytest.fixture
def here(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with things to copy, beside a container "box" that has some too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src/dir/sub").mkdir(parents=True)
    (tmp_path / "src/dir/a").write_text("a")
    (tmp_path / "src/dir/sub/b").write_text("b")
    (tmp_path / "src/link").symlink_to("dir/a")
    (tmp_path / "src/dlink").symlink_to("dir")
    (tmp_path / "f").write_text("file")
    os.chown(tmp_path / "f", 1000, 1001)
    (tmp_path / "f").chmod(0o640)
    engine.docker_output("run", "-d", "--name", "box", "--user", "0", "busybox", "sh", "-c", _PREPARE)
    engine.docker_output("exec", "box", "sh", "-c", "while ! [ -e /ready ]; do :; done; mkdir /t")
    return tmp_path


def _tree(engine: Engine, folder: str) -> str:
    """What is below a folder of the container: names, "/" after those of folders, and where links lead."""
    script = f"""cd {folder}; find . -mindepth 1 | sort | while read f; do
        if [ -L $f ]; then echo "$f>$(readlink $f)"; elif [ -d $f ]; then echo $f/; else echo $f; fi; done"""
    return " ".join(name.removeprefix("./") for name in engine.docker_output("exec", "box", "sh", "-c", script).split())


def _local_tree(folder: Path) -> str:
    names = []
    for path in sorted(folder.rglob("*")):
        end = f">{os.readlink(path)}" if path.is_symlink() else "/" if path.is_dir() else ""
        names.append(f"{path.relative_to(folder)}{end}")
    return " ".join(names)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["f", "box:/t"], "f"),
        (["f", "box:/t/"], "f"),
        (["f", "box:/t/g"], "g"),
        (["f", "box:t/g"], "g"),
        (["src/dir", "box:/t"], "dir/ dir/a dir/sub/ dir/sub/b"),
        (["src/dir", "box:/t/new"], "new/ new/a new/sub/ new/sub/b"),
        (["src/dir/", "box:/t/new/"], "new/ new/a new/sub/ new/sub/b"),
        (["src/dir/.", "box:/t"], "a sub/ sub/b"),
        (["src/dir/.", "box:/t/new"], "new/ new/a new/sub/ new/sub/b"),
        (["src/link", "box:/t"], "link>dir/a"),
        (["-L", "src/link", "box:/t"], "link"),
        (["src/dlink", "box:/t"], "dlink>dir"),
        (["src/dlink/", "box:/t"], "dlink/ dlink/a dlink/sub/ dlink/sub/b"),
        (["-L", "src/dlink", "box:/t"], "dlink/ dlink/a dlink/sub/ dlink/sub/b"),
        (["src/dlink/.", "box:/t"], "a sub/ sub/b"),
    ],
)
def test_copying_in(engine: Engine, here: Path, arguments: list[str], found: str) -> None:
    engine.docker_output("cp", *arguments)
    assert _tree(engine, "/t") == found


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["box:/w/d/x", "o"], "x"),
        (["box:/w/d/x", "o/g"], "g"),
        (["box:/w/d", "o"], "d/ d/sub/ d/sub/y d/x"),
        (["box:/w/d", "o/new"], "new/ new/sub/ new/sub/y new/x"),
        (["box:/w/d/", "o/new/"], "new/ new/sub/ new/sub/y new/x"),
        (["box:/w/d/.", "o"], "sub/ sub/y x"),
        (["box:/w/d/.", "o/new"], "new/ new/sub/ new/sub/y new/x"),
        (["box:/w/dl", "o"], "dl>d"),
        (["box:/w/dl/", "o"], "dl/ dl/sub/ dl/sub/y dl/x"),
        (["-L", "box:/w/dl", "o"], "dl/ dl/sub/ dl/sub/y dl/x"),
        (["box:/w/xl", "o"], "xl>/w/d/x"),
        (["-L", "box:/w/xl", "o"], "xl"),
        (["-L", "box:/w/xl", "o/g"], "g"),
        (["box:w/d/x", "o"], "x"),
    ],
)
def test_copying_out(engine: Engine, here: Path, arguments: list[str], found: str) -> None:
    (here / "o").mkdir()
    engine.docker_output("cp", *arguments)
    assert _local_tree(here / "o") == found


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["box:/nope", "."], "Error response from daemon: Could not find the file /nope in container box"),
        (["none:/x", "."], "Error response from daemon: No such container: none"),
        (["f", "none:/x"], "Error response from daemon: No such container: none"),
        (["f", "box:/nodir/x"], "Error response from daemon: Could not find the file /nodir in container box"),
        (["f", "box:/nodir/"], "no such directory"),
        (["f", "box:/etc/passwd/"], "no such directory"),
        (["f", "box:"], "no such directory"),
        (["src", "box:/etc/passwd"], "cannot copy directory"),
        (["-", "box:/etc/passwd"], 'destination "box:/etc/passwd" must be a directory'),
        (["box:/etc", "f"], "cannot copy directory"),
        (["box:/etc/passwd", "nodir/"], "no such directory"),
        (["box:/etc/passwd", "nodir/x"], 'invalid output path: directory "{here}/nodir" does not exist'),
        (["box:/etc/passwd", "f/"], "stat {here}/f/: not a directory"),
        (["box:", "d"], "Error response from daemon: bad parameter: pathcannot be empty"),
        (["box:/x", "box:/y"], "copying between containers is not supported"),
        (["f", "g"], "must specify at least one container source"),
        (["", "box:/x"], "source can not be empty"),
        (["f", ""], "destination can not be empty"),
        (["nofile", "box:/"], "lstat {here}/nofile: no such file or directory"),
        (
            ["box:/etc/passwd", "/dev/null"],
            'invalid output path: "/dev/null" must be a directory or a regular file: got a device',
        ),
        (
            ["src/dir/.", "box:/w/d"],
            'Error response from daemon: cannot overwrite directory "/w/d/sub" with non-directory "/w/d"',
        ),
        (["box:/w", "o"], 'cannot overwrite non-directory "{here}/o/w/d" with directory "{here}/o"'),
    ],
)
def test_what_cannot_be_copied(engine: Engine, here: Path, arguments: list[str], error: str) -> None:
    (here / "o/w").mkdir(parents=True)
    (here / "o/w/d").write_text("a file")
    if arguments[0] == "src/dir/.":
        (here / "src/dir/sub/b").unlink()
        (here / "src/dir/sub").rmdir()
        (here / "src/dir/sub").write_text("a file")
    done = engine.docker("cp", *arguments)
    # the docker client remarks in its log that it could not send an archive to its end
    said = [line for line in done.stderr.splitlines() if not line.startswith("time=")]
    assert (done.returncode, said) == (1, [error.format(here=here)])


def test_owners_modes_and_sparse_files(engine: Engine, here: Path) -> None:
    with open(here / "sparse", "wb") as file:
        file.truncate(64 << 20)
    engine.docker_output("cp", "f", "box:/t")
    engine.docker_output("cp", "sparse", "box:/t")
    shown = engine.docker_output(
        "exec", "box", "sh", "-c", "stat -c '%u:%g %a' /t/f; du -k /t/sparse; stat -c %s /t/sparse"
    )
    owner, mode, used_kib, _, size = shown.split()
    assert (owner, mode, size) == ("1000:1001", "640", str(64 << 20))
    assert int(used_kib) < 512
    engine.docker_output("cp", "box:/t", "o")
    copied = os.stat(here / "o/f")
    assert (copied.st_uid, stat.S_IMODE(copied.st_mode)) == (0, 0o640)
    if engine.client == "cais":  # the docker client writes the zeros
        assert os.stat(here / "o/sparse").st_blocks < 1024


def test_archive_mode_gives_everything_to_the_container_s_user(engine: Engine, here: Path) -> None:
    engine.docker_output("run", "-d", "--name", "nobody", "--user", "nobody", "busybox", "sleep", "100")
    engine.docker_output("cp", "-a", "f", "nobody:/tmp/f")
    assert engine.docker_output("exec", "nobody", "stat", "-c", "%u:%g", "/tmp/f") == "65534:65534"


def test_archives_at_the_standard_streams(engine: Engine, here: Path) -> None:
    client = engine.docker_start("cp", "box:/w/d", "-")
    archive, _ = client.communicate(timeout=30)
    (here / "archive.tar").write_bytes(archive)
    with open(here / "archive.tar", "rb") as file:
        client = engine.docker_start("cp", "-", "box:/t", stdin=file.fileno())
        assert client.wait(30) == 0
    assert _tree(engine, "/t") == "d/ d/sub/ d/sub/y d/x"
    assert engine.docker_output("exec", "box", "stat", "-c", "%u:%g", "/t/d/x") == "7:8"


def test_mounts_of_a_container_that_does_not_run(engine: Engine, here: Path) -> None:
    (here / "data").mkdir()
    (here / "data/inside").write_text("volume")
    engine.docker_output(
        "create", "--name", "still", "-v", f"{here}/data:/deep/er", "-v", f"{here}/src:/ro:ro", "busybox"
    )
    engine.docker_output("cp", "still:/deep", "o")
    assert _local_tree(here / "o") == "er/ er/inside"
    engine.docker_output("cp", "f", "still:/deep/er")
    assert (here / "data/f").read_text() == "file"
    done = engine.docker("cp", "f", "still:/ro")
    assert done.stderr.strip() == "Error response from daemon: mounted volume is marked read-only"
    engine.docker_output("cp", "f", "still:/bin/f")
    assert "A /bin/f" in engine.docker_output("diff", "still").splitlines()


def test_what_is_copied_is_told_at_a_terminal_only(engine: Engine, here: Path) -> None:
    done = engine.docker("cp", "f", "box:/t")
    assert (done.stdout, done.stderr) == ("", "")
    terminal = engine.docker_terminal("cp", "f", "box:/t/g")
    terminal.expect("Successfully copied 2.05kB to box:/t/g")
    assert terminal.wait() == 0
    if engine.client == "cais":  # the docker client means to, and never does
        terminal = engine.docker_terminal("cp", "f", "box:/t/g")
        terminal.expect("Preparing to copy...")
        terminal.expect("Copying to container - 2.05kB")
        assert terminal.wait() == 0
    terminal = engine.docker_terminal("cp", "-q", "f", "box:/t/h")
    assert terminal.wait() == 0
