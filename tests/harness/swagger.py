"""The API's description (Swagger 2.0) as JSON Schema, so that real answers can be checked against it."""

from collections.abc import Iterator
from pathlib import Path

import jsonschema
import yaml

Schema = dict[str, object]

# What Docker answers with null where it is unset, though its description has no word of it.
NULL_WHERE_UNSET = frozenset({"MemorySwappiness", "OomKillDisable", "ExitCode"})


class Description:
    """A Swagger 2.0 file. What it doesn't name is an error: answers have no keys beyond it, but for those allowed."""

    def __init__(self, path: Path) -> None:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self._document = yaml.load(path.read_text("utf-8"), loader)  # noqa: S506 # a safe loader, of either kind
        self._open = set(_referenced_from_all_of(self._document["definitions"]))
        self._definitions = {
            name: self._convert(definition, closed=name not in self._open)
            for name, definition in self._document["definitions"].items()
        }

    def errors(self, method: str, path: str, status: int, answer: object) -> list[str]:
        """What is wrong with an answer to `path` (a template such as /containers/{id}/json), a line a fault."""
        responses = self._document["paths"][path][method.lower()]["responses"]
        response = {str(code): described for code, described in responses.items()}[str(status)]
        schema = self._convert(response["schema"], closed=True) | {"definitions": self._definitions}
        validator = jsonschema.Draft202012Validator(schema)
        return [
            f"{'/'.join(map(str, error.absolute_path)) or '(all)'}: {error.message[:300]}"
            for found in validator.iter_errors(answer)
            for error in _leaves(found)
        ]

    def _convert(self, value: object, *, closed: bool) -> Schema:
        assert isinstance(value, dict), value
        schema: Schema = {}
        for key, part in value.items():
            match key:
                case "properties":
                    members = {name: self._convert(member, closed=True) for name, member in part.items()}
                    schema[key] = {
                        name: _or_null(member) if name in NULL_WHERE_UNSET else member
                        for name, member in members.items()
                    }
                case "items":
                    schema[key] = self._convert(part, closed=True)
                case "additionalProperties" if isinstance(part, dict):
                    schema[key] = self._convert(part, closed=True)
                case "allOf":
                    schema[key] = [self._convert(member, closed=False) for member in part]
                case "type" | "enum" | "$ref" | "required" | "minimum" | "maximum" | "pattern" | "additionalProperties":
                    schema[key] = part
        if closed and {"properties", "allOf"} & schema.keys() and "additionalProperties" not in schema:
            schema["unevaluatedProperties"] = False
        # Docker's own answers have null for an array or a map without members.
        if value.get("x-nullable") is True or value.get("type") in {"array", "object"}:
            return _or_null(schema)
        return schema


def _or_null(schema: Schema) -> Schema:
    match schema:
        case {"type": str() as kind, "enum": list() as values}:
            return schema | {"type": [kind, "null"], "enum": [*values, None]}
        case {"type": str() as kind}:
            return schema | {"type": [kind, "null"]}
        case _:
            return {"anyOf": [schema, {"type": "null"}]}


def _leaves(error: jsonschema.ValidationError) -> Iterator[jsonschema.ValidationError]:
    """The faults behind "is not valid under any of": those of each alternative but null."""
    if error.validator != "anyOf":
        yield error
        return
    for cause in error.context or ():
        if cause.validator_value != "null":
            yield from _leaves(cause)


def _referenced_from_all_of(value: object) -> Iterator[str]:
    """The definitions that are parts of others: keys beyond theirs are then not wrong by themselves."""
    if isinstance(value, dict):
        for member in value.get("allOf") or ():
            if "$ref" in member:
                yield member["$ref"].rpartition("/")[2]
        for part in value.values():
            yield from _referenced_from_all_of(part)
    elif isinstance(value, list):
        for part in value:
            yield from _referenced_from_all_of(part)
