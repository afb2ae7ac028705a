"""`cais build` and the build cache, against an engine with canned answers."""

import io
import os
import tarfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from cais.cli.main import run
from cais.client.codec import dumps, loads
from tests.unit.conftest import CannedEngine
from tests.unit.scripted_engine import answer, chunked

Capture = pytest.CaptureFixture[str]
ID = "sha256:" + "a" * 64
PLANNED = {"build": {"planned": [{"text": "FROM x", "stage": "one"}, {"text": "RUN  y", "stage": "one"}]}}


def progress(*messages: object) -> bytes:
    return chunked("200 OK", *(dumps(message) + b"\r\n" for message in messages))


def built(*messages: object) -> bytes:
    return progress(*messages, {"aux": {"ID": ID}}, {"stream": "Successfully built aaaaaaaaaaaa\n"})


def sent(canned: CannedEngine) -> tuple[dict[str, list[str]], dict[str, tarfile.TarInfo], tarfile.TarFile]:
    """The parameters of the last request, and the archive that it brought."""
    assert canned.scripted is not None
    request = canned.scripted.requests[-1]
    archive = tarfile.open(fileobj=io.BytesIO(request.body))
    query = parse_qs(urlsplit(request.target).query)
    return query, {member.name: member for member in archive}, archive


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, canned: CannedEngine) -> Path:
    canned.answers["GET /_ping"] = answer("200 OK", b"OK")
    made = tmp_path / "context"
    made.mkdir()
    (made / "Dockerfile").write_text("FROM x\n")
    monkeypatch.chdir(made)
    return made


def test_a_folder_is_sent_as_docker_sends_it(canned: CannedEngine, folder: Path, capfd: Capture) -> None:
    canned.answers["POST /build"] = built({"stream": "Step 1/1 : FROM x\n"})
    (folder / "sub" / "kept").mkdir(parents=True)
    (folder / "sub" / "gone").write_text("x")
    (folder / "sub" / "kept" / "file").write_bytes(b"1" * 1000)
    (folder / ".dockerignore").write_text("sub\n!sub/kept/file\nDockerfile\n.dockerignore\n")
    os.chmod(folder / "sub" / "kept" / "file", 0o4701)
    (folder / "link").symlink_to("/nowhere")
    os.link(folder / "Dockerfile", folder / "same")
    (folder / ("n" * 120)).touch()
    (folder / "ü").write_text("u")
    assert run(["build", "-t", "a", "-t", "b:1", "."]) == 0
    query, members, archive = sent(canned)
    assert query["t"] == ["a", "b:1"]
    assert query["dockerfile"] == ["Dockerfile"]
    assert list(members) == [
        *(".dockerignore", "Dockerfile", "link", "n" * 120, "same"),
        *("sub", "sub/kept", "sub/kept/file", "ü"),
    ]
    assert {(member.uid, member.gid) for member in members.values()} == {(0, 0)}
    assert members["sub/kept/file"].mode == 0o4701
    assert members["link"].linkname == "/nowhere"
    assert (members["same"].type, members["same"].linkname) == (tarfile.LNKTYPE, "Dockerfile")
    assert archive.extractfile("sub/kept/file").read() == b"1" * 1000  # type: ignore[union-attr]
    assert archive.extractfile("ü").read() == b"u"  # type: ignore[union-attr]
    assert members["sub/kept/file"].mtime == int((folder / "sub" / "kept" / "file").stat().st_mtime)
    assert capfd.readouterr().out == "Step 1/1 : FROM x\nSuccessfully built aaaaaaaaaaaa\n"


