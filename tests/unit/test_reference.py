"""Names of images, in Docker's grammar."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cais.distribution.reference import Reference, checked_digest, is_hex_id, parse, parse_parts
from cais.errors import InvalidArgument

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "whole", "familiar"),
    [
        ("busybox", "docker.io/library/busybox", "busybox"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("library/busybox", "docker.io/library/busybox", "busybox"),
        ("me/app", "docker.io/me/app", "me/app"),
        ("docker.io/busybox", "docker.io/library/busybox", "busybox"),
        ("index.docker.io/busybox", "docker.io/library/busybox", "busybox"),
        ("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("localhost/app", "localhost/app", "localhost/app"),
        ("localhost:5000/app:x", "localhost:5000/app:x", "localhost:5000/app:x"),
        ("example.org/a/b:t", "example.org/a/b:t", "example.org/a/b:t"),
        ("[::1]:5000/app", "[::1]:5000/app", "[::1]:5000/app"),
        ("UPPER/case", "UPPER/case", "UPPER/case"),
        ("cais.local/debian:sid", "cais.local/debian:sid", "cais.local/debian:sid"),
        (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}", f"busybox@{DIGEST}"),
        (f"a/b:t@{DIGEST}", f"docker.io/a/b:t@{DIGEST}", f"a/b:t@{DIGEST}"),
        ("a__b.c-d--e", "docker.io/library/a__b.c-d--e", "a__b.c-d--e"),
        ("sha256:7d2b", "docker.io/library/sha256:7d2b", "sha256:7d2b"),
    ],
)
def test_short_names_stand_for_whole_ones(text: str, whole: str, familiar: str) -> None:
    reference = parse(text)
    assert str(reference) == whole
    assert reference.familiar == familiar
    assert parse(whole) == reference


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid reference format"),
        ("a b", "invalid reference format"),
        ("-a", "invalid reference format"),
        ("a:", "invalid reference format"),
        ("a:-x", "invalid reference format"),
        ("a/", "invalid reference format"),
        ("/a", "invalid reference format"),
        ("a//b", "invalid reference format"),
        ("a..b", "invalid reference format"),
        ("a:" + "x" * 129, "invalid reference format"),
        ("a\n", "invalid reference format"),
        ("a@sha256:abc", "invalid reference format"),
        (f"a@sha256:{HEX[:-1]}", "invalid reference format: invalid checksum digest length"),
        (f"a@md5:{HEX}", "invalid reference format: unsupported digest algorithm"),
        ("Busybox", "invalid reference format: repository name (library/Busybox) must be lowercase"),
        ("UPPER/Case:1", "invalid reference format: repository name (Case) must be lowercase"),
        (HEX, f"invalid repository name ({HEX}), cannot specify 64-byte hexadecimal strings"),
        ("a/" * 130 + "a", "repository name must not be more than 255 characters"),
    ],
)
def test_what_is_no_name_is_refused_in_docker_s_words(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(text)
    assert caught.value.message == message


def test_a_tag_is_added_only_where_nothing_says_which() -> None:
    assert parse("a").with_default_tag().familiar == "a:latest"
    assert parse("a:b").with_default_tag().familiar == "a:b"
    assert parse(f"a@{DIGEST}").with_default_tag().familiar == f"a@{DIGEST}"


def test_repository_and_tag_come_together() -> None:
    assert parse_parts("a:x", "") == parse("a:x")
    assert parse_parts("a:x", "y") == parse("a:y")
    assert parse_parts("a", DIGEST) == parse(f"a@{DIGEST}")
    with pytest.raises(InvalidArgument, match=r"^invalid tag format$"):
        parse_parts("a", " x")
    with pytest.raises(InvalidArgument, match=r"^invalid reference format$"):
        parse_parts("", "x")


@pytest.mark.parametrize("digest", ["", "sha256", "sha256:", "sha256:../x", f"sha256:{HEX.upper()}", f"SHA256:{HEX}"])
def test_a_digest_that_is_none_is_refused(digest: str) -> None:
    with pytest.raises(InvalidArgument):
        checked_digest(digest)


def test_a_whole_id_is_told_from_a_name() -> None:
    assert is_hex_id(HEX)
    assert not is_hex_id(HEX[:-1])
    assert not is_hex_id(HEX + "\n")


@given(st.text(max_size=60))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        reference = parse(text)
    except InvalidArgument:
        return
    assert isinstance(reference, Reference)
    assert parse(str(reference)) == reference
    assert parse(reference.familiar) == reference
