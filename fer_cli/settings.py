"""Settings under dotted names, as studies give them: from nested to flat and back, and what makes two values equal."""

from __future__ import annotations

from typing import Any

from fer_cli.errors import StudyError
from fer_cli.escape import cut

Settings = dict[str, Any]
"""Dotted setting -> value, e.g. ``{"learning.method": "scn"}``."""


def flatten(tree: Settings, where: str) -> Settings:
    """Return settings under dotted names, however they were nested; raises ValueError for one that is given twice."""
    flat: Settings = {}
    for key, value in tree.items():
        inner = flatten(value, where) if isinstance(value, dict) else None
        for name, leaf in (
            {key: value}.items() if inner is None else ((f"{key}.{name}", leaf) for name, leaf in inner.items())
        ):
            if name in flat:
                raise ValueError(f"{where}: {cut(name)} is given twice, once as a group")
            flat[name] = leaf
    return flat


def grid_key(value: Any) -> Any:
    """Return what is equal for equal values of a grid: 0 and 0.0 are, 1 and true are not."""
    if isinstance(value, list):
        return ("list", *map(grid_key, value))
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return type(value).__name__, value
    return "number", "nan" if value != value else value  # noqa: PLR0124 (so is nan told)


def leaves(value: Any) -> list[Any]:
    """Return the scalars in a grid value."""
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, list) else [value]


def value_text(value: Any) -> Any:
    """Return a grid value as tables print it and as cells are told apart by: a list becomes its items in a row."""
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def nest(settings: Settings, where: str) -> dict[str, Any]:
    """Return dotted settings as a tree; raises StudyError where a name is used both as a group and as a value."""
    tree: dict[str, Any] = {}
    for dotted, value in settings.items():
        *parents, leaf = dotted.split(".")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
            if not isinstance(branch, dict):
                raise StudyError(f"{where}.yaml: {cut(dotted)}: '{cut(parent)}' is a value, not a group of settings")
        if isinstance(branch.get(leaf), dict):
            raise StudyError(f"{where}.yaml: {cut(dotted)}: is a group of settings, not a value")
        branch[leaf] = value
    return tree
