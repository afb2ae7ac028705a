"""The lines of a Dockerfile: directives, comments, continuations and heredocs, one node an instruction.

What an instruction means is the business of `cais.build.dockerfile`; the rules here are those of BuildKit's parser.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cais.build.arguments import BLANKS, is_array
from cais.build.errors import DockerfileError, WordError
from cais.build.words import SPACES, Rules, expand

_DIRECTIVE: Final = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*\Z")
_DIRECTIVES: Final = frozenset({"escape", "syntax", "check"})
_HEREDOC: Final = re.compile(r"(\d*)<<(-?+)([^<]+)", re.DOTALL)
_HEREDOC_SIGN: Final = re.compile(r"\d*<<-?")
_WITH_HEREDOCS: Final = frozenset({"add", "copy", "run"})
_TABS: Final = re.compile(r"^\t+", re.MULTILINE)
_BYTE_ORDER_MARK: Final = "\ufeff"


@dataclass(frozen=True, slots=True)
class Heredoc:
    """`<<NAME`. `content` is as it stands in the file; `text` is without leading tabs, where `<<-` asks for that."""

    name: str
    content: str = ""
    expands: bool = True  # false where the name is quoted
    chomps: bool = False

    @property
    def text(self) -> str:
        return _TABS.sub("", self.content) if self.chomps else self.content


@dataclass(frozen=True, slots=True)
class Node:
    """One instruction as it stands in the file. Lines are counted from 1; `arguments` is what follows the flags."""

    keyword: str
    flags: tuple[str, ...]
    arguments: str
    original: str
    first_line: int
    last_line: int
    heredocs: tuple[Heredoc, ...] = ()
    comments: tuple[str, ...] = ()  # those directly above it, down from the last empty one
    has_empty_continuation: bool = False


@dataclass(frozen=True, slots=True)
class Lexed:
    name: str
    lines: tuple[str, ...]
    escape: str
    directives: Mapping[str, str]
    directive_lines: Mapping[str, int]
    nodes: tuple[Node, ...]


def lex(text: str, name: str) -> Lexed:
    """Raises: DockerfileError, with its excerpt."""
    lexer = _Lexer(text, name)
    try:
        return lexer.lex()
    except DockerfileError as error:
        error.is_syntax = True
        raise error.within(lexer.lines) from None


def split_keyword(line: str) -> tuple[str, tuple[str, ...], str]:
    """The keyword, the flags and the rest of a whole line."""
    keyword, *rest = BLANKS.split(line.strip(SPACES), maxsplit=1)
    if not rest:
        return keyword, (), ""
    arguments, flags = _split_flags(rest[0])
    return keyword, tuple(flags), arguments.strip(SPACES)


def heredoc_of(word: str) -> Heredoc | None:
    """The heredoc that a word announces, None where it is an ordinary word."""
    found = _HEREDOC.fullmatch(word)
    if not found:
        return None
    try:
        plain = expand(found[3], {}, Rules(unset_stays=True)).words
        raw = expand(found[3], {}, Rules(unset_stays=True, raw_quotes=True)).words
    except WordError:
        return None
    if len(plain) != 1:
        return None
    return Heredoc(plain[0], expands=plain == raw, chomps=found[2] == "-")


class _Lexer:
    def __init__(self, text: str, name: str) -> None:
        self._raw = text.removeprefix(_BYTE_ORDER_MARK).split("\n")
        self.lines = tuple(line.rstrip("\r") for line in self._raw)
        self._name = name
        self._count = len(self.lines) - (self.lines[-1] == "")  # what follows the last newline is no line
        self._at = 0  # lines taken so far, which is the number of the last one
        self._escape = "\\"
        self._continuation = _continuation("\\")
        self._directives: dict[str, str] = {}
        self._directive_lines: dict[str, int] = {}
        self._directives_end = False

    def lex(self) -> Lexed:
        nodes = tuple(self._nodes())
        if not nodes:
            raise DockerfileError("file with no instructions", self._name, self._at)
        directives = self._directives, self._directive_lines
        return Lexed(self._name, self.lines[: self._count], self._escape, *directives, nodes)

    def _nodes(self) -> Iterator[Node]:
        comments: list[str] = []
        while self._at < self._count:
            line = self._take().lstrip(SPACES)
            if self._take_directive(line):
                continue
            if line.startswith("#"):
                comment = line[1:].strip(SPACES)
                comments = [*comments, comment] if comment else []
                continue
            line, goes_on = self._without_continuation(line)
            if line or goes_on:
                yield self._node(line, tuple(comments), goes_on=goes_on)
            comments = []

    def _take(self) -> str:
        self._at += 1
        return self.lines[self._at - 1]

    def _without_continuation(self, line: str) -> tuple[str, bool]:
        shortened = self._continuation.sub("", line)
        return shortened, shortened != line

    def _node(self, line: str, comments: tuple[str, ...], *, goes_on: bool) -> Node:
        first, has_empty = self._at, False
        pieces = [line]
        while goes_on and self._at < self._count:
            line = self._take()
            if line.lstrip(SPACES).startswith("#"):
                continue
            if not line.strip(SPACES):
                has_empty = True
                continue
            line, goes_on = self._without_continuation(line)
            pieces.append(line)
        whole = "".join(pieces)
        keyword, flags, arguments = split_keyword(whole)
        heredocs = tuple(self._heredocs(keyword, arguments, whole, first))
        return Node(keyword, flags, arguments, whole, first, self._at, heredocs, comments, has_empty)

    def _heredocs(self, keyword: str, arguments: str, line: str, first: int) -> Iterator[Heredoc]:
        if "<<" not in line:
            return
        if keyword.lower() == "onbuild":
            keyword, _, arguments = split_keyword(arguments)
        if keyword.lower() not in _WITH_HEREDOCS or is_array(arguments):
            return
        rules = Rules(unset_stays=True, raw_quotes=True, raw_escapes=True)
        try:
            words = expand(line, {}, rules).words
        except WordError:
            return  # quotes that do not close: the shell's affair
        for before, word in itertools.pairwise(("", *words)):
            # as in the shell, blanks may follow the sign
            heredoc = heredoc_of(f"{before} {word}") if _HEREDOC_SIGN.fullmatch(before) else heredoc_of(word)
            if heredoc is not None:
                content = self._content(heredoc, first)
                yield Heredoc(heredoc.name, content, heredoc.expands, heredoc.chomps)

    def _content(self, heredoc: Heredoc, first: int) -> str:
        taken: list[str] = []
        while self._at < self._count:
            line = self._take()
            if (line.lstrip("\t") if heredoc.chomps else line) == heredoc.name:
                return "".join(f"{line}\n" for line in taken)
            taken.append(self._raw[self._at - 1])
        raise DockerfileError("unterminated heredoc", self._name, first, self._at)

    def _take_directive(self, line: str) -> bool:
        """Whether the line was a directive. They come before all else, a comment too."""
        if self._directives_end or (self._at == 1 and line.startswith("#!")):
            return False
        found = _DIRECTIVE.match(line)
        key = found[1].lower() if found else ""
        if found is None or key not in _DIRECTIVES:
            self._directives_end = True
            return False
        if key in self._directives:
            raise DockerfileError(f"only one {key} parser directive can be used", self._name, self._at)
        value = found[2]
        if key == "escape":
            if value not in ("\\", "`"):
                raise DockerfileError(f"invalid escape token '{value}' does not match ` or \\", self._name, self._at)
            self._escape = value
            self._continuation = _continuation(value)
        self._directives[key] = value
        self._directive_lines[key] = self._at
        return True


def _continuation(escape: str) -> re.Pattern[str]:
    """The escape that continues a line; where two of them stand at the end, none does."""
    one = re.escape(escape)
    return re.compile(rf"(?<!{one}){one}[ \t]*\Z")


def _split_flags(text: str) -> tuple[str, list[str]]:
    """The flags at the beginning of a text, without quotes, and what follows them."""
    flags: list[str] = []
    at = 0
    while True:
        while at < len(text) and text[at] in SPACES:
            at += 1
        if not text.startswith("--", at):
            return text[at:], flags
        word, at = _flag_word(text, at)
        if word == "--":
            return text[at:], flags
        flags.append(word)


def _flag_word(text: str, at: int) -> tuple[str, int]:
    """The word at a place, and the place behind it. Quotes group, a backslash escapes."""
    word: list[str] = []
    quote = ""
    while at < len(text):
        letter = text[at]
        if not quote and letter in SPACES:
            break
        at += 1
        if letter == quote:
            quote = ""
        elif not quote and letter in "'\"":
            quote = letter
        elif letter == "\\":
            word.append(text[at : at + 1])
            at += 1
        else:
            word.append(letter)
    return "".join(word), at
