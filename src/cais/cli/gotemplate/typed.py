"""Templates applied to what the engine says in JSON, as the types that Docker's client reads it into."""

from __future__ import annotations

from cais.cli.gotemplate.declarations import INSPECTED
from cais.cli.gotemplate.errors import TemplateError
from cais.cli.gotemplate.template import Template
from cais.cli.gotemplate.types import go_type
from cais.cli.gotemplate.values import Number, held, make
from cais.client.codec import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cais.cli.gotemplate.values import Value


def typed(data: Any, type_name: str) -> Value:
    """JSON as a value of a declared type: `system.Info`."""
    return make(go_type(type_name), data)


def inspected(template: Template, kind: str, answer: bytes, *, falls_back: bool = True) -> str:
    """The text that a template makes of an object of a kind, of which the engine has sent the JSON.

    As with Docker, a template that fails on the type of the object is applied to the plain JSON, where fields have
    the names that JSON has for them, and where a missing one is an error (`volume inspect` alone does not fall back).
    Raises TemplateError.
    """
    type_name = INSPECTED.get(kind)
    if type_name is not None:
        try:
            return template.apply(typed(loads(answer), type_name))
        except TemplateError:
            if not falls_back:
                raise
    return template.apply(held(_loads_verbatim(answer)), strict=True)


def _loads_verbatim(data: bytes) -> Any:
    """JSON with its numbers as they are written."""
    text = data.decode("utf-8", "replace").strip()
    try:
        from _json import make_scanner  # noqa: PLC0415 -- the scanner beneath `json`, which takes long to import

        return make_scanner(_Verbatim)(text, 0)[0]  # type: ignore[arg-type]
    except (ImportError, AttributeError, TypeError):
        import json  # noqa: PLC0415 -- an interpreter without that scanner

        return json.loads(text, parse_int=Number, parse_float=Number, strict=False)


class _Verbatim:
    """The options of the scanner."""

    strict = False
    object_hook = None
    object_pairs_hook = None
    parse_float = Number
    parse_int = Number
    parse_constant = Number
