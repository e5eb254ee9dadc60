"""Saved weights read back, without Lightning: whole files of tensors and plain containers only."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from fer_cli.errors import DamagedError, ResultsError


def read_weights(path: Path) -> dict[str, Any]:
    """Return the content written by ``save_weights``; raises DamagedError if it is corrupt, ResultsError if missing."""
    if not path.is_file():
        raise ResultsError(f"{path}: missing, but the network is needed; remove {path.parent} and train it again")
    content = read_tensors(path)
    if not isinstance(content, dict) or not isinstance(content.get("state"), dict) or "classes" not in content:
        raise unusable(path, "contains no network weights")
    return content


def read_tensors(path: Path) -> Any:
    """Return the tensors and plain containers in a ``torch.save`` file; raises DamagedError if it is incomplete or corrupt.

    ``torch.load`` does not verify the file's checksums, so a flipped bit could pass as a weight.
    """
    if not path.is_file():
        raise unusable(path, "not a file")
    try:
        with zipfile.ZipFile(path) as archive:
            wrong = archive.testzip()
        if wrong is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # for unsupported protocols torch warns before it fails
                return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # a damaged file can raise anything
        raise unusable(path, f"not a complete file of tensors ({type(error).__name__})") from None
    raise unusable(path, f"wrong checksum of {wrong}")


def unusable(path: Path, reason: str) -> DamagedError:
    """Return the error for a file of weights that cannot be used; its run has a result, and so is not trained again."""
    return DamagedError(f"{path}: {reason}; remove {path.parent} and retrain it with fer ablate")
