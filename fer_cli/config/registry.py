"""Helpers for registries: literal dicts whose keys are the valid names of a setting.

Entries refer to code as ``module:name``, so that settings load without heavy imports; ``load`` imports it on demand.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from pydantic import AfterValidator

from fer_cli.errors import nearest
from fer_cli.escape import cut


def one_of(known: Mapping[str, Any]) -> AfterValidator:
    """Return a validator of strings that must be keys of ``known``; its error suggests the nearest key."""

    def check(name: str) -> str:
        if name not in known:
            raise ValueError(f"unknown name '{cut(name)}'{nearest(name, known)}")
        return name

    return AfterValidator(check)


def load(code: str) -> Any:
    """Import and return the object ``module:name``."""
    module, _, name = code.partition(":")
    return getattr(importlib.import_module(module), name)
