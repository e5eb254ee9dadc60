"""``make assets``: build the meshes from the human model, write those that changed, and pin them.

Whoever changes a builder runs it; a file whose arrays are unchanged is left alone, whatever wrote its compressed bytes.
"""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from fer_cli.errors import FerError
from fer_cli.places import whole_file, write_text
from fer_cli.synthetic.assets import FOLDER, PINS, Pin, Pins, digest, pin_of, read_asset, read_pins
from fer_cli.synthetic.human_model import load_anny
from fer_cli.synthetic.make_body import build_body
from fer_cli.synthetic.make_head import build_head

BUILDERS: dict[str, Callable[[Any], dict[str, np.ndarray]]] = {"head": build_head, "body": build_body}
"""Name of an asset -> its arrays from the human model."""


def build_assets() -> dict[str, dict[str, np.ndarray]]:
    """Return the arrays of every asset, in about half a minute; raises FerError if Anny is not installed."""
    model = load_anny()
    return {name: build(model) for name, build in BUILDERS.items()}


def pack_arrays(arrays: dict[str, np.ndarray]) -> bytes:
    """Return the arrays as a compressed ``.npz``, in order of their names and without times."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **{name: arrays[name] for name in sorted(arrays)})  # type: ignore[arg-type]
    return stream.getvalue()


def write_assets(built: dict[str, dict[str, np.ndarray]], anny: str, folder: Path = FOLDER) -> list[str]:
    """Write the assets that are missing, damaged or changed and pin them; returns their names.

    ``anny``: version of the human model they were built from.
    """
    pins, written = {}, []
    for name, arrays in built.items():
        pin = kept_pin(folder, name)
        if pin is None or pin.arrays != digest(arrays):
            content = pack_arrays(arrays)
            with whole_file(folder / f"{name}.npz") as draft:
                draft.write_bytes(content)
            pin = Pin(file=hashlib.sha256(content).hexdigest(), arrays=digest(arrays))
            written.append(name)
        pins[name] = pin
    write_text(folder / PINS, Pins(anny=anny, files=pins).model_dump_json(indent=2) + "\n")
    read_pins.cache_clear()
    return written


def kept_pin(folder: Path, name: str) -> Pin | None:
    """Return the pin of an asset if its file is as pinned, else None."""
    try:
        read_asset(name, folder)
        return pin_of(name, folder)
    except FerError:
        return None


def main() -> None:
    """Make the assets and say which of them changed."""
    try:
        built = build_assets()
    except FerError as error:
        sys.exit(f"error: {error}")
    written = write_assets(built, version("anny"))
    for name in built:
        size = (FOLDER / f"{name}.npz").stat().st_size
        print(f"{name}.npz: {'written' if name in written else 'unchanged'}, {size / 1e6:.1f} MB")
    if written:
        print("sets drawn from changed arrays have new fingerprints: replace the constants in tests/test_exact.py")


if __name__ == "__main__":
    main()
