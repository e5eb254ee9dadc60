"""What an embedded set is, known before anything is drawn: the recipe, and the version of all that draws it.

Drawing gives the same bytes on every processor, so that the recipe stands for the pixels. What was drawn is verified by the
hash of its file, as with any other set.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from fer_cli.synthetic import mesh

if TYPE_CHECKING:
    from fer_cli.data.cards import Embedded

VERSION = 2
"""Raised when the same options would give other pictures."""


def recipe_fingerprint(options: Embedded, classes: list[str]) -> str:
    """Return the fingerprint, 16 hex digits, of the set that these options and classes give.

    It covers every option, the version of the drawing and the arrays that it draws from (head and body; all textures are
    drawn). Options left at their default are not named, so that one added later keeps old fingerprints.
    """
    recipe = options.model_dump(mode="json", exclude_defaults=True)
    assets = {"head": mesh.HEAD_SHA256}
    if options.recipes == "gesture":
        from fer_cli.synthetic.body import BODY_SHA256  # loads SciPy, which pictures of heads alone need not

        assets["body"] = BODY_SHA256
    content = {"recipe": recipe, "classes": classes, "drawing": VERSION, "assets": assets}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
