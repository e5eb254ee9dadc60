"""Scaling and fusion of features (Sun 2024, section 3.4, Eq 7-8).

Eq 7 scales features to [0, 1] by their minimum and maximum, "and standardises to a normal distribution", which it does not.
Ours: ``min-max`` per dimension, fitted on the training images; other images are clipped to [0, 1], and dimensions that are
constant in training become 0. ``per-vector`` takes F_min and F_max over one image's block; ``z-score`` standardises as the
sentence says; ``none`` does not scale. Eq 8 concatenates CNN, HOG and SIFT in this order; other blocks follow.

Values are scaled on access, a few rows at a time, so that a large set need not fit into memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np

from fer_cli import __version__
from fer_cli.config.features import CNN, EXTRACTORS, SCALINGS, FeaturesConfig
from fer_cli.config.features import Scaling as Method
from fer_cli.data.block import load_rows
from fer_cli.data.manifest import FaceSet
from fer_cli.data.splits import Split
from fer_cli.errors import DataError, StudyError, nearest
from fer_cli.features import make_extractors
from fer_cli.features.extractor import ROWS, Extractor
from fer_cli.features.store import Store, library_versions


@dataclass(frozen=True)
class Scaling:
    """A scaling method and its fitted parameters."""

    method: Method
    low: np.ndarray
    """(D,) float64: minimum (``min-max``) or mean (``z-score``) over the training images; else (0,)."""
    span: np.ndarray
    """(D,) float64: maximum - minimum, or population standard deviation; 0 marks a constant dimension."""

    def apply(self, values: np.ndarray, start: int = 0) -> np.ndarray:
        """Return rows (n, d) of one block scaled, float32; ``start`` is the block's first dimension in the fused vector."""
        if self.method == "none":
            return np.asarray(values, np.float32)
        if self.method == "per-vector":
            low = values.min(1, keepdims=True).astype(np.float64)
            span = values.max(1, keepdims=True) - low
        else:
            low, span = (fitted[start : start + values.shape[1]] for fitted in (self.low, self.span))
        shifted = values - low
        scaled = np.divide(shifted, span, out=np.zeros_like(shifted), where=np.broadcast_to(span > 0, shifted.shape))
        return np.asarray(np.clip(scaled, 0, 1) if self.method == "min-max" else scaled, np.float32)