def test_flags_are_parameters(canned: CannedEngine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canned.answers["POST /build"] = built()
    monkeypatch.setenv("FROM_HERE", "yes")
    monkeypatch.delenv("NOT_HERE", raising=False)
    words = "--build-arg A=1 --build-arg FROM_HERE --build-arg NOT_HERE --label l=v --target t --no-cache --pull"
    words += " --network none --memory 1g --memory-swap -1 --cpus 0.5 --cpuset-cpus 0 --shm-size 1m --squash"
    words += " --ulimit nofile=1:2 --add-host h:1.2.3.4 --cgroup-parent p --platform linux/amd64 --cpu-shares 7"
    assert run(["build", *words.split(), "-q", "."]) == 0
    query = {name: values[0] for name, values in sent(canned)[0].items()}
    assert loads(query.pop("buildargs")) == {"A": "1", "FROM_HERE": "yes", "NOT_HERE": None}
    assert loads(query.pop("labels")) == {"l": "v"}
    assert loads(query.pop("ulimits")) == [{"Name": "nofile", "Hard": 2, "Soft": 1}]
    assert query == {
        "dockerfile": "Dockerfile",
        "version": "1",
        "rm": "1",
        "networkmode": "none",
        "target": "t",
        "nocache": "1",
        "pull": "1",
        "squash": "1",
        "memory": "1073741824",
        "memswap": "-1",
        "shmsize": "1048576",
        "cpuperiod": "100000",
        "cpuquota": "50000",
        "cpusetcpus": "0",
        "cpushares": "7",
        "cgroupparent": "p",
        "extrahosts": "h:1.2.3.4",
        "platform": "linux/amd64",
    }


def test_quiet_prints_the_image_alone(canned: CannedEngine, folder: Path, capfd: Capture) -> None:
    canned.answers["POST /build"] = built(PLANNED, {"build": {"started": 1}}, {"stream": "Step 1/1\n"})
    assert run(["build", "-q", "--iidfile", "id", "--metadata-file", "meta", "-t", "me/x", "."]) == 0
    assert capfd.readouterr() == (f"{ID}\n", "")
    assert (folder / "id").read_text() == ID
    assert loads((folder / "meta").read_text()) == {
        "containerimage.config.digest": ID,
        "containerimage.digest": ID,
        "image.name": "me/x",
    }


def test_a_dockerfile_elsewhere_is_put_into_the_context(canned: CannedEngine, folder: Path, tmp_path: Path) -> None:
    canned.answers["POST /build"] = built()
    (tmp_path / "Other").write_text("FROM y\n")
    (folder / ".dockerignore").write_text("a")
    assert run(["build", "-f", "../Other", "."]) == 0
    query, _, archive = sent(canned)
    (name,) = query["dockerfile"]
    assert name.startswith(".dockerfile.")
    assert archive.extractfile(name).read() == b"FROM y\n"  # type: ignore[union-attr]
    assert archive.extractfile(".dockerignore").read() == f"a\n{name}\n".encode()  # type: ignore[union-attr]
    assert archive.getnames().count(".dockerignore") == 1


def test_a_dockerfile_has_an_ignore_file_of_its_own(canned: CannedEngine, folder: Path) -> None:
    canned.answers["POST /build"] = built()
    (folder / "other").write_text("FROM y\n")
    (folder / "other.dockerignore").write_text("a\n")
    (folder / ".dockerignore").write_text("b\n")
    (folder / "a").touch()
    (folder / "b").touch()
    assert run(["build", "-f", "other", "."]) == 0
    query, members, _ = sent(canned)
    assert query["dockerfile"] == ["other"]
    assert "b" in members
    assert "a" not in members


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nope"], 'unable to prepare context: path "nope" not found'),
        (["Dockerfile"], "unable to prepare context: context must be a directory: {folder}/Dockerfile"),
        (
            ["-f", "nope", "."],
            "unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat {folder}/nope: "
            "no such file or directory",
        ),
        (["-f", "-", "-"], "invalid argument: can't use stdin for both build context and dockerfile"),
        (["-t", "x", "--push", "--load", "."], "push and load may not be set together at the moment"),
        (["-o", "out", "."], "--output type=local is not supported by this engine, which is not a Cais"),
        (["-o", "type=image,x=y", "."], "unsupported option 'x' of the output type image"),
        (["-o", "type=local", "."], "dest is required for local exporter"),
        (["--push", "."], "tag is needed when pushing to registry"),
        (
            ["--secret", "id=x", "."],
            "--secret is not supported by this engine, which is not a Cais",
        ),
    ],
)
def test_what_cannot_be_built_is_refused(
    canned: CannedEngine, folder: Path, capfd: Capture, words: list[str], message: str
) -> None:
    assert run(["build", *words]) == 1
    assert capfd.readouterr().err == message.format(folder=folder) + "\n"


def test_a_bad_tag_is_refused_as_docker_refuses_it(canned: CannedEngine, folder: Path, capfd: Capture) -> None:
    assert run(["build", "-t", "UP", "."]) != 0
    message = 'invalid argument "UP" for "-t, --tag" flag: invalid reference format: repository name'
    assert message in capfd.readouterr().err
    assert not canned.requests


def test_a_step_that_fails_gives_its_status_and_the_end_of_its_log(
    canned: CannedEngine, folder: Path, capfd: Capture
) -> None:
    canned.answers["POST /build"] = progress(
        PLANNED,
        {"build": {"started": 1}},
        {"build": {"finished": 1, "cached": True}},
        {"build": {"started": 2}},
        {"build": {"output": 2, "source": "stdout", "data": "one\ntw"}},
        {"build": {"output": 2, "source": "stderr", "data": "o\x1b[31m\n"}},
        {"build": {"finished": 2, "error": "exit code: 5"}},
        {"errorDetail": {"code": 5, "message": "returned a non-zero code: 5"}, "error": "x"},
    )
    assert run(["build", "--progress", "plain", "."]) == 5
    shown = capfd.readouterr()
    assert shown.out == ""
    lines = shown.err.splitlines()
    assert lines[:4] == ["#1 [one 1/2] FROM x", "#1 CACHED", "", "#2 [one 2/2] RUN y"]
    assert [line.split(" ", 2)[2] for line in lines[4:6]] == ["one", "two\x1b[31m"]
    assert "#2 ERROR: exit code: 5" in lines
    assert lines[-6:-4] == ["------", " > [one 2/2] RUN y:"]
    assert lines[-1] == "returned a non-zero code: 5"


