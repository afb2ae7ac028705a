"""Builds the trees of a template from its tokens: recursive descent, one method a construct.

text     = { TEXT | "{{" action "}}" }
action   = if | with | range | template | block | break | continue | pipeline          (define: at the top alone)
pipeline = [ $x [ "," $y ] ( ":=" | "=" ) ] command { "|" command }
command  = operand { SPACE operand }
operand  = ( literal | .A | $x | function | "(" pipeline ")" ) { .B }
"""

from __future__ import annotations

from cais.cli.gotemplate import nodes
from cais.cli.gotemplate.errors import TemplateError
from cais.cli.gotemplate.lexer import Token, tokens
from cais.cli.gotemplate.literals import parse_number, quote, unquote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    from cais.cli.gotemplate.lexer import Kind

_OPERANDS = frozenset([
    "bool", "constant", "complex", ".", "field", "identifier", "number", "nil", "raw string", "string", "variable",
    "left paren",
])  # fmt: skip
_PLAIN = (nodes.Bool, nodes.StringLiteral, nodes.NumberLiteral, nodes.Nil, nodes.Dot)
_DEEPEST = 100  # parentheses and blocks inside one another: Python's stack ends before Go's does


def parse(name: str, text: str, functions: Container[str]) -> dict[str, nodes.Body]:
    """The trees of a template by name: its own, and those that it defines. Raises TemplateError."""
    parser = _Parser(name, text, functions)
    parser.run()
    return parser.trees


