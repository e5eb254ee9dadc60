"""How settings name code: by the keys of literal dicts, whose entries say where the code is and what it can do.

Settings load before anything heavy, so an entry holds ``module:name`` instead of the function itself; ``load`` imports it
when it is called for. Whoever adds an entry has added a valid name: ``one_of`` looks at the dict as it is.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from pydantic import AfterValidator

from fer_cli.errors import nearest
from fer_cli.escape import cut


def one_of(known: Mapping[str, Any]) -> AfterValidator:
    """Return the check of a text that must be a key of ``known``, which names the nearest key otherwise."""

    def check(name: str) -> str:
        if name not in known:
            raise ValueError(f"unknown name '{cut(name)}'{nearest(name, known)}")
        return name

    return AfterValidator(check)


def load(code: str) -> Any:
    """Return what a text of the form ``module:name`` names, imported now."""
    module, _, name = code.partition(":")
    return getattr(importlib.import_module(module), name)
