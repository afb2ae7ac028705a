"""Commands about images, against an engine with canned answers."""

import os
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from cais.cli import image_layers
from cais.cli.main import run
from cais.client.codec import dumps, loads
from tests.unit.conftest import CannedEngine
from tests.unit.scripted_engine import answer, chunked

Capture = pytest.CaptureFixture[str]
ID = "sha256:" + "a" * 64
NO_AUTHORIZATION = "e30="
AMD64 = '{"architecture":"amd64","os":"linux"}'


def asked(canned: CannedEngine, number: int = -1) -> tuple[str, dict[str, list[str]]]:
    """A request: its method and path, and its parameters."""
    parts = urlsplit(canned.requests[number])
    return parts.path, parse_qs(parts.query, keep_blank_values=True)


def progress(*messages: object) -> bytes:
    return chunked("200 OK", *(dumps(message) + b"\r\n" for message in messages))


@pytest.mark.parametrize(
    ("words", "parameters", "said"),
    [
        (["x"], {"fromImage": ["docker.io/library/x"], "tag": ["latest"]}, "Using default tag: latest\ndone\n"),
        (["-q", "h:1/x"], {"fromImage": ["h:1/x"], "tag": ["latest"]}, ""),
        (["-a", "me/x"], {"fromImage": ["docker.io/me/x"]}, "done\n"),
        (
            ["--platform", "linux/arm64", "x:1"],
            {"fromImage": ["docker.io/library/x"], "tag": ["1"], "platform": ["linux/arm64"]},
            "done\n",
        ),
    ],
)
def test_images_are_pulled(
    canned: CannedEngine, capfd: Capture, words: list[str], parameters: dict[str, list[str]], said: str
) -> None:
    canned.answers["POST /images/create"] = progress({"status": "done"})
    assert run(["pull", *words]) == 0
    assert asked(canned) == ("POST /images/create", parameters)
    assert canned.scripted is not None
    assert canned.scripted.requests[-1].headers["x-registry-auth"] == NO_AUTHORIZATION
    assert capfd.readouterr().out.startswith(said)


@pytest.mark.parametrize(
    ("words", "path", "parameters"),
    [
        (["x"], "docker.io/library/x", {"tag": ["latest"]}),
        (["-a", "h:1/x"], "h%3A1/x", {}),
        (["--platform", "linux/amd64", "x:1"], "docker.io/library/x", {"tag": ["1"], "platform": [AMD64]}),
    ],
)
def test_images_are_pushed(
    canned: CannedEngine, capfd: Capture, words: list[str], path: str, parameters: dict[str, list[str]]
) -> None:
    canned.answers[f"POST /images/{path}/push"] = progress({"status": "pushed"}, {"aux": {"Tag": "1"}})
    assert run(["push", *words]) == 0
    assert asked(canned) == (f"POST /images/{path}/push", parameters)
    assert capfd.readouterr().out.endswith("pushed\n")
    assert run(["push", "-q", *words]) == 0
    tag = "".join(f":{tag}" for tag in parameters.get("tag", []))
    assert capfd.readouterr().out.splitlines()[-1] == f"{path.replace('%3A', ':')}{tag}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pull", "-a", "x:1"], "tag can't be used with --all-tags/-a"),
        (["push", "-a", "x:1"], "tag can't be used with --all-tags/-a"),
        (["push", f"x@{ID}"], "cannot push a digest reference"),
        (["push", "--platform", "a/b/c/d", "x"], 'invalid platform: "a/b/c/d": cannot parse platform specifier'),
        (["pull", "X"], "invalid reference format: repository name (library/X) must be lowercase"),
        (["pull", "--disable-content-trust=false", "x"], "--disable-content-trust=false is not supported"),
        (["commit", "c", "X"], "invalid reference format: repository name (library/X) must be lowercase"),
        (["commit", "c", f"x@{ID}"], "refusing to create a tag with a digest reference"),
        (["images", "--tree", "-q"], "--quiet is not yet supported with --tree"),
        (["images", "--tree", "--no-trunc"], "--no-trunc is not yet supported with --tree"),
        (["images", "--tree", "--digests"], "--show-digest is not yet supported with --tree"),
        (["images", "--tree", "--format", "json"], "--format is not yet supported with --tree"),
        (["rmi", "--platform", "foo", "x"], '"foo": unknown operating system or architecture: invalid argument'),
        (
            ["save", "-o", "/nonexistent/x", "x"],
            "failed to save image: invalid output path: stat /nonexistent: ",
        ),
        (["save", "-o", "/tmp", "x"], "failed to save image: cannot write to a directory"),
        (["load", "-i", "/nonexistent"], "open /nonexistent: no such file or directory"),
    ],
)
def test_what_makes_no_sense_is_not_asked(canned: CannedEngine, capfd: Capture, words: list[str], message: str) -> None:
    assert run(words) == 1
    assert capfd.readouterr().err.startswith(message)
    assert canned.requests == []


