"""FACS action units as mixtures of the mesh's facial actions (ARKit names); intensity 1 is the maximum (FACS E)."""

from __future__ import annotations

import numpy as np

from fer_cli.synthetic.mesh import head_mesh

ACTION_UNITS: dict[str, dict[str, float]] = {
    "AU1": {"browInnerUp": 2.1},
    "AU2": {"browOuterUp*": 1.6},
    "AU4": {"browDown*": 1.9},
    "AU5": {"eyeWide*": 2.0},
    "AU6": {"cheekSquint*": 1.1, "eyeSquint*": 0.6},
    "AU7": {"eyeSquint*": 0.8, "eyeBlink*": 0.12},
    "AU9": {"noseSneer*": 1.45, "mouthUpperUp*": 0.4, "cheekSquint*": 0.4, "eyeSquint*": 0.25},
    "AU10": {"mouthUpperUp*": 1.2, "noseSneer*": 0.25, "cheekSquint*": 0.2},
    "AU12": {"mouthSmile*": 1.5, "mouthStretch*": 0.12, "cheekSquint*": 0.45},
    "AU14": {"mouthDimple*": 0.9, "mouthPress*": 0.4},
    "AU15": {"mouthFrown*": 1.5},
    "AU16": {"mouthLowerDown*": 1.0},
    "AU17": {"mouthShrugLower": 1.3, "mouthShrugUpper": 0.7},
    "AU18": {"mouthPucker": 0.9},
    "AU20": {"mouthStretch*": 1.6, "mouthLowerDown*": 0.3},
    "AU22": {"mouthFunnel": 0.8},
    "AU23": {"mouthRollLower": 0.55, "mouthRollUpper": 0.5, "mouthPress*": 0.15},
    "AU24": {"mouthPress*": 0.1, "mouthRollLower": 0.6, "mouthRollUpper": 0.55, "mouthPucker": 0.3},
    "AU25": {"mouthLowerDown*": 0.75, "mouthUpperUp*": 0.65, "jawOpen": 0.1},
    "AU26": {"jawOpen": 0.6},
    "AU27": {"jawOpen": 1.2},
    "AU28": {"mouthRollLower": 0.9, "mouthRollUpper": 0.9},
    "AU34": {"cheekPuff": 0.8},
    "AU43": {"eyeBlink*": 1.0},
}
"""Unit -> weight of each facial action; ``*`` stands for Left and Right."""

UNITS = tuple(ACTION_UNITS)
BROW_LIFT = 0.6
"""Fraction of AU4's lowering cancelled by a full AU1: together they draw the brows up and inwards (FACS, 1+4)."""
HALVES = ("Right", "Left")


def combine_units(units: np.ndarray) -> np.ndarray:
    """Return the units (2, units) corrected for non-additive combinations."""
    moved = units.copy()
    lips = [UNITS.index("AU23"), UNITS.index("AU24")]
    moved[:, lips] /= np.maximum(units[:, lips].sum(1, keepdims=True), 1.0)  # lips roll in only once
    moved[:, UNITS.index("AU4")] *= 1 - BROW_LIFT * np.clip(units[:, UNITS.index("AU1")], 0, 1)
    return moved


def action_matrix() -> np.ndarray:
    """Return (2 x units, 52) float32: right halves, then left halves; symmetric actions are split between both."""
    names = list(head_mesh().action_names)
    matrix = np.zeros((2, len(UNITS), len(names)), np.float32)
    for row, parts in enumerate(ACTION_UNITS.values()):
        for action, share in parts.items():
            for side, word in enumerate(HALVES):
                if action.endswith("*"):
                    matrix[side, row, names.index(action[:-1] + word)] += share
                else:
                    matrix[side, row, names.index(action)] += share / 2
    return matrix.reshape(2 * len(UNITS), len(names))