class _Parser:
    def __init__(self, name: str, text: str, functions: Container[str]) -> None:
        self.name = name
        self.functions = functions
        self.trees: dict[str, nodes.Body] = {}
        self._tokens = tokens(text)
        self._next = 0
        self._furthest = 0  # the last token that was looked at: errors are reported at its line
        self._depth = 0
        self._variables = ["$"]
        self._range_depth = 0
        self._action_line = 0

    # tokens

    def _peek(self) -> Token:
        at = min(self._next, len(self._tokens) - 1)
        self._furthest = max(self._furthest, at)
        return self._tokens[at]

    def _take(self) -> Token:
        token = self._peek()
        self._next += 1
        return token

    def _peek_word(self) -> Token:
        """The next token that is not blank space, which is skipped."""
        if self._peek().kind == "space":
            self._next += 1
        return self._peek()

    def _take_word(self) -> Token:
        token = self._peek_word()
        self._next += 1
        return token

    def _expect(self, kinds: tuple[Kind, ...], context: str) -> Token:
        token = self._take_word()
        if token.kind not in kinds:
            raise self._unexpected(token, context)
        return token

    # errors

    def _error(self, message: str) -> TemplateError:
        return TemplateError(f"template: {self.name}:{self._tokens[self._furthest].line}: {message}")

    def _unexpected(self, token: Token, context: str) -> TemplateError:
        if token.kind != "error":
            return self._error(f"unexpected {token} in {context}")
        where = ""
        if self._action_line not in {0, token.line}:
            where = f" started at {self.name}:{self._action_line}"
            if not token.text.endswith(" action"):
                where = " in action" + where
        return self._error(f"{token}{where}")

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error(f"more than {_DEEPEST} parentheses and blocks inside one another")

    # the structure of the text

    def run(self) -> None:
        root = nodes.Body(self._peek().at)
        while self._peek().kind != "eof":
            start = self._next
            if self._take().kind == "left" and self._take_word().kind == "define":
                self._definition()
                continue
            self._next = start
            node = self._text_or_action()
            if _ends(node):
                raise self._error(f"unexpected {node}")
            root.nodes.append(node)
        self._add(self.name, root)

    def _add(self, name: str, tree: nodes.Body) -> None:
        known = self.trees.get(name)
        if known is None or known.is_blank:
            self.trees[name] = tree
        elif not tree.is_blank:
            raise self._error(f"template: multiple definition of template {quote(name)}")

    def _definition(self) -> None:
        context = "define clause"
        name = self._unquote(self._expect(("string", "raw string"), context))
        self._expect(("right",), context)
        self._named_body(name, context)

    def _named_body(self, name: str, context: str) -> None:
        """The body of a template inside the template: the variables and loops around it are not its own."""
        outer = self._variables, self._range_depth, self._action_line
        self._variables, self._range_depth, self._action_line = ["$"], 0, 0
        body, end = self._body()
        if end.word != "end":
            raise self._error(f"unexpected {end} in {context}")
        self._add(name, body)
        self._variables, self._range_depth, self._action_line = outer

    def _body(self) -> tuple[nodes.Body, nodes.Mark]:
        """Everything up to {{end}} or {{else}}, and that."""
        self._enter()
        body = nodes.Body(self._peek_word().at)
        while self._peek_word().kind != "eof":
            node = self._text_or_action()
            if isinstance(node, nodes.Mark) and _ends(node):
                self._depth -= 1
                return body, node
            body.nodes.append(node)
        raise self._error("unexpected EOF")

    def _text_or_action(self) -> nodes.Node:
        token = self._take_word()
        if token.kind == "text":
            return nodes.Text(token.at, token.text)
        if token.kind != "left":
            raise self._unexpected(token, "input")
        self._action_line = token.line
        node = self._action()
        self._action_line = 0
        return node

    def _action(self) -> nodes.Node:  # noqa: PLR0911 -- one for each kind of action
        token = self._take_word()
        match token.kind:
            case "block":
                return self._block()
            case "break" | "continue":
                return self._leave(token)
            case "else":
                return self._else()
            case "end":
                return nodes.Mark(self._expect(("right",), "end").at, "end")
            case "if" | "with" | "range":
                return self._branch(token.kind)
            case "template":
                return self._template_call()
        self._next -= 1
        return nodes.Action(self._peek().at, self._pipe("command", "right"))

    def _leave(self, word: Token) -> nodes.Mark:
        """{{break}} or {{continue}}"""
        token = self._take_word()
        name = f"{{{{{word.text}}}}}"
        if token.kind != "right":
            raise self._unexpected(token, name)
        if not self._range_depth:
            raise self._error(f"{name} outside {{{{range}}}}")
        return nodes.Mark(word.at, word.text)

    def _else(self) -> nodes.Mark:
        word = self._peek_word()
        if word.kind not in {"if", "with"}:  # those stay for whoever began the block
            self._expect(("right",), "else")
        return nodes.Mark(word.at, "else")

    def _branch(self, keyword: str) -> nodes.Branch:
        known = len(self._variables)
        pipe = self._pipe(keyword, "right")
        is_loop = keyword == "range"
        self._range_depth += is_loop
        body, end = self._body()
        self._range_depth -= is_loop
        otherwise = self._otherwise(keyword, end) if end.word == "else" else None
        del self._variables[known:]
        if is_loop:
            return nodes.Range(pipe, body, otherwise)
        return nodes.If(pipe, body, otherwise) if keyword == "if" else nodes.With(pipe, body, otherwise)

    def _otherwise(self, keyword: str, mark: nodes.Mark) -> nodes.Body:
        if keyword in {"if", "with"} and self._peek().kind == keyword:  # {{else if …}}: one {{end}} for both
            self._take()
            self._enter()
            body = nodes.Body(mark.at)
            body.nodes.append(self._branch(keyword))
            self._depth -= 1
            return body
        body, end = self._body()
        if end.word != "end":
            raise self._error(f"expected end; found {end}")
        return body

    def _block(self) -> nodes.TemplateCall:
        context = "block clause"
        token = self._take_word()
        name = self._template_name(token, context)
        pipe = self._pipe(context, "right")
        self._named_body(name, context)
        return nodes.TemplateCall(token.at, name, pipe)

    def _template_call(self) -> nodes.TemplateCall:
        context = "template clause"
        token = self._take_word()
        name = self._template_name(token, context)
        if self._peek_word().kind == "right":
            self._take()
            return nodes.TemplateCall(token.at, name, None)
        return nodes.TemplateCall(token.at, name, self._pipe(context, "right"))

    def _template_name(self, token: Token, context: str) -> str:
        if token.kind not in {"string", "raw string"}:
            raise self._unexpected(token, context)
        return self._unquote(token)

    # pipelines

    def _pipe(self, context: str, end: Kind) -> nodes.Pipe:
        at = self._peek_word().at
        variables, assigns = self._declarations(context)
        commands: list[nodes.Command] = []
        while True:
            token = self._peek_word()
            if token.kind == end:
                self._take()
                self._check_pipe(commands, context)
                return nodes.Pipe(at, tuple(variables), tuple(commands), assigns=assigns)
            if token.kind not in _OPERANDS:
                self._take()
                raise self._unexpected(token, context)
            commands.append(self._command())

    def _declarations(self, context: str) -> tuple[list[nodes.Variable], bool]:
        """`$x :=`, `$x =` and, of a range, `$x, $y :=` before a pipeline."""
        declared: list[nodes.Variable] = []
        while self._peek_word().kind == "variable":
            start = self._next
            variable = self._take()
            sign = self._peek_word()
            is_comma = sign.kind == "character" and sign.text == ","
            if sign.kind not in {"assign", "declare"} and not is_comma:
                self._next = start  # it is an argument
                break
            self._take()
            declared.append(nodes.Variable(variable.at, variable.text))
            self._variables.append(variable.text)
            if not is_comma:
                return declared, sign.kind == "assign"
            if context != "range" or len(declared) > 1:
                raise self._error(f"too many declarations in {context}")
            if self._peek_word().kind not in {"variable", "right", "right paren"}:
                raise self._error("range can only initialize variables")
        return declared, False

    def _check_pipe(self, commands: list[nodes.Command], context: str) -> None:
        if not commands:
            raise self._error(f"missing value for {context}")
        for stage, command in enumerate(commands[1:], 2):
            if isinstance(command.arguments[0], _PLAIN):
                raise self._error(f"non executable command in pipeline stage {stage}")

    def _command(self) -> nodes.Command:
        at = self._peek_word().at
        arguments: list[nodes.Node] = []
        while True:
            self._peek_word()
            operand = self._operand()
            if operand is not None:
                arguments.append(operand)
            token = self._peek()
            if token.kind in {"right", "right paren"}:
                break
            self._take()
            if token.kind == "pipe":
                break
            if token.kind != "space":
                raise self._unexpected(token, "operand")
        if not arguments:
            raise self._error("empty command")
        return nodes.Command(at, tuple(arguments))

    def _operand(self) -> nodes.Node | None:
        node = self._term()
        if node is None or self._peek().kind != "field":
            return node
        at = self._peek().at
        names: list[str] = []
        while self._peek().kind == "field":
            names.append(self._take().text[1:])
        if isinstance(node, _PLAIN):
            raise self._error(f"unexpected . after term {quote(str(node))}")
        if isinstance(node, nodes.Field):
            return nodes.Field(at, (*node.names, *names))
        if isinstance(node, nodes.Variable):
            return nodes.Variable(at, node.name, (*node.names, *names))
        return nodes.Chain(at, node, tuple(names))

    def _term(self) -> nodes.Node | None:  # noqa: C901, PLR0911 -- one for each kind of operand
        token = self._take_word()
        match token.kind:
            case "identifier":
                if token.text not in self.functions:
                    raise self._error(f"function {quote(token.text)} not defined")
                return nodes.Identifier(token.at, token.text)
            case ".":
                return nodes.Dot(token.at)
            case "nil":
                return nodes.Nil(token.at)
            case "variable":
                if token.text not in self._variables:
                    raise self._error(f"undefined variable {quote(token.text)}")
                return nodes.Variable(token.at, token.text)
            case "field":
                return nodes.Field(token.at, (token.text[1:],))
            case "bool":
                return nodes.Bool(token.at, token.text == "true")
            case "constant" | "complex" | "number":
                return self._number(token)
            case "left paren":
                self._enter()
                pipe = self._pipe("parenthesized pipeline", "right paren")
                self._depth -= 1
                return pipe
            case "string" | "raw string":
                return nodes.StringLiteral(token.at, token.text, self._unquote(token))
        self._next -= 1
        return None

    def _number(self, token: Token) -> nodes.NumberLiteral:
        try:
            return nodes.NumberLiteral(token.at, parse_number(token.text, is_complex=token.kind == "complex"))
        except ValueError as error:
            raise self._error(str(error)) from None

    def _unquote(self, token: Token) -> str:
        text = unquote(token.text)
        if text is None:
            raise self._error("invalid syntax")
        return text


def _ends(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Mark) and node.word in {"end", "else"}
