"""Operating systems and architectures."""

import pytest

from cais.distribution.oci import Platform
from cais.distribution.platforms import choose, host_platform, matches, parse_platform, platform_text
from cais.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/amd64", Platform("amd64", "linux")),
        ("linux/arm64/v8", Platform("arm64", "linux", "v8")),
        ("Linux/x86_64", Platform("amd64", "linux")),
        ("arm64", Platform("arm64", "linux")),
        ("linux", Platform(host_platform().architecture, "linux")),
        ("windows/amd64", Platform("amd64", "windows")),
    ],
)
def test_platforms_are_parsed(text: str, platform: Platform) -> None:
    assert parse_platform(text) == platform


def test_nothing_is_no_wish() -> None:
    assert parse_platform("") is None
    assert matches(None, "linux", "s390x")


def test_a_single_word_must_be_a_known_one() -> None:
    assert parse_platform("s390x") == Platform("s390x", "linux")
    assert parse_platform("aarch64") == Platform("arm64", "linux")
    with pytest.raises(InvalidArgument, match='"foobar": unknown operating system or architecture: invalid argument'):
        parse_platform("foobar")


@pytest.mark.parametrize("text", ["a/b/c/d", "linux/", "/", "linux/a b", "linux//v8"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_platform(text)


def test_a_platform_is_matched_by_system_and_architecture() -> None:
    wanted = Platform("arm64", "linux", "v8")
    assert matches(wanted, "linux", "arm64")
    assert matches(wanted, "", "arm64")
    assert not matches(wanted, "linux", "amd64")
    assert not matches(wanted, "windows", "arm64")
    assert platform_text(wanted) == "linux/arm64/v8"


@pytest.mark.parametrize(
    ("offered", "wanted", "expected"),
    [
        (["linux/arm64", "linux/amd64"], "linux/amd64", 1),
        (["linux/arm64", "windows/amd64"], "linux/amd64", None),
        (["linux/arm/v6", "linux/arm/v7", "linux/arm/v8"], "linux/arm/v7", 1),
        (["linux/arm/v5", "linux/arm/v6"], "linux/arm/v7", 1),
        (["linux/arm/v7"], "linux/arm/v6", None),
        (["linux/arm64/v8"], "linux/arm64", 0),
        (["linux/arm64"], "linux/arm64/v8", 0),
        (["linux/amd64/v3", "linux/amd64"], "linux/amd64", 1),
        (["", "linux/amd64"], "linux/amd64", 1),
        (["", "linux/arm64"], "linux/amd64", 0),
    ],
)
def test_the_best_of_what_is_offered(offered: list[str], wanted: str, expected: int | None) -> None:
    platform = parse_platform(wanted)
    assert platform is not None
    assert choose([parse_platform(text) for text in offered], platform) == expected
