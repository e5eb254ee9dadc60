"""Dotted settings of studies: flattening, nesting and equality of values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fer_cli.errors import StudyError
from fer_cli.escape import cut

Settings = dict[str, Any]
"""Dotted setting -> value, e.g. ``{"learning.method": "scn"}``."""


def flatten(tree: Settings, where: str) -> Settings:
    """Return nested settings by dotted name; raises ValueError for duplicates."""
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


def empty_groups(tree: Settings) -> Iterator[str]:
    """Yield the dotted names of groups of settings without any."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from (f"{key}.{name}" for name in empty_groups(value)) if value else [key]


def grid_key(value: Any) -> Any:
    """Return a key that is equal for equal grid values: 0 equals 0.0, 1 does not equal true."""
    if isinstance(value, list):
        return ("list", *map(grid_key, value))
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return type(value).__name__, value
    return "number", "nan" if value != value else value  # noqa: PLR0124 (true for NaN)


def leaves(value: Any) -> list[Any]:
    """Return the scalars in a grid value."""
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, list) else [value]


def value_text(value: Any) -> Any:
    """Return a grid value as printed in tables: a list as its comma-separated items."""
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def nest(settings: Settings, where: str) -> dict[str, Any]:
    """Return dotted settings as a tree; raises StudyError if a name is both a group and a value."""
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
