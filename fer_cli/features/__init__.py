"""Features of images, (N, H, W) uint8 -> (N, D) float32: extractors, a store of what was computed, and their fusion.

``EXTRACTORS`` has the hand-crafted ones, in the order in which they are joined: HOG, SIFT (Sun 2024, Eq 8), then our own. A
trained network is one too, before them; it is made from a finished run, which this room knows nothing of.
"""

from __future__ import annotations

from fer_cli.config.features import FeaturesConfig
from fer_cli.features.extractor import Extractor
from fer_cli.features.hog import Hog
from fer_cli.features.lbp import Lbp
from fer_cli.features.sift import Sift

EXTRACTORS: dict[str, type[Extractor]] = {"hog": Hog, "sift": Sift, "lbp": Lbp}
"""Name -> settings of each kind of features."""


def handcrafted(config: FeaturesConfig) -> dict[str, Extractor]:
    """Return the extractors of a run's blocks, with its settings; ``cnn`` is not among them."""
    blocks = [name for name in config.blocks if name in EXTRACTORS]
    return {name: EXTRACTORS[name](**getattr(config, name).model_dump()) for name in blocks}
