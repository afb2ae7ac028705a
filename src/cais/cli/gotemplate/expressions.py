"""Values of pipelines: fields, variables and calls, with Go's rules of what fits where."""

from __future__ import annotations

from cais.cli.gotemplate import nodes
from cais.cli.gotemplate.errors import CallError, TemplateError
from cais.cli.gotemplate.functions import ANY_VALUE
from cais.cli.gotemplate.literals import as_bytes, quote
from cais.cli.gotemplate.methods import method
from cais.cli.gotemplate.types import go_type
from cais.cli.gotemplate.values import (
    BOOL,
    FLOAT,
    INT,
    NO_VALUE,
    STRING,
    Value,
    held,
    indirect,
    indirect_interface,
    is_true,
    make,
    struct_field,
    text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cais.cli.gotemplate.literals import Number
    from cais.cli.gotemplate.types import GoType
    from cais.cli.gotemplate.values import Function

_COMPLEX = go_type("complex128")


class _Given:
    """What a function is called with: its arguments, and the value that a pipe hands it as the last one."""

    __slots__ = ("final", "nodes")

    def __init__(self, arguments: tuple[nodes.Node, ...] = (), final: Value | None = None) -> None:
        self.nodes = arguments
        self.final = final

    def __bool__(self) -> bool:
        return bool(self.nodes) or self.final is not None


_NOTHING = _Given()


class Expressions:
    """What of one run of a template gives values: variables, fields, calls."""

    def __init__(
        self,
        name: str,
        source: str,
        trees: Mapping[str, nodes.Body],
        functions: Mapping[str, Function],
        *,
        strict: bool = False,
    ) -> None:
        self.name = name  # of the whole template, which errors begin with
        self.source = source
        self.trees = trees
        self.functions = functions
        self.strict = strict
        self.parts: list[str] = []
        self._tree_name = name  # of the template that is being walked
        self._node: nodes.Node | None = None  # what errors are about
        self._call_node: nodes.Node | None = None
        self._variables: list[tuple[str, Value]] = []

    def _error(self, message: str) -> TemplateError:
        node = self._node
        if node is None:
            return TemplateError(f"template: {self.name}: {message}", "".join(self.parts))
        before = self.source[: node.at]
        line = 1 + before.count("\n")
        column = len(as_bytes(before[before.rfind("\n") + 1 :]))
        where = f"{self.name}:{line}:{column}: executing {quote(self._tree_name)} at <{node}>"
        return TemplateError(f"template: {where}: {message}", "".join(self.parts))

    # variables

    def _assign(self, name: str, value: Value) -> None:
        for at in range(len(self._variables) - 1, -1, -1):
            if self._variables[at][0] == name:
                self._variables[at] = name, value
                return
        raise self._error(f"undefined variable: {name}")

    def _look_up(self, name: str) -> Value:
        for known, value in reversed(self._variables):
            if known == name:
                return value
        raise self._error(f"undefined variable: {name}")

    # expressions

    def _pipe(self, dot: Value, pipe: nodes.Pipe) -> Value:
        self._node = pipe
        value: Value | None = None
        for command in pipe.commands:
            value = indirect_interface(self._command(dot, command, value))
        result = value or NO_VALUE
        for variable in pipe.variables:
            if pipe.assigns:
                self._assign(variable.name, result)
            else:
                self._variables.append((variable.name, result))
        return result

    def _command(self, dot: Value, command: nodes.Command, final: Value | None) -> Value:
        """The value of a command. `final` is the result of the one before, its last argument."""
        first = command.arguments[0]
        given = _Given(command.arguments[1:], final) if final is not None or len(command.arguments) > 1 else _NOTHING
        match first:
            case nodes.Field():
                self._node = first
                return self._fields(dot, dot, first, first.names, given)
            case nodes.Chain():
                return self._chain(dot, first, given)
            case nodes.Identifier():
                return self._function(dot, first, command, given)
            case nodes.Variable():
                return self._variable(dot, first, given)
            case nodes.Pipe():
                self._refuse_arguments(first, given)
                return self._pipe(dot, first)
        self._node = first
        self._refuse_arguments(first, given)
        if isinstance(first, nodes.Nil):
            raise self._error("nil is not a command")
        return self._literal(dot, first)

    def _refuse_arguments(self, node: nodes.Node, given: _Given) -> None:
        if given:
            raise self._error(f"can't give argument to non-function {node}")

    def _literal(self, dot: Value, node: nodes.Node) -> Value:
        match node:
            case nodes.Dot():
                return dot
            case nodes.Bool():
                return Value(BOOL, node.value)
            case nodes.StringLiteral():
                return text(node.text)
            case nodes.NumberLiteral():
                self._node = node
                return self._number(node.number)
        raise self._error(f"can't evaluate command {quote(str(node))}")

    def _number(self, number: Number) -> Value:
        """A number where nothing says of which type it should be: it is written like a float, or it is an int."""
        if number.as_complex is not None:
            return Value(_COMPLEX, number.as_complex)
        source = number.text
        is_hexadecimal = source[:2] in {"0x", "0X"} and not ("p" in source or "P" in source)
        if not is_hexadecimal and source[0] != "'" and any(mark in source for mark in ".eEpP"):
            return Value(FLOAT, number.as_float)
        if number.as_int is None:
            raise self._error(f"{source} overflows int")
        return Value(INT, number.as_int)

    def _chain(self, dot: Value, chain: nodes.Chain, given: _Given) -> Value:
        self._node = chain
        inner = chain.node
        start = self._pipe(dot, inner) if isinstance(inner, nodes.Pipe) else self._argument(dot, ANY_VALUE, inner)
        return self._fields(dot, start, chain, chain.names, given)

    def _variable(self, dot: Value, node: nodes.Variable, given: _Given) -> Value:
        self._node = node
        value = self._look_up(node.name)
        if not node.names:
            self._refuse_arguments(node, given)
            return value
        return self._fields(dot, value, node, node.names, given)

    def _fields(
        self,
        dot: Value,
        receiver: Value,
        node: nodes.Node,
        names: tuple[str, ...],
        given: _Given,
    ) -> Value:
        for name in names[:-1]:
            receiver = self._field(dot, receiver, node, name, _NOTHING)
        return self._field(dot, receiver, node, names[-1], given)

    def _field(self, dot: Value, receiver: Value, node: nodes.Node, name: str, given: _Given) -> Value:
        """A field of a struct, a key of a map, or what a method returns."""
        type_ = receiver.type
        if type_.kind == "invalid":
            if self.strict:
                raise self._error(f"nil data; no entry for key {quote(name)}")
            return NO_VALUE
        target, is_nil = indirect(receiver)
        if target.type.kind == "interface":
            raise self._error(f"nil pointer evaluating {type_.name}.{name}")
        function = method(target, name)
        if function is not None:
            return self._call(dot, function, node, name, given)
        if target.type.kind == "struct" and not target.type.is_row:
            found = struct_field(target, name)
            if found is not None:
                if given:
                    raise self._error(f"{name} has arguments but cannot be invoked as function")
                return found
        elif target.type.kind == "map" and target.type.key.accepts(STRING):
            return self._entry(target, name, given)
        elif is_nil and (target.type.elem.kind != "struct" or _has_field(target.type.elem, name)):
            raise self._error(f"nil pointer evaluating {type_.name}.{name}")
        raise self._error(f"can't evaluate field {name} in type {type_.name}")

    def _entry(self, target: Value, name: str, given: _Given) -> Value:
        if given:
            raise self._error(f"{name} is not a method but has arguments")
        if target.data is not None and name in target.data:
            return make(target.type.elem, target.data[name])
        if self.strict:
            raise self._error(f"map has no entry for key {quote(name)}")
        return NO_VALUE

    # calls

    def _function(self, dot: Value, node: nodes.Identifier, command: nodes.Node, given: _Given) -> Value:
        self._node = node
        return self._call(dot, self.functions[node.name], command, node.name, given, is_function=True)

    def _call(
        self,
        dot: Value,
        function: Function,
        node: nodes.Node,
        name: str,
        given: _Given,
        *,
        is_function: bool = False,
    ) -> Value:
        self._check_count(function, name, given)
        if is_function and name in {"and", "or"}:
            return self._logic(dot, given, stops_at=name == "or")
        values = []
        for place, argument in enumerate(given.nodes):
            values.append(self._argument(dot, _parameter(function, place), argument))
        if given.final is not None:
            values.append(self._assignable(given.final, _parameter(function, len(given.nodes))))
        if is_function and name == "call":
            values.insert(0, text(str(given.nodes[0]) if given.nodes else _called(values[0])))
        try:
            return function.call(*values)
        except CallError as error:
            self._node = node
            raise self._error(f"error calling {name}: {error}") from None

    def _check_count(self, function: Function, name: str, given: _Given) -> None:
        wanted = len(function.parameters)
        counted = len(given.nodes) + (given.final is not None)
        if function.rest is None and counted != wanted:
            raise self._error(f"wrong number of args for {name}: want {wanted} got {counted}")
        if function.rest is not None and counted < wanted:
            raise self._error(f"wrong number of args for {name}: want at least {wanted} got {len(given.nodes)}")

    def _logic(self, dot: Value, given: _Given, *, stops_at: bool) -> Value:
        """`and` and `or` evaluate no more arguments than they need."""
        value = NO_VALUE
        for argument in given.nodes:
            value = self._argument(dot, ANY_VALUE, argument)
            if is_true(indirect_interface(value)) is stops_at:
                return value
        return value if given.final is None else given.final

    def _argument(self, dot: Value, type_: GoType, node: nodes.Node) -> Value:
        self._node = node
        match node:
            case nodes.Nil():
                if not type_.can_be_nil:
                    raise self._error(f"cannot assign nil to {type_.name}")
                return NO_VALUE if type_.kind in {"value", "interface"} else Value(type_, None)
            case nodes.Field() | nodes.Chain() | nodes.Identifier() | nodes.Variable() | nodes.Pipe() | nodes.Dot():
                value = self._operand(dot, node)
                return self._assignable(value, type_)
        if type_.kind in {"value", "interface"}:
            return self._literal(dot, node)
        return self._typed_literal(node, type_)

    def _operand(self, dot: Value, node: nodes.Node) -> Value:
        match node:
            case nodes.Field():
                return self._fields(dot, dot, node, node.names, _NOTHING)
            case nodes.Chain():
                return self._chain(dot, node, _NOTHING)
            case nodes.Identifier():
                return self._function(dot, node, node, _NOTHING)
            case nodes.Variable():
                return self._variable(dot, node, _NOTHING)
            case nodes.Pipe():
                return self._pipe(dot, node)
        return dot

    def _typed_literal(self, node: nodes.Node, type_: GoType) -> Value:
        """A literal where its type is known: an integer may be written 1.0."""
        if type_.kind == "string":
            if isinstance(node, nodes.StringLiteral):
                return text(node.text)
            raise self._error(f"expected string; found {node}")
        if type_.kind == "int":
            if isinstance(node, nodes.NumberLiteral) and node.number.as_int is not None:
                return Value(type_, node.number.as_int)
            raise self._error(f"expected integer; found {node}")
        raise self._error(f"can't handle {node} for arg of type {type_.name}")

    def _assignable(self, value: Value, type_: GoType) -> Value:
        """A value as an argument of a type."""
        if type_.kind == "value":
            return value
        if value.type.kind == "invalid":
            if type_.can_be_nil:
                return NO_VALUE if type_.kind == "interface" else Value(type_, None)
            raise self._error(f"invalid value; expected {type_.name}")
        if type_.accepts(value.type):
            return value
        if value.type.kind == "interface" and value.data is not None:
            value = held(value.data)
            if type_.accepts(value.type):
                return value
        if value.type.kind == "pointer" and type_.accepts(value.type.elem):
            if value.data is None:
                raise self._error(f"dereference of nil pointer of type {type_.name}")
            return make(value.type.elem, value.data)
        raise self._error(f"wrong type for value; expected {type_.name}; got {value.type.name}")


def _parameter(function: Function, place: int) -> GoType:
    if place < len(function.parameters):
        return function.parameters[place]
    return function.rest or ANY_VALUE


def _has_field(type_: GoType, name: str) -> bool:
    return any(field.name == name for field in type_.fields)


def _called(value: Value) -> str:
    """What errors of `call` name its function, when it comes out of a pipe."""
    return str(value.data) if value.type.kind == "string" else f"<{value.type.name} Value>"
