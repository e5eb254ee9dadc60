"""Features of images, (N, H, W) uint8 -> (N, D) float32: extractors, a store of what was computed, and their fusion.

The hand-crafted ones are here: HOG, SIFT (Sun 2024), then our own. A trained network is one too; it is made from a finished
run, which this room knows nothing of.
"""

from __future__ import annotations

from fer_cli.config import CNN, EXTRACTORS, FeaturesConfig, load
from fer_cli.features.extractor import Extractor


def make_extractors(config: FeaturesConfig) -> dict[str, Extractor]:
    """Return the extractors of a run's blocks, with its settings; ``cnn`` is not among them."""
    own = {name: getattr(config, name).model_dump() for name in config.blocks if name != CNN}
    return {name: load(EXTRACTORS[name])(**settings) for name, settings in own.items()}