def test_a_push_that_fails_is_an_error(canned: CannedEngine, capfd: Capture) -> None:
    message = "An image does not exist locally with the tag: x"
    canned.answers["POST /images/docker.io/library/x/push"] = progress(
        {"errorDetail": {"message": message}, "error": message}
    )
    assert run(["push", "x:1"]) == 1
    assert capfd.readouterr().err == f"{message}\n"


FOUND = [
    {"name": "busybox", "description": "A very\nlong description, which goes beyond 45 columns", "star_count": 3000}
    | {"is_official": True},
    {"name": "x/y", "description": "", "star_count": 0, "is_official": False},
]


def test_registries_are_searched(canned: CannedEngine, capfd: Capture) -> None:
    canned.answers["GET /images/search"] = FOUND
    assert run(["search", "--limit", "3", "-f", "stars=3", "-f", "is-official=true", "box"]) == 0
    assert capfd.readouterr().out == (
        "NAME      DESCRIPTION                                     STARS     OFFICIAL\n"
        "busybox   A very long description, which goes beyond 4…   3000      [OK]\n"
        "x/y                                                       0         \n"
    )
    _, parameters = asked(canned)
    assert (parameters["term"], parameters["limit"]) == (["box"], ["3"])
    assert loads(parameters["filters"][0]) == {"stars": ["3"], "is-official": ["true"]}
    assert run(["search", "--no-trunc", "--format", "json", "box"]) == 0
    assert loads(capfd.readouterr().out.splitlines()[0]) == {
        "Name": "busybox",
        "Description": "A very long description, which goes beyond 45 columns",
        "StarCount": "3000",
        "IsOfficial": "true",
    }


HISTORY = [
    {"Id": ID, "Created": 1_700_000_000, "CreatedBy": "RUN\tx " + "y" * 60, "Size": 1_984_305, "Comment": "c"},
    {"Id": "<missing>", "Created": 0, "CreatedBy": "", "Size": 0, "Comment": ""},
]


