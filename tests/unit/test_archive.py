"""What an archive of images says, in its old form, its new form and as an OCI layout."""

import json
from pathlib import Path

import pytest

from cais.distribution import archive
from cais.distribution.archive import ArchivedImage, Contents, Member, expected_layers, images_in
from cais.distribution.oci import Platform, digest_of
from cais.distribution.platforms import host_platform
from cais.errors import InvalidArgument, NotFound

DIFF_IDS = ["sha256:" + "a" * 64, "sha256:" + "b" * 64]
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Made:
    """An archive's contents, file by file."""

    def __init__(self, folder: Path) -> None:
        self.contents = Contents()
        self._folder = folder
        self._number = 0

    def file(self, name: str, data: bytes) -> str:
        self._number += 1
        path = self._folder / str(self._number)
        path.write_bytes(data)
        self.contents.add_file(name, Member(path, len(data)))
        return digest_of(data)

    def document(self, name: str, value: object) -> str:
        return self.file(name, json.dumps(value).encode())

    def blob(self, data: bytes) -> dict[str, object]:
        digest = digest_of(data)
        self.file(f"blobs/sha256/{digest[7:]}", data)
        return {"digest": digest, "size": len(data)}

    def images(self, platform: Platform | None = None) -> list[ArchivedImage]:
        return images_in(self.contents, platform)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def config(diff_ids: list[str] = DIFF_IDS, architecture: str = "") -> bytes:
    return json.dumps(
        {"os": "linux", "architecture": architecture or host_platform().architecture, "rootfs": {"diff_ids": diff_ids}}
    ).encode()


def old_form(made: Made, *, tags: list[str] | None = None) -> None:
    digest = digest_of(config())
    made.file(f"{digest[7:]}.json", config())
    made.file("one/layer.tar", b"first")
    made.contents.add_link("two/layer.tar", "../one/layer.tar")
    made.document(
        "manifest.json",
        [{"Config": f"{digest[7:]}.json", "RepoTags": tags, "Layers": ["one/layer.tar", "two/layer.tar"]}],
    )


def test_the_old_form_is_understood_with_its_links(made: Made) -> None:
    old_form(made, tags=["busybox:1", "example.org/a:b"])
    (image,) = made.images()
    assert image.config_bytes == config()
    assert [layer.path.read_bytes() for layer in image.layers] == [b"first", b"first"]
    assert [reference.familiar for reference in image.references] == ["busybox:1", "example.org/a:b"]


def test_an_image_may_be_without_a_name(made: Made) -> None:
    old_form(made, tags=None)
    assert made.images()[0].references == ()


def test_the_new_form_is_understood(made: Made) -> None:
    layers = [made.blob(b"first"), made.blob(b"second")]
    configuration = made.blob(config())
    made.document("index.json", {"manifests": []})
    made.document("oci-layout", {"imageLayoutVersion": "1.0.0"})
    names = [f"blobs/sha256/{str(blob['digest'])[7:]}" for blob in (configuration, *layers)]
    made.document("manifest.json", [{"Config": names[0], "RepoTags": ["a:b"], "Layers": names[1:]}])
    (image,) = made.images()
    assert [layer.path.read_bytes() for layer in image.layers] == [b"first", b"second"]


def layout(made: Made, annotations: dict[str, str], *, platforms: list[str], nested: bool = True) -> None:
    manifests: list[dict[str, object]] = []
    for architecture in platforms:
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": made.blob(config(architecture=architecture)),
            "layers": [made.blob(b"first"), made.blob(b"second")],
        }
        manifests.append(
            {
                "mediaType": MANIFEST,
                **made.blob(json.dumps(manifest).encode()),
                "platform": {"os": "linux", "architecture": architecture},
            }
        )
    manifests.append(
        {"mediaType": MANIFEST, **made.blob(b"{}"), "platform": {"os": "unknown", "architecture": "unknown"}}
    )
    if nested:
        inner = made.blob(json.dumps({"schemaVersion": 2, "manifests": manifests}).encode())
        manifests = [{"mediaType": INDEX, **inner, "annotations": annotations}]
    else:
        manifests = [{**manifest, "annotations": annotations} for manifest in manifests]
    made.document("index.json", {"schemaVersion": 2, "manifests": manifests})
    made.document("oci-layout", {"imageLayoutVersion": "1.0.0"})


@pytest.mark.parametrize("nested", [True, False])
def test_a_layout_gives_the_image_for_this_machine_or_the_one_asked_for(made: Made, nested: bool) -> None:
    here = host_platform().architecture
    layout(made, {"io.containerd.image.name": "docker.io/library/a:b"}, platforms=["s390x", here], nested=nested)
    (image,) = made.images()
    assert image.config.architecture == here
    assert [reference.familiar for reference in image.references] == ["a:b"]
    (other,) = made.images(Platform("s390x", "linux"))
    assert other.config.architecture == "s390x"
    with pytest.raises(NotFound, match="no image for platform linux/riscv64"):
        made.images(Platform("riscv64", "linux"))


