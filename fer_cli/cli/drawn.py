"""Embedded sets on the command line: begun, and drawn under a progress bar as far as a command needs them."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_cli.cli.options import thread_count
from fer_cli.cli.screen import say, with_progress

if TYPE_CHECKING:
    import numpy as np

    from fer_cli.data.manifest import FaceSet, SetInfo


def draw_set(name: str, root: Path, changes: dict[str, Any], jobs: int | None, replace: bool = False) -> SetInfo:
    """Render an embedded set under a progress bar; replaces a larger one only if ``replace``."""
    from fer_cli.data.build import check_size
    from fer_cli.synthetic.build import build_embedded, options_of

    workers = jobs or thread_count()
    options = options_of(name, changes)[1]  # validates the options before any progress is shown
    check_size(root, name, options.images, replace)
    return build_embedded(name, root, changes, workers, partial(with_progress, f"rendering {name}: people"))


def begin_if_embedded(name: str, root: Path) -> None:
    """Begin embedded set ``name`` if it is not there: its images are drawn when needed; a damaged one is left alone."""
    from fer_cli.data.cards import has_card, load_card

    if os.path.lexists(root / name / "set.json") or not has_card(name) or load_card(name).embedded is None:
        return
    from fer_cli.synthetic.build import begin_embedded

    begin_embedded(name, root)
    say(f"data set {name} is begun under {root}; its images are drawn as they are needed")


def draw_if_needed(name: str, root: Path, choose: Callable[[FaceSet], np.ndarray | None] = lambda _: None) -> None:
    """Draw the images of an embedded set that ``choose`` returns the positions of (default: all), if they are missing."""
    from fer_cli.data.manifest import load_set
    from fer_cli.synthetic.build import draw_pictures

    begin_if_embedded(name, root)
    if not os.path.lexists(root / name / "set.json"):
        return  # the command says how to build it
    faces = load_set(root, name)
    if faces.info.drawn is not None and len(missing := faces.undrawn(choose(faces))):
        draw_pictures(name, root, missing, thread_count(), partial(with_progress, f"drawing {name}: people"))
