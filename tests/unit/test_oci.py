"""Image configurations, manifests and indexes."""

import json

import pytest

from cais.distribution import oci
from cais.errors import InvalidArgument

DIGEST = "sha256:" + "a" * 64


def config(**more: object) -> bytes:
    return json.dumps(
        {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [DIGEST]}, **more}
    ).encode()


def descriptor(media_type: str = "x") -> dict[str, object]:
    return {"mediaType": media_type, "digest": DIGEST, "size": 3}


def test_a_configuration_is_read_with_null_for_what_is_not_there() -> None:
    read = oci.decode_config(
        config(
            config={"Cmd": ["sh"], "Env": None, "Labels": {"a": "b"}, "Volumes": {"/v": {}}, "Hostname": "ignored"},
            history=[{"created_by": "x"}, {"empty_layer": True}],
            unknown={"a": [1]},
        )
    )
    assert read.diff_ids == (DIGEST,)
    assert read.defaults.cmd == ["sh"]
    assert read.defaults.env is None
    assert read.defaults.labels == {"a": "b"}
    assert [step.empty_layer for step in read.history or ()] == [False, True]


def test_a_configuration_without_defaults_has_empty_ones() -> None:
    assert oci.decode_config(config()).defaults == oci.ContainerConfig()
    assert oci.decode_config(b"{}").diff_ids == ()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"nonsense",
        b"\xff",
        b'{"os": "windows"}',
        b'{"rootfs": {"type": "other"}}',
        b'{"rootfs": {"diff_ids": ["sha256:../x"]}}',
        b'{"rootfs": {"diff_ids": ["sha512:' + b"a" * 128 + b'"]}}',
        b'{"rootfs": {"diff_ids": [7]}}',
        b'{"os": "linux", "os": "linux"}',
        b'{"config": {"Labels": {"a": "1", "a": "2"}}}',
        b'{"config": {"Labels": {"a": "\\ud800"}}}',
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"a": ' + b"1" * 5000 + b"}",
        b" " * (oci.MAX_DOCUMENT_BYTES + 1),
    ],
    ids=range(15),
)
def test_a_configuration_that_is_wrong_or_ambiguous_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        oci.decode_config(data)


def test_a_manifest_is_read() -> None:
    data = json.dumps({"schemaVersion": 2, "config": descriptor(), "layers": [descriptor(), descriptor()]}).encode()
    manifest = oci.decode_manifest(data)
    assert manifest.config.digest == DIGEST
    assert len(manifest.layers) == 2


@pytest.mark.parametrize(
    "document",
    [
        {"config": descriptor(), "layers": [], "manifests": []},
        {"config": descriptor(), "layers": [], "fsLayers": []},
        {"config": descriptor(), "layers": [], "mediaType": "application/vnd.oci.image.index.v1+json"},
        {"config": {**descriptor(), "digest": "sha256:x"}, "layers": []},
        {"config": {**descriptor(), "size": -1}, "layers": []},
        {"layers": []},
    ],
)
def test_a_manifest_that_is_something_else_too_is_refused(document: object) -> None:
    with pytest.raises(InvalidArgument):
        oci.decode_manifest(json.dumps(document).encode())


def test_an_index_is_read_and_one_that_is_a_manifest_too_is_refused() -> None:
    index = oci.decode_index(json.dumps({"manifests": [{**descriptor(), "platform": {"os": "linux"}}]}).encode())
    assert index.manifests[0].platform == oci.Platform(os="linux")
    extras: list[dict[str, object]] = [{"layers": []}, {"config": descriptor()}, {"mediaType": "text/plain"}]
    for extra in extras:
        with pytest.raises(InvalidArgument):
            oci.decode_index(json.dumps({"manifests": [], **extra}).encode())
