"""The command `build` against a real engine: contexts, what is kept of them, secrets, outputs, the view."""

import contextlib
import io
import json
import os
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.harness.engine import Daemon, wait_until
from tests.harness.registry import real_registry


@pytest.fixture
def cais(caisd: Daemon) -> Iterator[Daemon]:
    """The session's caisd, whose `docker…` methods run our own command; images and build cache are as before after."""
    caisd.client = "cais"
    before = _images(caisd)
    yield caisd
    caisd.client = "docker"
    caisd.remove_containers()
    for image in _images(caisd) - before:
        caisd.ask("DELETE", f"/images/{image}?force=1")
    assert caisd.ask("POST", "/build/prune?all=1").status == 200
    assert caisd.ask("GET", "/system/df").json["BuildCache"].value in (None, [])


def _images(daemon: Daemon) -> set[str]:
    return {image["Id"].text for image in daemon.ask("GET", "/images/json?all=1").json.items}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "context"
    made.mkdir()
    return made


def look(cais: Daemon, image: str, script: str) -> str:
    return cais.docker_output("run", "--rm", "--network", "none", "--entrypoint", "", image, "sh", "-c", script)


def contexts(cais: Daemon) -> list[dict[str, object]]:
    records = cais.ask("GET", "/system/df").json["BuildCache"].value
    assert isinstance(records, list)
    return [record for record in records if isinstance(record, dict) and record["Type"] == "source.local"]


def trees(cais: Daemon) -> list[Path]:
    return sorted(cais.data_root.glob("buildcontexts/*/*/tree"))