@pytest.mark.parametrize(
    ("annotations", "names"),
    [
        ({}, []),
        ({"org.opencontainers.image.ref.name": "latest"}, []),
        ({"org.opencontainers.image.ref.name": "example.org/a"}, ["example.org/a:latest"]),
    ],
)
def test_a_layout_may_not_say_the_name(made: Made, annotations: dict[str, str], names: list[str]) -> None:
    layout(made, annotations, platforms=[host_platform().architecture])
    assert [reference.familiar for reference in made.images()[0].references] == names


def test_a_blob_of_a_layout_with_another_digest_is_refused(made: Made) -> None:
    layout(made, {}, platforms=[host_platform().architecture])
    for name, member in list(made.contents.files.items()):
        if name.startswith("blobs/") and b"layers" in member.path.read_bytes():
            member.path.write_bytes(member.path.read_bytes().replace(b"schemaVersion", b"SchemaVersion"))
    with pytest.raises(InvalidArgument, match="has another digest"):
        made.images()


def test_a_manifest_that_says_it_is_something_else_is_refused(made: Made) -> None:
    docker = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = {"mediaType": docker, "config": made.blob(config([])), "layers": []}
    descriptor = {"mediaType": MANIFEST, **made.blob(json.dumps(manifest).encode())}
    made.document("index.json", {"manifests": [descriptor]})
    made.document("oci-layout", {})
    with pytest.raises(InvalidArgument, match="another media type"):
        made.images()


def test_indexes_that_hold_each_other_without_end_are_refused(made: Made) -> None:
    descriptor = {"mediaType": INDEX, **made.blob(b'{"manifests": []}')}
    for _ in range(10):
        descriptor = {"mediaType": INDEX, **made.blob(json.dumps({"manifests": [descriptor]}).encode())}
    made.document("index.json", {"manifests": [descriptor]})
    made.document("oci-layout", {})
    with pytest.raises(InvalidArgument, match="nested too deep"):
        made.images()


def test_what_is_no_archive_of_images_is_refused(made: Made) -> None:
    made.file("etc/passwd", b"root")
    with pytest.raises(InvalidArgument, match=r"neither manifest\.json nor index\.json"):
        made.images()


@pytest.mark.parametrize(
    "item",
    [
        {"Config": "missing.json", "Layers": []},
        {"Config": "config.json", "Layers": []},
        {"Config": "config.json", "Layers": ["layer", "missing"]},
        {"Config": "config.json", "Layers": ["layer", "../../../../etc/passwd"]},
        {"Config": "../../etc/passwd", "Layers": []},
        {"Config": "loop", "Layers": []},
        {"Config": "a" * 64 + ".json", "Layers": ["layer", "layer"]},
        {"Config": "blobs/sha256/" + "a" * 64, "Layers": ["layer", "layer"]},
        {"Config": "config.json", "Layers": ["layer", "layer"], "RepoTags": ["UPPER:1"]},
        {"Config": "config.json", "Layers": ["layer", "layer"], "RepoTags": ["untagged"]},
        {"Layers": []},
        {"Config": 7, "Layers": []},
    ],
    ids=range(12),
)
def test_a_manifest_that_is_wrong_is_refused(made: Made, item: object) -> None:
    for name in ("config.json", "a" * 64 + ".json", "blobs/sha256/" + "a" * 64):
        made.file(name, config())
    made.file("layer", b"layer")
    made.contents.add_link("loop", "loop")
    made.document("manifest.json", [item])
    with pytest.raises(InvalidArgument):
        made.images()


def test_an_image_of_too_many_layers_is_refused(made: Made) -> None:
    made.file("layer", b"layer")
    made.file("config.json", config([DIFF_IDS[0]] * (archive.MAX_LAYERS + 1)))
    made.document("manifest.json", [{"Config": "config.json", "Layers": ["layer"] * (archive.MAX_LAYERS + 1)}])
    with pytest.raises(InvalidArgument, match="max depth exceeded"):
        made.images()


def test_a_document_that_is_too_large_is_not_read(made: Made, tmp_path: Path) -> None:
    made.contents.add_file("manifest.json", Member(tmp_path / "never read", 1 << 40))
    with pytest.raises(InvalidArgument, match="larger than"):
        made.images()


def test_too_many_members_are_refused(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_MEMBERS", 3)
    for number in range(3):
        made.contents.add_link(str(number), "x")
    made.contents.add_link("2", "y")
    with pytest.raises(InvalidArgument, match="more than 3 members"):
        made.contents.add_link("3", "x")


def test_only_the_image_for_the_platform_asked_for_is_taken(made: Made) -> None:
    old_form(made)
    assert len(made.images(host_platform())) == 1
    with pytest.raises(NotFound):
        made.images(Platform("riscv64", "linux"))


def test_what_layers_are_for_is_known_before_they_are_here(made: Made) -> None:
    digest = digest_of(config())
    assert expected_layers(made.contents) == []
    item = {"Config": f"blobs/sha256/{digest[7:]}", "Layers": ["first", "second"]}
    made.document("manifest.json", [item, {"Config": "not here", "Layers": []}])
    assert expected_layers(made.contents) == []
    made.blob(config())
    assert expected_layers(made.contents) == [[("first", DIFF_IDS[0]), ("second", DIFF_IDS[1])]]
