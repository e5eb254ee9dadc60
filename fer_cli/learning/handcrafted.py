"""Features of a run's images, fitted on its training part only (Sun 2024, E3 to E5).

They are computed from the set's images, before resizing to the run's size: HOG of a 64-pixel face has more detail.
"""

from __future__ import annotations

from typing import Any

from fer_cli.config import Compute, RunConfig
from fer_cli.data.datamodule import RunData
from fer_cli.data.manifest import load_set
from fer_cli.errors import FeaturesError, FerError
from fer_cli.features.extractor import Extractor
from fer_cli.features.fuse import Features, extract_blocks
from fer_cli.features.store import Store


def extract_features(config: RunConfig, compute: Compute, data: RunData, cnn: Extractor | None = None) -> Features:
    """Return the fused features of all images of a run's set; raises FeaturesError if they cannot be computed."""
    faces = load_set(compute.data_root, config.data.name).of_classes(config.data.classes)
    try:
        return extract_blocks(faces, data.split, config.features, Store(jobs=compute.threads), cnn)
    except FerError as error:
        raise FeaturesError(str(error)) from error


def describe_features(features: Features) -> dict[str, Any]:
    """Return a result's record of its features: dimensions and empty images per block, and provenance."""
    dims = {name: part.shape[1] for name, part in features.parts.items()}
    return {"dims": dims, "empty": features.empty, "provenance": features.provenance}