def test_history_is_shown(canned: CannedEngine, capfd: Capture) -> None:
    canned.answers["GET /images/x/history"] = HISTORY
    assert run(["history", "--format", "{{.ID}}|{{.CreatedBy}}|{{.Size}}|{{.Comment}}", "x"]) == 0
    assert capfd.readouterr().out == f"{'a' * 12}|RUN x {'y' * 38}…|1.98MB|c\n<missing>||0B|\n"
    assert run(["history", "--platform", "linux/amd64", "-H=false", "--no-trunc", "x"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].split("  ")[0] == "IMAGE"
    assert "CREATED AT" in lines[0]
    assert lines[1].split()[:4] == [ID, "2023-11-14T22:13:20Z", "RUN", "x"]
    assert lines[1].rstrip().endswith("1984305   c")
    assert lines[2].split() == ["<missing>", "N/A", "0"]
    assert asked(canned)[1] == {"platform": [AMD64]}
    assert run(["history", "-q", "--no-trunc", "x"]) == 0
    assert capfd.readouterr().out == f"{ID}\n<missing>\n"


def test_a_container_is_committed(canned: CannedEngine, capfd: Capture) -> None:
    canned.answers["POST /commit"] = {"Id": ID}
    flags = ["-a", "me", "-m", "why", "-c", "CMD a", "-c", "ENV b=c", "-p=false"]
    assert run(["commit", *flags, "c", "r:t"]) == 0
    assert capfd.readouterr().out == f"{ID}\n"
    assert asked(canned)[1] == {
        "container": ["c"], "repo": ["docker.io/library/r"], "tag": ["t"], "comment": ["why"], "author": ["me"],
        "changes": ["CMD a", "ENV b=c"], "pause": ["0"],
    }  # fmt: skip
    assert run(["container", "commit", "c"]) == 0
    assert asked(canned)[1] == {"container": ["c"], "repo": [""], "tag": [""], "comment": [""], "author": [""]}


def test_images_are_saved(canned: CannedEngine, tmp_path: Path, capfd: Capture) -> None:
    canned.answers["GET /images/get"] = answer("200 OK", b"archive")
    target = tmp_path / "x.tar"
    assert run(["save", "--platform", "linux/amd64", "-o", str(target), "a", "b:1"]) == 0
    assert target.read_bytes() == b"archive"
    assert asked(canned)[1] == {"names": ["a", "b:1"], "platform": [AMD64]}
    assert run(["save", "a"]) == 0
    assert capfd.readouterr().out == "archive"
    canned.refuse("GET /images/get", "404 Not Found", "No such image: a:latest")
    assert run(["save", "-o", str(target), "a"]) == 1
    assert target.read_bytes() == b"archive"
    assert sorted(path.name for path in tmp_path.glob("x.tar*")) == ["x.tar"]


def test_an_archive_is_not_written_to_a_terminal(
    canned: CannedEngine, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "isatty", lambda _descriptor: True)
    assert run(["save", "x"]) == 1
    assert capfd.readouterr().err == "cowardly refusing to save to a terminal. Use the -o flag or redirect\n"
    assert canned.requests == []


def test_archives_are_loaded_and_imported(canned: CannedEngine, tmp_path: Path, capfd: Capture) -> None:
    archive = tmp_path / "x.tar"
    archive.write_bytes(b"archive")
    canned.answers["GET /_ping"] = answer("200 OK", b"OK")
    canned.answers["POST /images/load"] = answer(
        "200 OK", dumps({"stream": "Loaded image: x:1\n"}), "Content-Type: application/json"
    )
    assert run(["load", "--platform", "linux/amd64", "-i", str(archive)]) == 0
    assert asked(canned) == ("POST /images/load", {"quiet": ["1"], "platform": [AMD64]})
    assert canned.bodies[-1] == b"archive"
    canned.answers["POST /images/create"] = progress({"status": ID})
    assert run(["import", "-c", "CMD a", "-c", "ENV b=c", "-m", "why", str(archive), "r:t"]) == 0
    assert asked(canned)[1] == {
        "fromSrc": ["-"], "message": ["why"], "repo": ["r:t"], "changes": ["CMD a", "ENV b=c"]
    }  # fmt: skip
    assert run(["import", "http://h/x.tar"]) == 0
    assert asked(canned)[1] == {"fromSrc": ["http://h/x.tar"]}
    assert capfd.readouterr().out == f"Loaded image: x:1\n{ID}\n{ID}\n"


@pytest.mark.parametrize("command", [["load", "-i"], ["import"]], ids=str)
def test_a_folder_is_no_archive(command: list[str], canned: CannedEngine, tmp_path: Path, capfd: Capture) -> None:
    canned.answers["GET /_ping"] = answer("200 OK", b"OK")
    assert run([*command, str(tmp_path)]) == 1
    assert capfd.readouterr().err == f"read {tmp_path}: is a directory\n"


def test_what_follows_the_source_of_a_tag_is_its_target(canned: CannedEngine, capfd: Capture) -> None:
    assert run(["tag", "x", "-y"]) == 1
    assert capfd.readouterr().err.startswith('Error parsing reference: "-y" is not a valid repository/tag')


def test_only_some_platforms_of_an_image_are_removed(canned: CannedEngine, capfd: Capture) -> None:
    canned.answers["DELETE /images/x"] = [{"Deleted": ID}]
    assert run(["rmi", "--platform", "linux/amd64,linux/arm64", "--platform", "linux/s390x", "x"]) == 0
    platforms = [loads(text)["architecture"] for text in asked(canned)[1]["platforms"]]
    assert platforms == ["amd64", "arm64", "s390x"]
    assert capfd.readouterr().out == f"Deleted: {ID}\n"


def test_one_platform_is_inspected(canned: CannedEngine, capfd: Capture) -> None:
    canned.answers["GET /images/x/json"] = {"Id": ID}
    assert run(["image", "inspect", "--platform", "linux/amd64", "-f", "{{.Id}}", "x"]) == 0
    assert asked(canned)[1] == {"platform": [AMD64]}
    assert capfd.readouterr().out == f"{ID}\n"


@pytest.mark.parametrize(
    ("flags", "which", "dangling"),
    [([], "dangling images", "true"), (["-a"], "images without at least one container associated to them", "false")],
)
def test_unused_images_are_removed(
    canned: CannedEngine, capfd: Capture, monkeypatch: pytest.MonkeyPatch, flags: list[str], which: str, dangling: str
) -> None:
    canned.answers["POST /images/prune"] = {"ImagesDeleted": [{"Untagged": "x:1"}, {"Deleted": ID}]}
    typed = list(b"y\n")
    monkeypatch.setattr(os, "read", lambda _descriptor, _size: bytes([typed.pop(0)]) if typed else b"")
    assert run(["image", "prune", *flags, "--filter", "until=1h"]) == 0
    assert capfd.readouterr().out == (
        f"WARNING! This will remove all {which}.\nAre you sure you want to continue? [y/N] "
        f"Deleted Images:\nuntagged: x:1\ndeleted: {ID}\n\nTotal reclaimed space: 0B\n"
    )
    assert loads(asked(canned)[1]["filters"][0]) == {"until": ["1h"], "dangling": [dangling]}
    assert run(["image", "prune", *flags]) == 0
    assert len(canned.requests) == 1
    assert run(["image", "prune", "-f", *flags]) == 0
    assert len(canned.requests) == 2


def _manifest(kind: str, digest: str, *, available: bool = True) -> dict[str, object]:
    return {
        "ID": digest,
        "Kind": kind,
        "Available": available,
        "Size": {"Content": 1000, "Total": 3_000_000},
        "ImageData": {"Platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}, "Containers": ["c"]},
    }


def test_the_tree_shows_platforms(canned: CannedEngine, capfd: Capture) -> None:
    several = [_manifest("image", ID), _manifest("image", ID, available=False), _manifest("attestation", ID)]
    canned.answers["GET /images/json"] = [
        {"Id": ID, "RepoTags": ["b:1", "b:2"], "Size": 1_234_567, "Containers": 0, "Manifests": several},
        {"Id": ID, "RepoTags": ["localhost:5000/a/very/long/name:latest"], "Size": 99_234_567, "Containers": 0},
        {"Id": ID, "RepoTags": [], "Size": 1},
    ]
    assert run(["images", "--tree", "b"]) == 0
    assert capfd.readouterr().out == (
        "WARNING: This is an experimental feature. The output may change and shouldn't be depended on.\n"
        f"{' ' * 62}Info ->  U In Use \n\n"
        "IMAGE                           ID             DISK USAGE   CONTENT SIZE   EXTRA\n"
        "b:1\n"
        "b:2                             aaaaaaaaaaaa       1.23MB            3kB   U    \n"
        "├─ linux/arm64/v8               aaaaaaaaaaaa          3MB            1kB   U    \n"
        "└─ linux/arm64/v8               aaaaaaaaaaaa          3MB            1kB   U    \n\n"
        "localhost:5000/a/very/long/n…   aaaaaaaaaaaa       99.2MB             0B        \n\n"
    )
    assert asked(canned)[1]["manifests"] == ["1"]
    assert run(["images", "--tree", "-a"]) == 0
    assert "\n<untagged>" in capfd.readouterr().out


INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
MANIFEST = b'{"schemaVersion":2,"config":{"size":7}}'


def _registry_says(canned: CannedEngine, name: str, raw: bytes, media_type: str) -> None:
    canned.answers[f"GET /cais/distribution/{name}/manifest"] = answer(
        "200 OK", raw, f"Content-Type: {media_type}", f"Docker-Content-Digest: {ID}"
    )


def test_a_manifest_is_shown_as_the_registry_has_it(canned: CannedEngine, capfd: Capture) -> None:
    _registry_says(canned, "docker.io/library/x%3Alatest", MANIFEST, MANIFEST_TYPE)
    assert run(["manifest", "inspect", "--insecure", "x"]) == 0
    assert capfd.readouterr().out == '{\n\t"schemaVersion": 2,\n\t"config": {\n\t\t"size": 7\n\t}\n}\n'
    assert asked(canned)[1] == {"insecure": ["1"]}
    canned.answers["GET /distribution/docker.io/library/x%3Alatest/json"] = {
        "Platforms": [{"architecture": "amd64", "os": "linux"}]
    }
    assert run(["manifest", "inspect", "-v", "x"]) == 0
    assert loads(capfd.readouterr().out) == {
        "Ref": "docker.io/library/x:latest",
        "Descriptor": {
            "mediaType": MANIFEST_TYPE,
            "digest": ID,
            "size": len(MANIFEST),
            "platform": {"architecture": "amd64", "os": "linux"},
        },
        "Raw": "eyJzY2hlbWFWZXJzaW9uIjoyLCJjb25maWciOnsic2l6ZSI6N319",
        "OCIManifest": loads(MANIFEST),
    }


def test_the_members_of_an_index_are_described(canned: CannedEngine, capfd: Capture) -> None:
    platform = {"architecture": "amd64", "os": "linux"}
    index = dumps({"schemaVersion": 2, "manifests": [{"digest": ID, "platform": platform}]})
    _registry_says(canned, "h%3A1/x%3A1", index, INDEX_TYPE)
    _registry_says(canned, f"h%3A1/x%3A1%40{ID.replace(':', '%3A')}", MANIFEST, MANIFEST_TYPE)
    assert run(["manifest", "inspect", "-v", "h:1/x:1"]) == 0
    (member,) = loads(capfd.readouterr().out)
    assert (member["Ref"], member["Descriptor"]["platform"]) == (f"h:1/x:1@{ID}", platform)


def test_an_index_is_shown_in_docker_s_order(canned: CannedEngine, capfd: Capture) -> None:
    member = {"digest": ID, "size": 7, "mediaType": MANIFEST_TYPE, "annotations": {"a": "b"}}
    index = dumps({"manifests": [member], "schemaVersion": 2, "annotations": {"c": "d"}})
    _registry_says(canned, "h%3A1/x%3A1", index, INDEX_TYPE)
    assert run(["manifest", "inspect", "h:1/x:1"]) == 0
    shown = capfd.readouterr().out
    assert shown.startswith(f'{{\n   "schemaVersion": 2,\n   "mediaType": "{INDEX_TYPE}",\n   "manifests": [\n')
    assert loads(shown)["manifests"] == [member]
    assert list(loads(shown)["manifests"][0]) == ["mediaType", "size", "digest", "annotations"]
    assert loads(shown)["annotations"] == {"c": "d"}


def test_a_manifest_that_is_not_there_is_named(canned: CannedEngine, capfd: Capture) -> None:
    assert run(["manifest", "inspect", "x"]) == 1
    assert capfd.readouterr().err == "no such manifest: docker.io/library/x:latest\n"


LAYERS = {
    "Id": ID,
    "RepoTags": ["x:1", "x:2"],
    "Size": 3_000_000,
    "Steps": [
        {
            "Created": "",
            "CreatedBy": "",
            "Comment": "Imported from -",
            "ChainId": "c1",
            "DiffId": "d1",
            "Size": 2_000_000,
        }
        | {"Added": 4, "Changed": 0, "Removed": 0, "Gone": [], "Complete": True, "SharedWith": list("abcdefg")}
        | {"Largest": [{"Path": f"/bin/{n}", "Kind": "added", "Size": 1000 * n} for n in range(5, 1, -1)]},
        {"Created": "", "CreatedBy": "/bin/sh -c rm   /a && echo", "ChainId": "c2", "DiffId": "d2", "Size": 1_000_000}
        | {"Added": 1, "Changed": 2, "Removed": 1, "Gone": ["/a"], "Complete": False, "SharedWith": []}
        | {"Largest": [{"Path": "/etc/x", "Kind": "changed", "Size": 12}]},
        {"Created": "", "CreatedBy": '/bin/sh -c #(nop)  CMD ["sh"]', "Comment": ""},
    ],
}


def test_layers_are_drawn(canned: CannedEngine, capfd: Capture) -> None:
    canned.answers["GET /cais/images/x/layers"] = LAYERS
    assert run(["image", "layers", "x"]) == 0
    assert capfd.readouterr().out == (
        f"x:1, x:2  {'a' * 12}  2 layers, 3MB\n"
        '    ○  CMD ["sh"]\n'
        "  2 ●  RUN rm /a && echo\n"
        "    │       1MB  ██████████░░░░░░░░░░  +1 added  ~2 changed  -1 removed"
        "  (counted in part: the layer has too many files)\n"
        "    │  ~      12B  /etc/x\n"
        "    │  -           /a\n"
        "  1 ●  Imported from -\n"
        "    │       2MB  ████████████████████  +4 added  ~0 changed  -0 removed\n"
        "    │  +      5kB  /bin/5\n"
        "    │  +      4kB  /bin/4\n"
        "    │  +      3kB  /bin/3\n"
        "    │  shared with a, b, c, d, e and 2 more\n"
    )
    assert run(["image", "layers", "--no-trunc", "x"]) == 0
    shown = capfd.readouterr().out
    assert ID in shown
    assert "/bin/2\n" in shown
    assert "shared with a, b, c, d, e, f, g\n" in shown
    assert run(["image", "layers", "-f", "json", "x"]) == 0
    assert loads(capfd.readouterr().out) == LAYERS
    assert run(["image", "layers", "-f", "{{range .Steps}}{{.CreatedBy}};{{end}}", "x"]) == 0
    assert capfd.readouterr().out.startswith(";/bin/sh -c rm")


def test_layers_fit_the_terminal(canned: CannedEngine, capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_layers, "terminal_size", lambda _descriptor: (20, 24))
    canned.answers["GET /cais/images/x/layers"] = LAYERS
    assert run(["image", "layers", "x"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[2] == "  2 ●  RUN rm /a &&…"
    assert lines[0] == "x:1, x:2  aaaaaaaaa…"
