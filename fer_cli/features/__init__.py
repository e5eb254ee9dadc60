"""Image features, (N, H, W) uint8 -> (N, D) float32: hand-crafted extractors (HOG, SIFT, LBP), a feature cache, and fusion.

CNN features need a finished run; their extractor is in ``fer_cli.learning.deep``.
"""

from __future__ import annotations

from fer_cli.config import CNN, EXTRACTORS, FeaturesConfig, load
from fer_cli.features.extractor import Extractor


def make_extractors(config: FeaturesConfig) -> dict[str, Extractor]:
    """Return the hand-crafted extractors of ``config.blocks`` by name; ``cnn`` is skipped."""
    own = {name: getattr(config, name).model_dump() for name in config.blocks if name != CNN}
    return {name: load(EXTRACTORS[name])(**settings) for name, settings in own.items()}
