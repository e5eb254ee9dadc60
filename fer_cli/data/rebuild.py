"""The command that builds a data set again, from what its ``set.json`` records."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fer_cli.config import default_data_root
from fer_cli.data.cards import has_card, load_card

FRAMES = "frames"
"""Preparation step that says how many frames of each sequence or video were taken."""
OPTIONS: dict[str, tuple[str, str, str | float | None]] = {
    "size": ("resize", "size", None),
    "colour": ("decode", "colour", "grey"),
    "interpolation": ("resize", "interpolation", "area"),
    "detect": ("detect", "detector", None),
    "margin": ("cut", "margin", 0.0),
    "align": ("cut", "align", "five"),
    "no-face": ("no face", "then", "keep"),
}
"""Option -> its recorded step, the key there, and the value that need not be given; None: the usual side, or none."""


def build_command(name: str, known: Mapping[str, Any] = {}, root: Path | None = None) -> str:
    """Return the command that builds a set under a data root; ``known``: its ``set.json``, possibly damaged."""
    return shlex.join(build_words(name, known) + ([] if root in {None, default_data_root()} else ["--data-root", str(root)]))


def build_words(name: str, known: Mapping[str, Any]) -> list[str]:
    """Return the words of the command that builds a set, without its data root; ``known``: as in ``build_command``."""
    steps = known.get("preprocessing")
    first = steps[0] if isinstance(steps, list) and steps and isinstance(steps[0], dict) else {}
    if first.get("step") == "combine" and isinstance(first.get("of"), list):
        command = ["fer", "data", "combine", name, "--of", ",".join(map(str, first["of"])), "--map", str(first.get("map"))]
        size, parts = known.get("image_size"), first.get("parts")
        for part in parts.items() if isinstance(parts, dict) else ():
            command += ["--part", "=".join(map(str, part))]
        return [*command, *(["--size", str(size)] if isinstance(size, int) else [])]
    command = ["fer", "data", "build", name]
    card = load_card(name) if has_card(name) else None
    if card is not None and card.embedded is not None:
        drawn = known.get("embedded")
        for option in ("images", "subjects", "size", "difficulty", "seed"):
            usual = getattr(card.embedded, option)
            value = drawn.get(option, usual) if isinstance(drawn, dict) else usual
            command += [f"--{option}", str(value)[:20]] if value != usual else []
        return command
    own = known.get("own")
    if not (isinstance(own, dict) and own):  # not recorded by earlier versions
        own = {"layout": "csv" if str(known.get("layout")).startswith("table") else "folder"}
    options = [text for name, value in own.items() for text in (f"--{name}", str(value))]
    if card is not None:
        options = [f"--frames={first['per clip']}"] if first.get("step") == FRAMES and "per clip" in first else []
    from fer_cli.data.importers.own import IMAGE_SIZE

    options += prepared_words(steps, IMAGE_SIZE if card is None else card.image_size)
    return [*command, "--from", "FOLDER", *options, *(["--drop-duplicates"] if known.get("duplicates") else [])]


def prepared_words(steps: Any, side: int) -> list[str]:
    """Return the options that repeat the recorded preparation of images; ``side``: the usual one of the stored images."""
    found: dict[str, dict[str, Any]] = {}
    for step in steps if isinstance(steps, list) else []:
        if isinstance(step, dict):
            found[str(step.get("step"))] = step
    words = []
    for name, (of, key, usual) in OPTIONS.items():
        value = found.get(of, {}).get(key)
        if value not in (None, side if usual is None else usual):
            words += [f"--{name}", str(value)[:20]]
        if name == "detect" and value == "yunet":
            words += ["--detector-model", "FILE"]
    return words
