"""Reading YAML strictly, and turning pydantic's complaints into one line.

Differs from plain PyYAML: a key given twice is an error, and ``1e-3`` is a number (YAML 1.2), not a string.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from fer_cli.errors import FerError, nearest


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2 floats and no silent duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is not a name", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def parse_yaml(text: str, where: str, error: type[FerError]) -> dict[str, Any]:
    """Return the mapping in ``text``; raises ``error`` naming ``where`` and the line when it is not one."""
    try:
        tree = yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise error(f"{where}{line}: not valid YAML: {getattr(problem, 'problem', problem)}") from None
    if not isinstance(tree, dict):
        raise error(f"{where}: expected a mapping of settings, found {type(tree).__name__}")
    return tree


def explain(error: ValidationError, model: type[BaseModel], prefix: str = "") -> str:
    """Return one complaint as ``dotted.path: what is wrong``, with the nearest known key for an unknown one.

    An unknown key comes before a missing one: a misspelt key is both.
    """
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    path = [str(part) for part in first["loc"]]
    dotted = ".".join([prefix, *path] if prefix else path)
    if first["type"] == "extra_forbidden":
        parent, known = ".".join(path[:-1]), known_keys(model, path[:-1])
        full = [f"{parent}.{key}" if parent else key for key in known]
        return f"{dotted}: unknown key{nearest('.'.join(path), full)}"
    if first["type"] == "missing":
        return f"{dotted}: missing"
    message = first["msg"].removeprefix("Value error, ")
    given = "" if first["type"] == "value_error" else f" (given: {first['input']!r})"
    return f"{dotted}: {message}{given}" if dotted else f"{message}{given}"


def known_keys(model: type[BaseModel], path: list[str]) -> list[str]:
    """Return the field names of the (sub)model that ``path`` leads to."""
    for part in path:
        field = model.model_fields.get(part)
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)
