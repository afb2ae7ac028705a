"""Names of images."""

import pytest

from cais.cli.reference import Reference, is_image_id

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("busybox", "docker.io/library/busybox", "busybox"),
        ("busybox:1", "docker.io/library/busybox:1", "busybox:1"),
        ("a/b/c", "docker.io/a/b/c", "a/b/c"),
        ("index.docker.io/foo", "docker.io/library/foo", "foo"),
        ("docker.io/library/foo", "docker.io/library/foo", "foo"),
        ("cais.local/busybox", "cais.local/busybox", "cais.local/busybox"),
        ("localhost/x:y", "localhost/x:y", "localhost/x:y"),
        ("host:80/x", "host:80/x", "host:80/x"),
        ("[::1]:80/x", "[::1]:80/x", "[::1]:80/x"),
        (f"x@{DIGEST}", f"docker.io/library/x@{DIGEST}", f"x@{DIGEST}"),
        (f"x:t@{DIGEST}", f"docker.io/library/x:t@{DIGEST}", f"x:t@{DIGEST}"),
        ("a__b--c.d", "docker.io/library/a__b--c.d", "a__b--c.d"),
    ],
)
def test_names_have_a_full_and_a_familiar_form(text: str, full: str, familiar: str) -> None:
    reference = Reference(text)
    assert reference.full == full
    assert reference.familiar == familiar


def test_without_tag_and_digest_the_tag_is_latest() -> None:
    assert Reference("x").tagged().familiar == "x:latest"
    assert Reference("x:1").tagged().familiar == "x:1"
    assert Reference(f"x@{DIGEST}").tagged().familiar == f"x@{DIGEST}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("UPPER", "invalid reference format: repository name (library/UPPER) must be lowercase"),
        ("UPPER/Case:1", "invalid reference format: repository name (Case) must be lowercase"),
        ("a" * 64, f"invalid repository name ({'a' * 64}), cannot specify 64-byte hexadecimal strings"),
        ("x" * 256, "repository name must not be more than 255 characters"),
        ("x@sha256:" + "0" * 32, "invalid checksum digest length"),
        ("x@foo:" + "0" * 32, "unsupported digest algorithm"),
        *[
            (text, "invalid reference format")
            for text in (
                *("", "a_", "a___b", "a..b", ".a", "a b", "a/", "/a", "a:", "a:.x", "a:b:c", "-x/y", "x@", "x@y"),
                *("x@sha256:12", "ab:" + "x" * 129, "ho_st.x/y", "host:port/x"),
            )
        ],
    ],
)
def test_bad_names_are_refused_in_docker_s_words(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        Reference(text)
    assert str(caught.value) == message


def test_whole_ids_are_no_names() -> None:
    assert is_image_id(DIGEST)
    assert is_image_id("ab" * 32)
    assert not is_image_id("busybox")
    assert not is_image_id("sha512:" + "ab" * 32)
