"""Fingerprint of an embedded set, known before rendering: rendering gives the same bytes on every processor."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from fer_cli.synthetic.assets import pin_of

if TYPE_CHECKING:
    from fer_cli.data.cards import Embedded

VERSION = 4
"""Version of the renderer, for changes that affect images."""


def recipe_fingerprint(options: Embedded, classes: list[str]) -> str:
    """Return the fingerprint (16 hex digits) of an embedded set: options, classes, renderer version and mesh arrays.

    Default options are omitted, so that options added later keep old fingerprints.
    """
    recipe = options.model_dump(mode="json", exclude_defaults=True)
    meshes = ("head", "body") if options.recipes == "gesture" or options.bust else ("head",)
    assets = {name: pin_of(name).arrays for name in meshes}
    content = {"recipe": recipe, "classes": classes, "drawing": VERSION, "assets": assets}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