@dataclass(frozen=True)
class Features:
    """Features of every image of a set, in named blocks."""

    samples: np.ndarray
    """(N,) str: sample ids."""
    parts: dict[str, np.ndarray]
    """Block name -> (N, d) float32, in the order of fusion; scaled if ``scaled``, else as extracted."""
    scaling: Scaling
    provenance: dict[str, Any]
    """Data, split, extractors and versions, as JSON."""
    empty: dict[str, int] = field(default_factory=dict)
    """Block name -> number of images with all-zero values before scaling: no key points, or no gradient."""
    scaled: bool = False

    @property
    def slices(self) -> dict[str, slice]:
        """Return each block's dimensions in the fused vector."""
        found, start = {}, 0
        for name, part in self.parts.items():
            found[name] = slice(start, start + part.shape[1])
            start += part.shape[1]
        return found

    @property
    def dims(self) -> int:
        """Return D, the total number of dimensions."""
        return sum(part.shape[1] for part in self.parts.values())

    def block(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return rows ``start`` to ``stop`` of one block, (n, d) float32, scaled."""
        rows = load_rows(self.parts[name], slice(start, stop))
        return rows if self.scaled else self.scaling.apply(rows, self.slices[name].start)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Return rows ``start`` to ``stop`` of all blocks concatenated, (n, D) float32, scaled."""
        return np.concatenate([self.block(name, start, stop) for name in self.parts], axis=1)

    @property
    def values(self) -> np.ndarray:
        """Return all rows, (N, D) float32, scaled, in memory."""
        values = np.empty((len(self.samples), self.dims), np.float32)
        for start in range(0, len(values), ROWS):
            values[start : start + ROWS] = self.rows(start, start + ROWS)
        return values


def fuse(
    samples: np.ndarray,
    parts: dict[str, np.ndarray],
    train: np.ndarray,
    method: Method = "min-max",
    provenance: dict[str, Any] | None = None,
    empty: dict[str, int] | None = None,
) -> Features:
    """Return blocks (N, d) float32 fused in the paper's order, with scaling fitted on rows ``train`` (n,).

    Blocks with other names follow in the given order. Raises StudyError for an unknown method, DataError for blocks of
    different lengths or an empty training part.
    """
    if method not in SCALINGS:
        raise StudyError(f"no scaling '{method}'{nearest(method, SCALINGS)}")
    order = list(EXTRACTORS)
    names = sorted(parts, key=lambda name: order.index(name) if name in order else len(order))
    ordered = {name: parts[name] for name in names}
    if wrong := [name for name, part in ordered.items() if part.ndim != 2 or len(part) != len(samples)]:
        raise DataError(f"block '{wrong[0]}' is {parts[wrong[0]].shape}, for {len(samples)} samples")
    if not ordered:
        raise DataError("no feature blocks to fuse")
    scaling = fit_scaling(list(ordered.values()), train, method)
    return Features(np.asarray(samples, str), ordered, scaling, provenance or {}, empty or {})


def fit_scaling(parts: list[np.ndarray], train: np.ndarray, method: Method) -> Scaling:
    """Return the scaling of blocks (N, d), fitted on rows ``train`` (n,); raises DataError if none or not finite."""
    if method in {"per-vector", "none"}:
        return Scaling(method, np.zeros(0), np.zeros(0))
    if not len(train):
        raise DataError(f"{method} scaling is fitted on training images, and the training part is empty")
    found = [fit_range(part, train, method) for part in parts]
    low, span = (np.concatenate(each) for each in zip(*found, strict=True))
    if not (np.isfinite(low).all() and np.isfinite(span).all()):
        raise DataError("features of a training image contain NaN or infinite values")
    return Scaling(method, low, span)


def fit_range(part: np.ndarray, train: np.ndarray, method: Method) -> tuple[np.ndarray, np.ndarray]:
    """Return ``low`` and ``span`` of one block, each (d,) float64; see Scaling."""
    chosen = np.zeros(len(part), bool)
    chosen[train] = True

    def rows() -> Iterator[np.ndarray]:
        for start in range(0, len(part), ROWS):
            here = load_rows(part, slice(start, start + ROWS))[chosen[start : start + ROWS]]
            if len(here):
                yield here.astype(np.float64)

    def aggregate(combine: Callable[..., np.ndarray], per_block: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        return reduce(combine, map(per_block, rows()))

    low, high = aggregate(np.minimum, lambda block: block.min(0)), aggregate(np.maximum, lambda block: block.max(0))
    if method == "min-max":
        return low, high - low
    mean = aggregate(np.add, lambda block: block.sum(0)) / chosen.sum()
    variance = aggregate(np.add, lambda block: ((block - mean) ** 2).sum(0)) / chosen.sum()
    return mean, np.where(high > low, np.sqrt(variance), 0.0)


def extract(
    faces: FaceSet, split: Split, extractors: dict[str, Extractor], store: Store, method: Method = "min-max"
) -> Features:
    """Return a set's fused features, learned and scaled on the training images only; raises DataError or StudyError."""
    made = {name: store.extract(faces, extractor, split.train) for name, extractor in extractors.items()}
    described = {name: describe_extractor(one) | {"dims": made[name].values.shape[1]} for name, one in extractors.items()}
    libraries = {library: version for one in extractors.values() for library, version in library_versions(one).items()}
    provenance = {
        "data": {"name": faces.info.name, "fingerprint": faces.info.fingerprint},
        "split": {"hash": split.hash, "train": len(split.train), "val": len(split.val), "test": len(split.test)},
        "extractors": described,
        "scaling": method,
        "libraries": dict(sorted(libraries.items())),
        "fer": __version__,
    }
    empty = {name: found.empty for name, found in made.items()}
    samples = faces.manifest["sample"].to_numpy(dtype=str)
    return fuse(samples, {name: found.values for name, found in made.items()}, split.train, method, provenance, empty)


def extract_blocks(
    faces: FaceSet, split: Split, config: FeaturesConfig, store: Store, cnn: Extractor | None = None
) -> Features:
    """Return the fused features that ``config`` asks for; ``cnn``: the extractor of that block. Raises as ``extract``."""
    extractors = ({} if cnn is None else {CNN: cnn}) | make_extractors(config)
    return extract(faces, split, extractors, store, config.scaling)


def describe_extractor(extractor: Extractor) -> dict[str, Any]:
    """Return an extractor's provenance record: version, settings and, for networks, the checksum of the weights."""
    return {"version": extractor.version, **extractor.model_dump(mode="json"), **extractor.description_settings()}