def test_a_folder_becomes_an_image(cais: Daemon, folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM busybox\nCOPY . /x\nRUN echo said\n")
    (folder / ".dockerignore").write_text("Dockerfile\nno\n!no/but\n")
    (folder / "no").mkdir()
    (folder / "no" / "but").write_text("kept")
    (folder / "no" / "gone").touch()
    (folder / "program").write_text("#!/bin/sh\n")
    os.chmod(folder / "program", 0o700)
    (folder / "link").symlink_to("program")
    os.link(folder / "program", folder / "same")
    (folder / "ü x").touch()
    done = cais.docker("build", "-t", "built:1", "--progress", "plain", str(folder))
    assert "#3 [3/3] RUN echo said\n" in done.stderr
    assert " said\n" in done.stderr
    assert look(cais, "built:1", "cd /x; find . | sort; stat -c '%a %u' program; readlink link").splitlines() == [
        *(".", "./.dockerignore", "./link", "./no", "./no/but", "./program", "./same", "./ü x"),
        *("700 0", "program"),
    ]


def test_only_what_has_changed_is_sent_again(cais: Daemon, folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM busybox\nCOPY . /x\n")
    (folder / "sub").mkdir()
    for name in ("a", "b", "sub/c"):
        (folder / name).write_text(name)
    time.sleep(0.05)  # what is changing just now would be sent again
    first = cais.docker_output("build", "-q", str(folder))
    (before,) = trees(cais)
    assert cais.docker_output("build", "-q", str(folder)) == first
    assert trees(cais) == [before]
    inodes = {name: (before / name).stat().st_ino for name in ("a", "b", "sub/c")}
    (folder / "b").write_text("changed")
    (folder / "sub" / "d").write_text("new")
    (folder / "a").unlink()
    second = cais.docker_output("build", "-q", str(folder))
    (after,) = trees(cais)
    assert after != before
    assert (after / "sub" / "c").stat().st_ino == inodes["sub/c"]
    assert look(cais, second.strip(), "cd /x; cat b sub/c sub/d; ls") == "changedsub/cnewDockerfile\nb\nsub"
    (record,) = contexts(cais)
    assert record["InUse"] is False
    os.chmod(folder / "b", 0o600)
    third = cais.docker_output("build", "-q", str(folder))
    assert look(cais, third.strip(), "stat -c %a /x/b") == "600"


def test_a_file_that_changes_within_one_tick_of_the_clock_is_noticed(cais: Daemon, folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM busybox\nCOPY a /a\n")
    for content in ("1", "2", "3", "4"):
        (folder / "a").write_text(content)
        info = (folder / "a").stat()
        os.utime(folder / "a", ns=(info.st_atime_ns, 1_000_000_000))
        image = cais.docker_output("build", "-q", str(folder)).strip()
        assert look(cais, image, "cat /a") == content


def test_two_dockerfiles_of_one_folder_keep_a_context_each(cais: Daemon, folder: Path) -> None:
    for name, content in (("one", "FROM busybox\nCOPY . /x\n"), ("two", "FROM busybox\nCOPY . /x\n"), ("a", "")):
        (folder / name).write_text(content)
    (folder / "two.dockerignore").write_text("a\n")
    images = [
        cais.docker_output("build", "-q", "-f", str(folder / name), str(folder)).strip() for name in ("one", "two")
    ]
    assert "a" in look(cais, images[0], "ls /x").split()
    assert "a" not in look(cais, images[1], "ls /x").split()
    assert len(contexts(cais)) == 2


def test_a_kept_context_that_is_gone_is_made_anew(cais: Daemon, folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM busybox\nCOPY a /a\n")
    (folder / "a").write_text("1")
    first = cais.docker_output("build", "-q", str(folder))
    assert "source.local" in cais.docker_output("builder", "du", "--verbose")
    cais.docker("builder", "prune", "-f", "--filter", "type=source.local")
    assert trees(cais) == []
    assert cais.docker_output("build", "-q", str(folder)) == first


def test_an_offer_that_lies_is_refused(cais: Daemon) -> None:
    key = "0" * 64

    def offer(*files: tuple[str, str, str]) -> tuple[int, str]:
        manifest = "".join(f"{mode}\0{size}\0001\0001\0001\0{path}\0\0" for mode, size, path in files)
        answer = cais.ask("POST", f"/cais/build/context?key={key}", manifest.encode())
        return answer.status, answer.json["Id"].text if answer.status == 200 else answer.json["message"].text

    def fill(identity: str, **members: bytes) -> tuple[int, str]:
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as archive:
            for name, content in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        answer = cais.ask("PUT", f"/cais/build/context/{identity}", data.getvalue())
        return answer.status, answer.json["Id" if answer.status == 200 else "message"].text

    assert cais.ask("POST", "/cais/build/context?key=../x", b"").status == 400
    assert cais.ask("POST", f"/cais/build/context?key={key}", b"nonsense").status == 400
    assert fill("nothing")[0] == 404
    for path in ("../../outside", "/etc/passwd", "a/../../b", "..", "a/", ""):
        status, identity = offer(("100644", "1", path))
        assert status == 400 or fill(identity, x=b"1")[0] == 400
    assert fill(offer(("100644", "5", "a"))[1], a=b"1") == (400, "the context lacks the file 'a'")
    assert fill(offer(("100644", "1", "a"))[1], a=b"1")[0] == 200
    # What the newest one has is linked from there alone, and only with what was said of it then.
    status, identity = offer(("100644", "1", "a"), ("100644", "1", "link/shadow"))
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(link)
    assert cais.ask("PUT", f"/cais/build/context/{identity}", data.getvalue()).status == 400
    assert len(trees(cais)) == 1


def test_secrets_reach_commands_and_nothing_else(cais: Daemon, folder: Path, tmp_path: Path) -> None:
    (folder / "Dockerfile").write_text(
        "FROM busybox\n"
        "RUN --mount=type=secret,id=one [ $(cat /run/secrets/one) = hu''sh-file ]\n"
        "RUN --mount=type=secret,id=TWO,env=X [ $X = hu''sh-variable ]\n"
    )
    (tmp_path / "secret").write_text("hush-file")
    words = ["--secret", f"id=one,src={tmp_path}/secret", "--secret", "id=TWO", str(folder)]
    done = cais.docker("build", "-q", *words, environment={"TWO": "hush-variable"})
    image = done.stdout.strip()
    assert done.returncode == 0, done.stderr
    assert "hush-" not in json.dumps(cais.ask("GET", f"/images/{image}/json").json.value)
    assert "hush-" not in cais.docker_output("history", "--no-trunc", image)
    failed = cais.docker("build", "--secret", "id=x,src=/nope", str(folder))
    assert failed.stderr == "failed to stat /nope: stat /nope: no such file or directory\n"


def test_an_agent_is_forwarded(cais: Daemon, folder: Path, tmp_path: Path) -> None:
    (folder / "Dockerfile").write_text("FROM busybox\nRUN --mount=type=ssh,required [ -S $SSH_AUTH_SOCK ]\n")
    agent = tmp_path / "agent"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(agent))
        assert cais.docker("build", "-q", "--ssh", f"default={agent}", str(folder)).returncode == 0
    refused = cais.docker("build", "--ssh", f"default={folder}/Dockerfile", str(folder))
    assert "is no agent's socket" in refused.stderr
    missing = cais.docker("build", "--no-cache", str(folder))
    assert 'no SSH key "default" forwarded from the client' in missing.stderr


def test_contexts_have_names(cais: Daemon, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("named")
    (folder / "Dockerfile").write_text("FROM base\nCOPY --from=other file /\n")
    words = ["--build-context", f"other={tmp_path}/other", "--build-context", "base=docker-image://busybox"]
    image = cais.docker_output("build", "-q", *words, str(folder)).strip()
    assert look(cais, image, "cat /file") == "named"
    refused = cais.docker("build", "--build-context", "x=oci-layout://y", str(folder))
    assert "a folder, a git repository or docker-image:// is supported" in refused.stderr


def test_stages_may_be_left_out_of_the_cache(cais: Daemon, folder: Path) -> None:
    (folder / "Dockerfile").write_text(
        "FROM busybox AS one\nRUN cat /proc/sys/kernel/random/uuid > /x\nFROM busybox\nCOPY --from=one /x /x\n"
    )
    first, again = (cais.docker_output("build", "-q", str(folder)) for _ in range(2))
    fresh = cais.docker_output("build", "-q", "--no-cache-filter", "one", str(folder))
    assert first == again != fresh


CACHED = "FROM busybox AS one\nRUN echo 1 > /x\nFROM busybox\nCOPY --from=one /x /x\nRUN cat /proc/uptime > /y\n"


def test_a_cache_goes_to_a_folder_and_comes_back(cais: Daemon, folder: Path, tmp_path: Path) -> None:
    (folder / "Dockerfile").write_text(CACHED)
    place = tmp_path / "cache"
    first = cais.docker_output("build", "-q", "--cache-to", f"type=local,dest={place},mode=max", str(folder))
    images = cais.docker_output("images", "-aq")
    cais.docker_output("rmi", first)
    cais.docker_output("builder", "prune", "-af")
    done = cais.docker("build", "-t", "again:1", "--cache-from", f"type=local,src={place}", str(folder))
    assert done.stderr.count("CACHED\n") == 5, done.stderr
    assert cais.docker_output("images", "-q", "--no-trunc", "again:1") == first
    assert cais.docker_output("images", "-aq").split().sort() == images.split().sort()
    cais.docker_output("rmi", "again:1")
    cais.docker_output("builder", "prune", "-af")
    # Nobody has asked for that cache now.
    assert cais.docker_output("build", "-q", str(folder)) != first


def test_a_cache_goes_to_a_registry_and_comes_back(cais: Daemon, folder: Path) -> None:
    (folder / "Dockerfile").write_text(CACHED)
    with real_registry() as registry:
        place = f"type=registry,ref={registry.name}/cache:a"
        first = cais.docker_output("build", "-q", "--cache-to", f"{place},mode=max", str(folder))
        cais.docker_output("rmi", first)
        cais.docker_output("builder", "prune", "-af")
        assert cais.docker_output("build", "-q", "--cache-from", place, str(folder)) == first
        assert registry.name not in cais.docker_output("images")
        missing = cais.docker("build", "-q", "--cache-from", f"{registry.name}/none", str(folder))
        assert missing.returncode == 0
        assert f"WARNING: no cache from {registry.name}/none" in missing.stderr
    refused = cais.docker("build", "--cache-to", "type=gha", str(folder))
    assert refused.stderr == "--cache-to type=gha: the type 'gha' is not supported: there are registry, local\n"


SQUASHED = """FROM busybox AS base
RUN mkdir -p /d/sub /e /f && touch /d/one /d/sub/two /e/three /gone && echo old > /f/file && ln -s /d /link
FROM base
RUN rm /gone /d/one && rm -r /e && mkdir /e && touch /e/new && echo new > /f/file && chmod 700 /d
RUN rm -r /d/sub && echo file > /d/sub && rm /link && mkdir /link && touch /link/x && rm -r /f && touch /late
RUN mkdir /f && chown 5:6 /f && touch /f/other && rm /late /e/new && touch /e/newer && chmod 750 /root
"""


def test_layers_are_squashed_into_one_that_has_the_same_files(cais: Daemon, folder: Path) -> None:
    (folder / "Dockerfile").write_text(SQUASHED)
    plain = cais.docker_output("build", "-q", str(folder))
    squashed = cais.docker_output("build", "-q", "--squash", str(folder))
    assert squashed != plain
    assert cais.docker_output("build", "-q", "--squash", str(folder)) == squashed

    def layers(image: str) -> list[object]:
        found = cais.ask("GET", f"/images/{image}/json").json["RootFS"]["Layers"].value
        assert isinstance(found, list)
        return found

    assert len(layers(plain)) == len(layers(squashed)) + 2
    assert layers(plain)[:-3] == layers(squashed)[:-1]
    script = "find / -xdev -not -path '/proc/*' -not -path '/dev/*' -exec stat -c '%n %F %a %u:%g %s %N' {} +"
    assert look(cais, squashed, f"{script} | sort") == look(cais, plain, f"{script} | sort")
    history = cais.docker_output("history", "--no-trunc", "--format", "{{.Comment}}", squashed)
    assert history.startswith(f"merge {plain} to sha256:")
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY a /a\nCOPY a /b\n")
    (folder / "a").write_text("a")
    assert len(layers(cais.docker_output("build", "-q", "--squash", str(folder)))) == 1


def test_results_go_to_folders_and_archives(cais: Daemon, folder: Path, tmp_path: Path) -> None:
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY --chmod=750 a /d/\n")
    (folder / "a").write_text("content")
    images = cais.docker_output("images", "-q")
    cais.docker("build", "-o", str(tmp_path / "out"), str(folder))
    assert [str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*")] == ["d", "d/a"]
    assert (tmp_path / "out/d/a").stat().st_mode & 0o777 == 0o750
    cais.docker("build", "-o", f"type=tar,dest={tmp_path}/x.tar", str(folder))
    with tarfile.open(tmp_path / "x.tar") as archive:
        assert archive.getnames() == ["d", "d/a"]
    assert cais.docker_output("images", "-q") == images
    cais.docker("build", "-t", "out:1", "-o", f"type=docker,dest={tmp_path}/save.tar", str(folder))
    cais.docker("build", "-t", "out:1", "-o", f"type=oci,dest={tmp_path}/oci.tar", str(folder))
    with tarfile.open(tmp_path / "oci.tar") as archive:
        assert {"oci-layout", "index.json"} <= set(archive.getnames())
    cais.docker("rmi", "out:1")
    assert "out:1" in cais.docker_output("load", "-i", str(tmp_path / "save.tar"))
    refused = cais.docker("build", "-o", "type=nope", str(folder))
    assert refused.stderr.startswith("unsupported output type 'nope'")


def test_a_dockerfile_comes_from_standard_input(cais: Daemon, folder: Path) -> None:
    (folder / "a").write_text("1")
    image = cais.docker("build", "-q", "-f", "-", str(folder), stdin="FROM busybox\nCOPY . /x\n").stdout.strip()
    assert look(cais, image, "ls -A /x") == "a"
    alone = cais.docker("build", "-q", "-", stdin="FROM busybox\nCMD echo alone\n").stdout.strip()
    assert cais.docker_output("run", "--rm", "--network", "none", alone) == "alone"


def test_archives_and_addresses_and_repositories_are_contexts(cais: Daemon, folder: Path, tmp_path: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "Dockerfile").write_text("FROM busybox\nCOPY f /f\n")
    (folder / "sub" / "f").write_text("fetched")
    archive = tmp_path / "context.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(folder / "sub", ".")
    with archive.open("rb") as standard_input:
        started = cais.docker_start("build", "-q", "-", stdin=standard_input.fileno())
        image, _ = started.communicate(timeout=30)
    assert look(cais, image.decode().strip(), "cat /f") == "fetched"
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"], ["update-server-info"]):
        subprocess.run([*git, *words], check=True)
    (folder / ".git").rename(tmp_path / "repository.git")
    with serving(tmp_path) as address:
        fetched = cais.docker_output("build", "-q", f"{address}/context.tar.gz").strip()
        cloned = cais.docker_output("build", "-q", f"{address}/repository.git#:sub").strip()
        missing = cais.docker("build", f"{address}/nope")
    assert look(cais, fetched, "cat /f") == look(cais, cloned, "cat /f") == "fetched"
    assert "with status 404" in missing.stderr
    assert not list(Path("/tmp").glob("cais-build-git-*"))


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A web server on loopback for the files of a folder."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_step_that_fails_shows_its_log_and_gives_its_status(cais: Daemon, folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM busybox\nRUN echo before; exit 7\n")
    done = cais.docker("build", "--progress", "plain", str(folder))
    assert done.returncode == 7
    assert done.stderr.count(" before\n") == 2
    assert "Dockerfile:2\n" in done.stderr
    assert "   2 | >>> RUN echo before; exit 7\n" in done.stderr
    assert done.stderr.rstrip().endswith("returned a non-zero code: 7")
    quiet = cais.docker("build", "-q", str(folder))
    assert quiet.returncode == 7
    assert quiet.stdout == ""
    assert " before\n" in quiet.stderr
    (folder / "Dockerfile").write_text("FROM busybox\nRNU x\n")
    wrong = cais.docker("build", str(folder))
    assert wrong.returncode == 1
    assert "   2 | >>> RNU x\n" in wrong.stderr
    assert wrong.stderr.count("unknown instruction: RNU (did you mean RUN?)") == 1


def test_a_terminal_shows_steps_while_they_run(cais: Daemon, folder: Path) -> None:
    (folder / "Dockerfile").write_text(
        "FROM busybox AS one\nRUN echo in-one; sleep 1\nFROM busybox AS two\nRUN echo in-two; sleep 1\n"
        "COPY --from=one /etc/passwd /\n"
    )
    with cais.docker_terminal("build", "-t", "seen:1", str(folder), columns=100) as terminal:
        running = terminal.expect("# in-")
        assert " => [" in running
        shown = terminal.expect("(5/5) FINISHED")
        assert "in-one" in running + shown
        assert "in-two" in running + shown
        last = terminal.expect("Successfully tagged seen:1")
        assert " => CACHED [one 1/2] FROM busybox" in last
        assert " => [two 3/3] COPY --from=one /etc/passwd /" in last
        assert terminal.wait() == 0


def test_a_build_that_is_interrupted_leaves_nothing(cais: Daemon, folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM busybox\nRUN echo running; sleep 1000\n")
    with cais.docker_terminal("build", str(folder), columns=100) as terminal:
        terminal.expect("# running")
        terminal.send("\x03")
        assert terminal.wait() == 130
    wait_until(lambda: not list((cais.exec_root / "containers").iterdir()), 10)


def test_a_check_knows_the_environment_of_the_base(cais: Daemon, folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM busybox\nCOPY $PATH $NONE /\n")
    done = cais.docker("build", "--check", str(folder))
    assert done.returncode == 1
    assert "Usage of undefined variable '$NONE'" in done.stdout
    assert "$PATH'" not in done.stdout
