"""Applies a parsed template to data: walks its tree and writes text."""

from __future__ import annotations

from cais.cli.gotemplate import nodes
from cais.cli.gotemplate.expressions import Expressions
from cais.cli.gotemplate.functions import printable
from cais.cli.gotemplate.literals import quote
from cais.cli.gotemplate.types import INTEGERS, LISTS
from cais.cli.gotemplate.values import INT, NO_VALUE, Value, elements, entries, indirect, indirect_interface, is_true

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_DEEPEST = 100_000  # templates that call one another, as far as Go is concerned; Python's stack ends long before


class _Leave(Exception):
    """{{break}} or {{continue}}"""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


class Evaluation(Expressions):
    """One run of a template."""

    def run(self, data: Value) -> str:
        """The text that the template makes of the data. Raises TemplateError."""
        self._variables = [("$", data)]
        try:
            self._walk_body(data, self.trees[self.name])
        except RecursionError:
            self._node = self._call_node
            raise self._error(f"exceeded maximum template depth ({_DEEPEST})") from None
        return "".join(self.parts)

    # statements

    def _walk_body(self, dot: Value, body: nodes.Body) -> None:
        for node in body.nodes:
            self._walk(dot, node)

    def _walk(self, dot: Value, node: nodes.Node) -> None:
        if isinstance(node, nodes.Text):
            self.parts.append(node.text)
            return
        if isinstance(node, nodes.Action) and node.field is not None and dot.type.elem.is_row:
            field = dot.data.get(node.field)
            if isinstance(field, str):  # the short way of nearly all lists
                self.parts.append(field)
                return
        self._node = node
        match node:
            case nodes.Action():
                value = self._pipe(dot, node.pipe)
                if not node.pipe.variables:
                    self._node = node
                    self.parts.append(printable(value))
            case nodes.Range():
                self._walk_range(dot, node)
            case nodes.Branch():
                self._walk_branch(dot, node)
            case nodes.TemplateCall():
                self._walk_template(dot, node)
            case nodes.Mark():
                raise _Leave(node.word)

    def _walk_branch(self, dot: Value, node: nodes.Branch) -> None:
        known = len(self._variables)
        value = self._pipe(dot, node.pipe)
        if is_true(indirect_interface(value)):
            self._walk_body(value if isinstance(node, nodes.With) else dot, node.body)
        elif node.otherwise is not None:
            self._walk_body(dot, node.otherwise)
        del self._variables[known:]

    def _walk_range(self, dot: Value, node: nodes.Range) -> None:
        known = len(self._variables)
        value = indirect(self._pipe(dot, node.pipe))[0]
        inside = len(self._variables)
        any_round = False
        for index, item in self._rounds(node, value):
            any_round = True
            self._set_range_variables(node.pipe, index, item)
            try:
                self._walk_body(item, node.body)
            except _Leave as leave:
                if leave.word == "break":
                    break
            finally:
                del self._variables[inside:]
        if not any_round and node.otherwise is not None:
            self._walk_body(dot, node.otherwise)
        del self._variables[known:]

    def _rounds(self, node: nodes.Range, value: Value) -> Iterator[tuple[Value, Value]]:
        kind = value.type.kind
        if kind in LISTS:
            return ((Value(INT, index), item) for index, item in enumerate(elements(value)))
        if kind == "map":
            return entries(value)
        if kind == "invalid" or (value.is_nil and kind != "pointer"):
            return iter(())
        if kind not in INTEGERS:
            raise self._error(f"range can't iterate over {printable(value)}")
        if len(node.pipe.variables) > 1:
            raise self._error(f"can't use {printable(value)} to iterate over more than one variable")
        return ((NO_VALUE, Value(value.type, number)) for number in range(value.data))

    def _set_range_variables(self, pipe: nodes.Pipe, index: Value, item: Value) -> None:
        names = [variable.name for variable in pipe.variables]
        values = [index, item][-len(names) :] if names else []
        if pipe.assigns:
            for name, value in zip(names, values, strict=True):
                self._assign(name, value)
        elif names:
            self._variables[len(self._variables) - len(names) :] = zip(names, values, strict=True)

    def _walk_template(self, dot: Value, node: nodes.TemplateCall) -> None:
        tree = self.trees.get(node.name)
        if tree is None:
            raise self._error(f"template {quote(node.name)} not defined")
        data = NO_VALUE if node.pipe is None else self._pipe(dot, node.pipe)
        outer = self._variables, self._tree_name
        self._variables, self._tree_name = [("$", data)], node.name
        self._node = self._call_node = node
        self._walk_body(data, tree)
        self._variables, self._tree_name = outer
