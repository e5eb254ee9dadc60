"""Progress reporting: long loops pass their items through a function given by the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Progress = Callable[[Iterable[Any], int], Iterable[Any]]
"""Yields the given items unchanged; the second argument is their number."""


def silent(items: Iterable[Any], total: int) -> Iterable[Any]:
    """Return the items without showing progress."""
    return items