def test_an_error_in_the_dockerfile_shows_its_line(canned: CannedEngine, folder: Path, capfd: Capture) -> None:
    (folder / "Dockerfile").write_text("FROM x\nRNU y\n")
    message = "dockerfile parse error on line 2: unknown instruction: RNU"
    canned.answers["POST /build"] = answer("400 Bad Request", dumps({"message": message}))
    assert run(["build", "."]) == 1
    assert capfd.readouterr().err == (
        "Dockerfile:2\n--------------------\n   1 |     FROM x\n   2 | >>> RNU y\n--------------------\n"
        f"Error response from daemon: {message}\n"
    )


def test_a_check_prints_what_was_found_and_builds_nothing(canned: CannedEngine, folder: Path, capfd: Capture) -> None:
    (folder / "Dockerfile").write_text("FROM scratch\nCMD y\n")
    assert run(["build", "--check", "."]) == 1
    assert capfd.readouterr().out == (
        "Check complete, 1 warning has been found!\n\n"
        "WARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/\n"
        "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals\n"
        "Dockerfile:2\n--------------------\n   1 |     FROM scratch\n   2 | >>> CMD y\n--------------------\n"
    )
    (folder / "Dockerfile").write_text("FROM scratch\n")
    assert run(["build", "--check", "."]) == 0
    assert capfd.readouterr().out == "Check complete, no warnings found.\n"
    assert not [request for request in canned.requests if "build" in request]


def test_a_check_tells_what_is_above_a_line_that_cannot_be_read(
    canned: CannedEngine, folder: Path, capfd: Capture
) -> None:
    (folder / "Dockerfile").write_text("FROM scratch AS Bad\nMAINTAINER me\nBADCMD\n")
    assert run(["build", "--check", "."]) == 1
    told = capfd.readouterr()
    assert [line.split()[1] for line in told.out.splitlines() if line.startswith("WARNING")] == [
        "StageNameCasing",
        "MaintainerDeprecated",
    ]
    assert told.err.endswith("dockerfile parse error on line 3: unknown instruction: BADCMD\n")


def test_rules_that_are_errors_end_a_check_and_a_build(canned: CannedEngine, folder: Path, capfd: Capture) -> None:
    (folder / "Dockerfile").write_text("# check=error=true\nFROM scratch as a\n")
    violation = "lint violation found for rules: FromAsCasing"
    assert run(["build", "--check", "."]) == 1
    assert capfd.readouterr().err == f"ERROR: {violation}\n"
    assert run(["build", "."]) == 1
    told = capfd.readouterr().err
    assert told.startswith("Dockerfile:2\n")
    assert told.endswith(f"failed to solve: {violation}\n")
    assert run(["build", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip", "."]) == 1
    assert 'invalid check option "skip"' in capfd.readouterr().err
    assert not [request for request in canned.requests if "build" in request]


def test_the_cache_is_listed_and_pruned(canned: CannedEngine, capfd: Capture) -> None:
    record = {"ID": "one", "Size": 1500, "InUse": False, "Description": "RUN x", "Type": "regular", "UsageCount": 2}
    used = {"ID": "two", "Size": 500, "InUse": True}
    canned.answers["GET /system/df"] = answer("200 OK", dumps({"BuildCache": [record, used]}))
    assert run(["builder", "du", "--format", "{{.ID}} {{.Size}} {{.Reclaimable}}"]) == 0
    assert capfd.readouterr().out == "two* 500B false\none 1.5kB true\n"
    assert run(["builder", "du"]) == 0
    assert capfd.readouterr().out.endswith("Reclaimable:  1.5kB\nTotal:        2kB\n")
    assert run(["builder", "du", "--verbose"]) == 0
    assert "Description:  RUN x\n" in capfd.readouterr().out
    canned.answers["POST /build/prune"] = answer("200 OK", dumps({"CachesDeleted": ["one"], "SpaceReclaimed": 1500}))
    assert run(["builder", "prune", "-af", "--filter", "until=24h", "--keep-storage", "1k"]) == 0
    assert capfd.readouterr().out == "Deleted build cache objects:\none\n\nTotal reclaimed space: 1.5kB\n"
    query = parse_qs(urlsplit(canned.requests[-1]).query)
    assert query == {"all": ["1"], "keep-storage": ["1024"], "filters": ['{"until":["24h"]}']}
