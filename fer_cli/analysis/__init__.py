"""ANALYSES: what can be looked at inside the networks of a study's finished runs, beside their scores.

``embedding``: how the pooled features of the test images lie (He 2025, Fig 6; Sun 2024, section 4.1). ``blocks``: what the
cells of the feature map know of the class (He 2025, Table 3). ``maps``: what attention blocks and thresholds do to a few
faces. Networks are read as they are; nothing here trains one, and nothing here can change a score.

An analysis first asks which runs are done, then what is already stored in their folders; torch, scikit-learn and matplotlib
are imported only where something is left to compute or to draw.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fer_cli import study
from fer_cli.blocks import Block
from fer_cli.config import Compute, load
from fer_cli.plan import Plan

__all__ = ["ANALYSES"]

ANALYSES: dict[str, Callable[[Plan, Compute, Path], list[Block]]] = {
    name: load(code) for name, code in study.ANALYSES.items()
}
"""Name -> function of a plan, compute settings, and the folder that figures are written to."""
