"""Quotes, escapes and variables, as BuildKit's lexer takes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cais.build.errors import WordError
from cais.build.words import Rules, expand
from cais.gotext import go_quote

VARIABLES = {
    "foo": "bar",
    "empty": "",
    "path": "/usr/lib/lib.tar.gz",
    "str": "foobarbaz/abc/abc",
    "ключ": "да",
    "1": "one",
}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("$foo-$foo", "bar-bar"),
        ("${foo}x", "barx"),
        ("$foox", ""),
        ("$", "$"),
        ("$$", ""),
        ("a$.b", "a$.b"),
        ("$1x", "onex"),
        ("$ключ", "да"),
        ("\\$foo", "$foo"),
        ("\\\\$foo", "\\bar"),
        ("end\\", "end"),
        ("'$foo'", "$foo"),
        ('"$foo"', "bar"),
        ('"a\\"b\\$c\\d"', 'a"b$c\\d'),
        ('"it\'s"', "it's"),
        ("'a\\'", "a\\"),
        ("a'b'\"c\"", "abc"),
        ("${foo:-x}", "bar"),
        ("${foo-x}", "bar"),
        ("${none:-x$foo}", "xbar"),
        ("${none-x}", "x"),
        ("${empty-x}", ""),
        ("${empty:-x}", "x"),
        ("${none:-${empty:-${foo}}}", "bar"),
        ("${none:-'a b'}", "a b"),
        ("${foo:+x}", "x"),
        ("${foo+x}", "x"),
        ("${none+x}", ""),
        ("${empty+x}", "x"),
        ("${empty:+x}", ""),
        ("${foo?no}", "bar"),
        ("${empty?no}", ""),
        ("${foo#b}", "ar"),
        ("${path#*/}", "usr/lib/lib.tar.gz"),
        ("${path##*/}", "lib.tar.gz"),
        ("${path%.*}", "/usr/lib/lib.tar"),
        ("${path%%.*}", "/usr/lib/lib"),
        ("${path%zip}", "/usr/lib/lib.tar.gz"),
        ("${foo#?}", "ar"),
        ("${none#x}", ""),
        ("${str/abc/X}", "foobarbaz/X/abc".replace("X", "X")),
        ("${str//abc/X}", "foobarbaz/X/X"),
        ("${str/b*z/X}", "fooX/abc/abc"),
        ("${str//\\//-}", "foobarbaz-abc-abc"),
        ("${str/nothing/X}", "foobarbaz/abc/abc"),
        ("${foo//*/X}", "X"),
        ("${foo/a/}", "br"),
        ("${str#foo\\*}", "foobarbaz/abc/abc"),
    ],
)
def test_variables_are_replaced(text: str, result: str) -> None:
    assert expand(text, VARIABLES).text == result


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("${", "syntax error: missing '}'"),
        ("${foo", "syntax error: missing '}'"),
        ("${}", "syntax error: bad substitution"),
        ("${:x}", "syntax error: bad substitution"),
        ("${foo:-x", "syntax error: missing '}'"),
        ("${foo!x}", "unsupported modifier (!) in substitution"),
        ("${foo:x}", "unsupported modifier (:x) in substitution"),
        ("${none?}", "none: is not allowed to be unset"),
        ("${empty:?}", "empty: is not allowed to be empty"),
        ("${none:?give it}", "none: give it"),
        ("${foo/a}", "syntax error: missing '/' in ${}"),
        ("${foo#\\a}", "invalid pattern (\\a) in substitution: invalid escape '\\a'"),
        ("'a", "unexpected end of statement while looking for matching single-quote"),
        ('"a', "unexpected end of statement while looking for matching double-quote"),
        ("${foo:-" * 100, "too many substitutions inside each other"),
    ],
)
def test_what_makes_no_sense_is_an_error_that_quotes_it(text: str, reason: str) -> None:
    with pytest.raises(WordError) as caught:
        expand(text, VARIABLES)
    assert str(caught.value) == f"failed to process {go_quote(text)}: {reason}"


def test_words_end_at_spaces_that_are_neither_quoted_nor_escaped_even_in_a_value() -> None:
    assert expand("a 'b c' d\\ e $ports \"$ports\"", {"ports": "1 2"}).words == ("a", "b c", "d e", "1", "2", "1 2")


def test_the_variables_that_were_asked_for_are_told() -> None:
    expanded = expand("$foo ${none:-$other}", VARIABLES)
    assert expanded.found == {"foo"}
    assert expanded.missing == {"none", "other"}


def test_another_escape_makes_a_backslash_an_ordinary_letter() -> None:
    assert expand("c:\\$foo `$foo", VARIABLES, Rules("`")).text == "c:\\bar $foo"


def test_quotes_escapes_and_unknown_names_stay_where_the_rules_say_so() -> None:
    rules = Rules(raw_quotes=True, raw_escapes=True, unset_stays=True)
    text = '\'a\' "b\\"" \\c $none ${none} ${none:-d}'
    assert expand(text, {}, rules).text == text
    assert expand("it's $foo", VARIABLES, Rules(ignores_quotes=True)).text == "it's bar"


def test_text_is_quoted_as_in_go() -> None:
    assert go_quote('a"\\\n\x01é\u200b') == '"a\\"\\\\\\n\\x01é\\u200b"'


@given(st.text(alphabet="ab ${}:-+?#%/\\'\"*x", max_size=40), st.booleans())
def test_any_text_expands_or_is_refused(text: str, raw: bool) -> None:
    try:
        expanded = expand(text, {"a": "value", "b": ""}, Rules(raw_quotes=raw, raw_escapes=raw))
    except WordError:
        return
    assert "".join(expanded.words).replace(" ", "") == expanded.text.replace(" ", "")


def test_a_hostile_pattern_takes_no_time() -> None:
    value = "a" * 5000
    assert expand("${v##" + "*a" * 200 + "b}", {"v": value}).text == value
