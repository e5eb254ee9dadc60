"""ANALYSES: read-only analyses of trained networks.

``embedding``: class separation of pooled test features (He 2025, Fig 6; Sun 2024, section 4.1). ``blocks``: class
information in cells of feature maps (He 2025, Table 3). ``maps``: attention and threshold maps on a few faces.
``centres``: the class-centre loss step by step. What takes long is cached in run folders; torch, scikit-learn and matplotlib
are only imported if something must be computed or drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fer_cli.blocks import Block
from fer_cli.config import Compute, analyses, load
from fer_cli.plan import Plan

__all__ = ["ANALYSES"]

ANALYSES: dict[str, Callable[[Plan, Compute, Path], list[Block]]] = {
    name: load(code) for name, code in analyses.ANALYSES.items()
}
"""Name -> function of a plan, compute settings and the folder of figures."""
