"""Platforms as users write them."""

import pytest

from cais.cli.command import CommandError
from cais.cli.platform import parse_platform, platform_query


@pytest.mark.parametrize(
    ("text", "system", "architecture", "variant"),
    [
        ("linux/amd64", "linux", "amd64", ""),
        ("Linux/AMD64", "linux", "amd64", ""),
        ("linux/amd64/v1", "linux", "amd64", ""),
        ("linux/amd64/v3", "linux", "amd64", "v3"),
        ("linux/arm64/v8", "linux", "arm64", "v8"),
        ("linux/arm64/8", "linux", "arm64", "v8"),
        ("linux/arm/7", "linux", "arm", "v7"),
        ("linux/armhf", "linux", "arm", ""),
        ("armel", "linux", "arm", "v6"),
        ("aarch64", "linux", "arm64", ""),
        ("x86_64", "linux", "amd64", ""),
        ("macos/arm64", "darwin", "arm64", ""),
        ("foo/bar", "foo", "bar", ""),
    ],
)
def test_a_platform_is_taken_apart(text: str, system: str, architecture: str, variant: str) -> None:
    wanted = {"os": system, "architecture": architecture} | ({"variant": variant} if variant else {})
    assert parse_platform(text) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a/b/c/d", '"a/b/c/d": cannot parse platform specifier: invalid argument'),
        ("foo", '"foo": unknown operating system or architecture: invalid argument'),
        ("linux/", '"" is an invalid component of "linux/"'),
        ("a/b!", '"b!" is an invalid component of "a/b!"'),
    ],
)
def test_what_is_no_platform_is_refused(text: str, message: str) -> None:
    with pytest.raises(CommandError) as caught:
        platform_query(text)
    assert str(caught.value).startswith(f"invalid platform: {message}")


def test_a_platform_goes_as_json() -> None:
    assert platform_query("linux/arm64") == {"platform": '{"architecture":"arm64","os":"linux"}'}
    assert platform_query("") == {}
