"""What our own command asks of a build beyond Docker's parameters, and what it is told."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cais.api.build_extras import Extras, decode_extras
from cais.api.build_steps import StepStream
from cais.build.events import Finished, Output, Planned, Pulling, Started
from cais.build.kept_files import is_file, parse_manifest
from cais.engine.progress import Progress
from cais.errors import InvalidArgument


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
