"""What a .dockerignore leaves out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cais.build.ignore import Ignore, parse_ignore
from cais.errors import InvalidArgument


@pytest.mark.parametrize(
    ("patterns", "path", "left_out"),
    [
        (["a"], "a", True),
        (["a"], "a/b/c", True),
        (["a"], "b/a", False),
        (["a/"], "a", True),
        (["./a/../b"], "b", True),
        (["*.go"], "x.go", True),
        (["*.go"], "d/x.go", False),
        (["*/*.go"], "d/x.go", True),
        (["**/*.go"], "x.go", True),
        (["**/*.go"], "d/e/x.go", True),
        (["**"], "a/b", True),
        (["**/a"], "a", True),
        (["**/a"], "xa", False),
        (["**/a"], "b/a/c", True),
        (["a/**"], "a", False),
        (["a/**"], "a/b/c", True),
        (["a/**/b"], "a/b", True),
        (["a/**/b"], "a/x/y/b", True),
        (["a/**/b"], "ab", False),
        (["a**"], "abc", True),
        (["a?c"], "abc", True),
        (["a?c"], "a/c", False),
        (["[ab]"], "a", True),
        (["[^ab]"], "a", False),
        (["a\\*"], "a*", True),
        (["a\\*"], "ab", False),
        (["a.b"], "axb", False),
        (["a+(b)|{c}$"], "a+(b)|{c}$", True),
        (["*", "!a"], "a", False),
        (["*", "!a"], "b", True),
        (["*", "!a/b"], "a/b", False),
        (["*", "!a/b"], "a/c", True),
        (["!a", "*"], "a", True),
        (["**/*.md", "!README.md"], "README.md", False),
        (["**/*.md", "!README.md"], "d/README.md", True),
        (["a", "!a/b", "a/b/c"], "a/b/c", True),
        (["a", "!a/b", "a/b/c"], "a/b/d", False),
        (["**/*", "!**/*.go"], "d/x.go", False),
        ([" a "], "a", True),
        ([".git"], ".git/config", True),
        (["dir\\ x"], "dir x", True),
        (["é*"], "été", True),
    ],
)
def test_patterns_are_those_of_docker(patterns: list[str], path: str, left_out: bool) -> None:
    assert Ignore(patterns).leaves_out(path) is left_out


def test_comments_and_blank_lines_are_no_patterns() -> None:
    text = b"\xef\xbb\xbf# no\n\n a \n/b/c/\r\n! /d\n#e\n//f\n../g\n"
    assert parse_ignore(text) == ["a", "b/c", "!d", "f", "../g"]


@pytest.mark.parametrize("pattern", ["!", "[", "a[", "[b-a]"])
def test_a_pattern_without_sense_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidArgument):
        Ignore([pattern])


def test_a_folder_is_looked_into_where_an_exception_may_be_in_it() -> None:
    ignore = Ignore(["*", "!a/b/c", "!x/**/y"])
    assert ignore.has_exceptions
    assert ignore.may_be_needed("a")
    assert ignore.may_be_needed("a/b")
    assert ignore.may_be_needed("x/z")
    assert not ignore.may_be_needed("q")
    assert Ignore(["*", "!*.go"]).may_be_needed("q")


@given(st.lists(st.text(alphabet="ab*?[]!/\\.-^", max_size=8), max_size=4), st.lists(st.sampled_from("ab"), min_size=1))
def test_any_pattern_matches_or_is_refused(patterns: list[str], parts: list[str]) -> None:
    try:
        ignore = Ignore(parse_ignore("\n".join(patterns)))
    except InvalidArgument:
        return
    ignore.leaves_out("/".join(parts[:5]))
