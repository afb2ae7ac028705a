"""What our own command asks of a build beyond Docker's parameters, and what it is told."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cais.api.build_extras import Extras, decode_extras
from cais.api.build_steps import StepStream
from cais.build.cacheimages import LABEL, steps_of
from cais.build.events import Finished, Output, Planned, Pulling, Started
from cais.build.kept_files import is_file, parse_manifest
from cais.distribution.oci import ContainerConfig, ImageConfig, RootFS
from cais.engine.image import Image
from cais.engine.progress import Progress
from cais.errors import InvalidArgument
from cais.storage.layers import chain_ids


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def test_the_header_says_everything_at_once() -> None:
    asked = {"Steps": True, "Secrets": {"a": "aGk="}, "NoCacheFilter": ["x"], "Context": "c", "Ssh": {"d": "/s"}}
    extras = decode_extras(encoded({**asked, "Contexts": {"n": "kept:1"}}))
    assert extras == Extras(True, {"a": b"hi"}, frozenset({"x"}), "c", {"n": "kept:1"}, {"d": "/s"})
    assert decode_extras("") == Extras()


@pytest.mark.parametrize("header", ["!", "e30", encoded([]), encoded({"Secrets": {"a": 1}}), encoded({"Other": 1})])
def test_a_header_that_makes_no_sense_is_refused(header: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid X-Cais-Build"):
        decode_extras(header)


def test_events_are_told_one_by_one() -> None:
    told: list[object] = []
    stream = StepStream(lambda message: told.append(json.loads(message) if isinstance(message, bytes) else message))
    progress = Progress(status="Pulling")
    letter = "é".encode()
    for event in (
        Planned(("FROM x", "RUN y"), ("a", "b")),
        Pulling(1, progress),
        Started(2, "container"),
        Output(2, "stdout", letter[:1]),
        Output(2, "stderr", b"\xff"),
        Output(2, "stdout", letter[1:] + b"\n"),
        Finished(2, cached=True),
        Finished(1, error="bad"),
    ):
        stream.tell(event)
    assert told == [
        {"build": {"planned": [{"text": "FROM x", "stage": "a"}, {"text": "RUN y", "stage": "b"}]}},
        progress,
        {"build": {"started": 2}},
        {"build": {"output": 2, "source": "stderr", "data": "\ufffd"}},
        {"build": {"output": 2, "source": "stdout", "data": "é\n"}},
        {"build": {"finished": 2, "cached": True, "error": ""}},
        {"build": {"finished": 1, "cached": False, "error": "bad"}},
    ]


def test_a_manifest_says_seven_things_of_each_file() -> None:
    files = parse_manifest(b"100644\x005\x001\x002\x003\0a/b\0\x00120777\x000\x001\x002\x004\0l\0a/b\0")
    assert files == {"a/b": ("100644", "5", "1", "2", "3", ""), "l": ("120777", "0", "1", "2", "4", "a/b")}
    assert [is_file(fields) for fields in files.values()] == [True, False]
    assert parse_manifest(b"") == {}


@pytest.mark.parametrize(
    "manifest",
    [
        b"x",
        b"\0",
        b"9\x001\x001\x001\x001\0a\0\0",
        b"100644\0-1\x001\x001\x001\0a\0\0",
        b"100644\x001\x001\x001\x001\0a\0",
    ],
)
def test_a_manifest_of_another_form_is_refused(manifest: bytes) -> None:
    with pytest.raises(InvalidArgument, match="invalid manifest"):
        parse_manifest(manifest)


@given(
    st.binary(max_size=60) | st.lists(st.sampled_from(["1", "100644", "a", ""])).map(lambda x: "\0".join(x).encode())
)
def test_any_manifest_is_read_or_refused(manifest: bytes) -> None:
    try:
        parse_manifest(manifest)
    except InvalidArgument:
        return


def cached_image(label: str) -> Image:
    config = ImageConfig(
        architecture="amd64",
        os="linux",
        config=ContainerConfig(labels={LABEL: label}),
        rootfs=RootFS(diff_ids=["sha256:" + "1" * 64, "sha256:" + "2" * 64]),
    )
    return Image(id="sha256:0", config=config, references=(), repo_digests=(), size_bytes=0)


def test_an_image_tells_the_steps_that_made_its_layers() -> None:
    records = [{"key": str(n), "layers": n, "kind": "regular", "text": "t", "created_ns": 5} for n in (0, 1, 2, 3, -1)]
    image = cached_image(json.dumps({"images": 1, "steps": records}))
    chain = chain_ids(image.config.diff_ids)
    assert [(step.key, step.chain_id, step.parent) for step in steps_of(image)] == [
        ("0", None, ""),
        ("1", chain[0], ""),
        ("2", chain[1], chain[0]),
    ]


@pytest.mark.parametrize("label", ["", "{}", "[]", '{"images": 1, "steps": [{"key": 1}]}', "[" * 100_000])
def test_an_image_that_tells_none_or_nonsense_has_no_cache(label: str) -> None:
    assert steps_of(cached_image(label)) == []
