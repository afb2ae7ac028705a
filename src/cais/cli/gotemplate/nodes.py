"""The tree of a parsed template. `str()` of a node is its source, as messages show it; `at` is where it begins."""

from __future__ import annotations

from cais.cli.gotemplate.literals import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.gotemplate.literals import Number


class Node:
    __slots__ = ("at",)

    def __init__(self, at: int) -> None:
        self.at = at


class Dot(Node):
    __slots__ = ()

    def __str__(self) -> str:
        return "."


class Nil(Node):
    __slots__ = ()

    def __str__(self) -> str:
        return "nil"


class Bool(Node):
    __slots__ = ("value",)

    def __init__(self, at: int, value: bool) -> None:
        super().__init__(at)
        self.value = value

    def __str__(self) -> str:
        return "true" if self.value else "false"


class NumberLiteral(Node):
    __slots__ = ("number",)

    def __init__(self, at: int, number: Number) -> None:
        super().__init__(at)
        self.number = number

    def __str__(self) -> str:
        return self.number.text


class StringLiteral(Node):
    __slots__ = ("source", "text")

    def __init__(self, at: int, source: str, text: str) -> None:
        super().__init__(at)
        self.source = source
        self.text = text

    def __str__(self) -> str:
        return self.source


class Field(Node):
    """.A.B"""

    __slots__ = ("names",)

    def __init__(self, at: int, names: tuple[str, ...]) -> None:
        super().__init__(at)
        self.names = names

    def __str__(self) -> str:
        return "".join(f".{name}" for name in self.names)


class Variable(Node):
    """$x.A.B"""

    __slots__ = ("name", "names")

    def __init__(self, at: int, name: str, names: tuple[str, ...] = ()) -> None:
        super().__init__(at)
        self.name = name
        self.names = names

    def __str__(self) -> str:
        return ".".join((self.name, *self.names))


class Identifier(Node):
    """The name of a function."""

    __slots__ = ("name",)

    def __init__(self, at: int, name: str) -> None:
        super().__init__(at)
        self.name = name

    def __str__(self) -> str:
        return self.name


class Chain(Node):
    """Fields of something else than the dot or a variable: (index .M "k").A.B"""

    __slots__ = ("names", "node")

    def __init__(self, at: int, node: Node, names: tuple[str, ...]) -> None:
        super().__init__(at)
        self.node = node
        self.names = names

    def __str__(self) -> str:
        inner = f"({self.node})" if isinstance(self.node, Pipe) else str(self.node)
        return inner + "".join(f".{name}" for name in self.names)


class Command(Node):
    """A function or value with its arguments."""

    __slots__ = ("arguments",)

    def __init__(self, at: int, arguments: tuple[Node, ...]) -> None:
        super().__init__(at)
        self.arguments = arguments

    def __str__(self) -> str:
        return " ".join(f"({node})" if isinstance(node, Pipe) else str(node) for node in self.arguments)


class Pipe(Node):
    """Commands, each of which gets the result of the one before as its last argument; the result may get a name."""

    __slots__ = ("assigns", "commands", "variables")

    def __init__(
        self, at: int, variables: tuple[Variable, ...], commands: tuple[Command, ...], *, assigns: bool
    ) -> None:
        super().__init__(at)
        self.variables = variables
        self.commands = commands
        self.assigns = assigns  # to variables that exist, where False declares them

    def __str__(self) -> str:
        names = ", ".join(map(str, self.variables))
        sign = " = " if self.assigns else " := "
        return (names + sign if names else "") + " | ".join(map(str, self.commands))


class Text(Node):
    __slots__ = ("text",)

    def __init__(self, at: int, text: str) -> None:
        super().__init__(at)
        self.text = text

    def __str__(self) -> str:
        return self.text


class Action(Node):
    """A pipeline of which the result is written. `field` is its name where it is but one field: {{.Name}}."""

    __slots__ = ("field", "pipe")

    def __init__(self, at: int, pipe: Pipe) -> None:
        super().__init__(at)
        self.pipe = pipe
        self.field = _only_field(pipe)

    def __str__(self) -> str:
        return f"{{{{{self.pipe}}}}}"


def _only_field(pipe: Pipe) -> str | None:
    if pipe.variables or len(pipe.commands) != 1 or len(pipe.commands[0].arguments) != 1:
        return None
    only = pipe.commands[0].arguments[0]
    return only.names[0] if isinstance(only, Field) and len(only.names) == 1 else None


class Body(Node):
    """What follows one another."""

    __slots__ = ("nodes",)

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.nodes: list[Node] = []

    def __str__(self) -> str:
        return "".join(map(str, self.nodes))

    @property
    def is_blank(self) -> bool:
        return all(isinstance(node, Text) and not node.text.strip() for node in self.nodes)


class Branch(Node):
    """What `if`, `with` and `range` have in common."""

    __slots__ = ("body", "otherwise", "pipe")
    keyword = ""

    def __init__(self, pipe: Pipe, body: Body, otherwise: Body | None) -> None:
        super().__init__(pipe.at)
        self.pipe = pipe
        self.body = body
        self.otherwise = otherwise

    def __str__(self) -> str:
        otherwise = "" if self.otherwise is None else f"{{{{else}}}}{self.otherwise}"
        return f"{{{{{self.keyword} {self.pipe}}}}}{self.body}{otherwise}{{{{end}}}}"


class If(Branch):
    __slots__ = ()
    keyword = "if"


class With(Branch):
    __slots__ = ()
    keyword = "with"


class Range(Branch):
    __slots__ = ()
    keyword = "range"


class TemplateCall(Node):
    __slots__ = ("name", "pipe")

    def __init__(self, at: int, name: str, pipe: Pipe | None) -> None:
        super().__init__(at)
        self.name = name
        self.pipe = pipe

    def __str__(self) -> str:
        return f"{{{{template {quote(self.name)}{'' if self.pipe is None else f' {self.pipe}'}}}}}"


class Mark(Node):
    """{{end}}, {{else}}, {{break}}, {{continue}}"""

    __slots__ = ("word",)

    def __init__(self, at: int, word: str) -> None:
        super().__init__(at)
        self.word = word

    def __str__(self) -> str:
        return f"{{{{{self.word}}}}}"
