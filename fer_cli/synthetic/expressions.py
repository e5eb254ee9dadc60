"""Expressions as recipes of action units, head pose and gaze; a draw from a recipe is a face's ground truth.

Basic expressions follow the emotion prototypes of FACS and EMFACS (Ekman and Friesen; Lucey 2010 lists the required units);
the six learning expressions follow Table 1 of Sun 2024 (mouth, eyes, brows, head, gaze). Intensities are in [0, 1] (FACS A
to E).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from fer_cli.synthetic.actions import UNITS

Range = tuple[float, float]


@dataclass(frozen=True)
class Variant:
    """A variant of an expression."""

    needs: dict[str, Range]
    """Required units -> range of intensity."""
    may: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    """Optional units -> probability, minimum and maximum intensity."""
    weight: float = 1.0
    """Relative frequency."""
    one_sided: tuple[str, ...] = ()
    """Units that act on one side only (the same side for all)."""


@dataclass(frozen=True)
class Recipe:
    """An expression: variants, head pose and gaze (degrees; up is positive)."""

    variants: tuple[Variant, ...]
    yaw: Range = (-1.0, 1.0)
    """Fraction of the set's maximum yaw."""
    pitch: Range = (-1.0, 1.0)
    turned: bool = False
    """Whether the head is turned sideways or down by at least 14 degrees."""
    gaze: tuple[Range, ...] = ()
    """Absolute yaw and pitch ranges of the gaze relative to the camera; empty: within a few degrees of the camera."""
    pace: Literal["", "quick", "slow"] = ""
    """In clips: ``quick`` rises quickly and falls slowly, ``slow`` is its time reversal; empty: as fast up as down."""


BASIC: dict[str, Recipe] = {
    "angry": Recipe(
        (
            Variant(
                {"AU4": (0.65, 1), "AU7": (0.4, 1), "AU24": (0.5, 1)},
                {"AU23": (0.5, 0.3, 0.8), "AU17": (0.4, 0.2, 0.7), "AU5": (0.25, 0.2, 0.5), "AU9": (0.1, 0.05, 0.2)},
                2.2,
            ),
            Variant(
                {"AU4": (0.65, 1), "AU7": (0.4, 1), "AU23": (0.6, 1)},
                {"AU17": (0.4, 0.2, 0.7), "AU5": (0.25, 0.2, 0.5)},
                1.4,
            ),
            Variant(
                {"AU4": (0.7, 1), "AU7": (0.5, 1), "AU17": (0.3, 0.7), "AU24": (0.2, 0.6)},
                {"AU10": (0.2, 0.1, 0.3)},
                0.8,
            ),
            Variant(
                {"AU4": (0.7, 1), "AU5": (0.3, 0.7), "AU10": (0.2, 0.5), "AU25": (0.5, 0.9), "AU22": (0.3, 0.7)},
                {"AU7": (0.6, 0.3, 0.8), "AU16": (0.6, 0.2, 0.6), "AU26": (0.3, 0.2, 0.5)},
                0.4,
            ),
        )
    ),
    "disgust": Recipe(
        (
            Variant(
                {"AU9": (0.7, 1), "AU7": (0.6, 1), "AU10": (0.2, 0.6)},
                {"AU4": (0.6, 0.2, 0.7), "AU6": (0.7, 0.3, 0.9), "AU17": (0.6, 0.3, 0.8), "AU15": (0.25, 0.1, 0.4)},
                2.2,
            ),
            Variant(
                {"AU9": (0.6, 1), "AU10": (0.5, 1), "AU25": (0.25, 0.7), "AU7": (0.5, 1)},
                {"AU4": (0.6, 0.1, 0.6), "AU6": (0.6, 0.2, 0.8), "AU16": (0.3, 0.2, 0.5)},
                1.2,
            ),
            Variant(
                {"AU10": (0.7, 1), "AU9": (0.3, 0.7), "AU17": (0.2, 0.6), "AU7": (0.4, 0.9)},
                {"AU4": (0.5, 0.1, 0.5), "AU15": (0.25, 0.1, 0.4)},
                0.5,
            ),
        )
    ),
    "fear": Recipe(
        (
            Variant(
                {
                    "AU1": (0.6, 1),
                    "AU2": (0.2, 0.7),
                    "AU4": (0.3, 0.8),
                    "AU5": (0.4, 1),
                    "AU20": (0.7, 1),
                    "AU25": (0.7, 1),
                    "AU16": (0.3, 0.9),
                },
                {"AU26": (0.5, 0.1, 0.4)},
                2,
            ),
            Variant(
                {"AU1": (0.5, 1), "AU4": (0.4, 0.9), "AU5": (0.2, 0.9), "AU20": (0.6, 1), "AU25": (0.6, 1)},
                {
                    "AU26": (0.5, 0.1, 0.5),
                    "AU16": (0.5, 0.2, 0.7),
                    "AU7": (0.3, 0.2, 0.5),
                    "AU2": (0.4, 0.2, 0.6),
                    "AU10": (0.3, 0.1, 0.4),
                },
                1.6,
            ),
            Variant(
                {"AU1": (0.5, 1), "AU4": (0.2, 0.7), "AU5": (0.4, 1), "AU25": (0.5, 1), "AU26": (0.2, 0.6)},
                {"AU20": (0.6, 0.2, 0.7), "AU2": (0.5, 0.2, 0.7)},
                0.7,
            ),
        )
    ),
    "happy": Recipe(
        (
            Variant(
                {"AU12": (0.75, 1), "AU25": (0.7, 1), "AU6": (0.5, 1)},
                {"AU7": (0.2, 0.1, 0.4), "AU16": (0.4, 0.1, 0.4), "AU26": (0.3, 0.1, 0.35)},
                3,
            ),
            Variant({"AU12": (0.6, 1), "AU6": (0.4, 0.9)}, {"AU14": (0.2, 0.1, 0.3), "AU7": (0.2, 0.1, 0.4)}, 1),
            Variant(
                {"AU12": (0.65, 1), "AU25": (0.6, 1), "AU6": (0.5, 1), "AU26": (0.3, 0.6)}, {"AU1": (0.2, 0.1, 0.3)}, 0.5
            ),
        )
    ),
    "sad": Recipe(
        (
            Variant(
                {"AU1": (0.5, 1), "AU4": (0.3, 0.8), "AU15": (0.5, 1), "AU17": (0.3, 0.9)},
                {"AU7": (0.15, 0.1, 0.3), "AU43": (0.4, 0.1, 0.3), "AU24": (0.2, 0.1, 0.3)},
                2,
            ),
            Variant(
                {"AU1": (0.5, 1), "AU15": (0.6, 1)},
                {"AU17": (0.6, 0.3, 0.9), "AU4": (0.4, 0.1, 0.4), "AU43": (0.4, 0.1, 0.3)},
                1,
            ),
            Variant(
                {"AU4": (0.3, 0.8), "AU15": (0.6, 1), "AU17": (0.6, 1)},
                {"AU1": (0.6, 0.2, 0.5), "AU43": (0.4, 0.1, 0.3)},
                1.2,
            ),
            Variant(
                {"AU15": (0.4, 0.9), "AU17": (0.6, 1)},
                {"AU1": (0.5, 0.2, 0.6), "AU4": (0.4, 0.1, 0.4), "AU24": (0.2, 0.1, 0.3)},
                0.8,
            ),
            Variant(
                {"AU6": (0.2, 0.6), "AU15": (0.7, 1), "AU1": (0.4, 0.8)},
                {"AU17": (0.6, 0.3, 0.8), "AU4": (0.4, 0.2, 0.5)},
                0.2,
            ),
        ),
        pitch=(-1.3, 0.7),
    ),
    "surprise": Recipe(
        (
            Variant({"AU1": (0.7, 1), "AU2": (0.7, 1), "AU5": (0.5, 1), "AU27": (0.65, 1.1)}, {"AU18": (0.4, 0.1, 0.5)}, 3),
            Variant({"AU1": (0.65, 1), "AU2": (0.65, 1), "AU5": (0.4, 1), "AU26": (0.6, 1)}, {"AU25": (0.4, 0.1, 0.4)}, 1),
            Variant({"AU1": (0.6, 1), "AU2": (0.6, 1), "AU26": (0.7, 1), "AU22": (0.2, 0.5)}, {"AU5": (0.7, 0.2, 0.7)}, 0.6),
        )
    ),
    "neutral": Recipe((Variant({}, {"AU4": (0.1, 0.02, 0.1), "AU17": (0.1, 0.02, 0.1), "AU1": (0.1, 0.02, 0.1)}),)),
    "contempt": Recipe(
        (
            Variant(
                {"AU14": (0.75, 1), "AU12": (0.45, 0.8)},
                {"AU24": (0.2, 0.1, 0.3), "AU2": (0.2, 0.2, 0.6), "AU7": (0.3, 0.1, 0.4)},
                1.5,
                ("AU14", "AU12", "AU2"),
            ),
            Variant(
                {"AU14": (0.9, 1), "AU12": (0.25, 0.5)},
                {"AU10": (0.4, 0.2, 0.5), "AU17": (0.2, 0.1, 0.3), "AU7": (0.3, 0.1, 0.4)},
                1,
                ("AU14", "AU12", "AU10"),
            ),
        )
    ),
}
"""The eight basic expressions, by our label names."""

LEARNING: dict[str, Recipe] = {
    "focused": Recipe(
        (Variant({}, {"AU4": (0.3, 0.05, 0.25), "AU24": (0.2, 0.05, 0.2), "AU7": (0.2, 0.05, 0.2)}),),
        (-0.35, 0.35),
        (-0.5, 0.4),
    ),
    "distracted": Recipe(
        (
            Variant({}, {"AU43": (0.3, 0.05, 0.25), "AU24": (0.2, 0.05, 0.2)}, 2),
            Variant({"AU4": (0.15, 0.5)}, {"AU43": (0.3, 0.05, 0.25)}, 1),
        ),
        turned=True,
        gaze=((16, 34), (-14, 6)),
    ),
    "curious": Recipe(
        (
            Variant({"AU1": (0.5, 1), "AU2": (0.5, 1), "AU5": (0.4, 1), "AU25": (0.35, 0.9)}, {"AU26": (0.5, 0.1, 0.45)}, 2),
            Variant({"AU1": (0.4, 0.9), "AU2": (0.5, 1), "AU5": (0.5, 1), "AU26": (0.2, 0.5)}, {}, 1),
        ),
        (-0.4, 0.4),
        (-0.5, 0.5),
    ),
    "confused": Recipe(
        (
            Variant({"AU4": (0.5, 1)}, {"AU7": (0.6, 0.2, 0.7), "AU24": (0.3, 0.2, 0.6), "AU17": (0.4, 0.2, 0.6)}, 2),
            Variant({"AU4": (0.4, 1), "AU15": (0.2, 0.6)}, {"AU17": (0.6, 0.2, 0.7), "AU7": (0.4, 0.2, 0.6)}, 1),
            Variant({"AU4": (0.5, 1), "AU20": (0.1, 0.4)}, {"AU7": (0.5, 0.2, 0.6), "AU23": (0.4, 0.2, 0.6)}, 0.7),
        ),
        (-0.6, 0.6),
    ),
    "tired": Recipe(
        (
            Variant({"AU43": (0.4, 0.9), "AU26": (0.3, 0.7)}, {"AU1": (0.3, 0.1, 0.5)}, 1),
            Variant(
                {"AU43": (0.5, 1), "AU27": (0.5, 1)},
                {"AU4": (0.4, 0.1, 0.5), "AU6": (0.4, 0.2, 0.6), "AU1": (0.3, 0.2, 0.6)},
                1.4,
            ),
            Variant({"AU43": (0.45, 0.95), "AU25": (0.2, 0.5)}, {"AU15": (0.3, 0.1, 0.4), "AU1": (0.3, 0.1, 0.5)}, 1),
        ),
        (-0.5, 0.5),
        (-1.6, 1.4),
        gaze=((0, 8), (-24, -10)),
    ),
    "happy": Recipe(BASIC["happy"].variants, (-0.5, 0.5), (-0.6, 0.6)),
}
"""The six learning expressions of Sun 2024."""

ORDER = {
    f"{label}-{pace}": replace(BASIC[label], pace=pace) for label in ("happy", "surprise") for pace in ("quick", "slow")
}
"""Expressions in pairs that differ in the order of their frames alone."""

RECIPES = {"basic": BASIC, "learning": LEARNING, "order": ORDER}


@dataclass(frozen=True)
class Expression:
    """The expression of one face."""

    label: str
    units: np.ndarray
    """(2, units) float32 in [0, 1]: right and left halves."""
    yaw: float
    """Degrees; positive to the subject's left."""
    pitch: float
    roll: float
    gaze: tuple[float, float]
    """Yaw and pitch of the gaze in degrees, relative to the camera."""


def draw_expression(recipe: Recipe, label: str, rng: np.random.Generator, difficulty: float, pose: float) -> Expression:
    """Return one draw of a recipe.

    ``difficulty`` in [0, 1] lowers intensities and adds stray units; ``pose``: maximum yaw in degrees (pitch x 0.6, roll x
    0.4).
    """
    weights = np.array([variant.weight for variant in recipe.variants])
    variant = recipe.variants[rng.choice(len(weights), p=weights / weights.sum())]
    units = np.zeros((2, len(UNITS)))
    strength = rng.uniform(1.0 - 0.45 * difficulty, 1.05)
    asked = {unit: rng.uniform(*span) for unit, span in variant.needs.items()}
    asked |= {unit: rng.uniform(low, high) for unit, (p, low, high) in variant.may.items() if rng.random() < p}
    side = int(rng.integers(2))
    for unit, value in asked.items():
        row = UNITS.index(unit)
        units[:, row] = value * strength * np.clip(rng.normal(1, 0.08, 2), 0.7, 1.3)
        if unit in variant.one_sided:
            units[1 - side, row] *= rng.uniform(0, 0.15)
    stray = rng.random(len(UNITS)) < 0.06 + 0.06 * difficulty
    stray[[UNITS.index(unit) for unit in ("AU27", "AU26", "AU28", "AU34", "AU43")]] = False
    units += stray * rng.uniform(0, 0.1 + 0.12 * difficulty, len(UNITS))
    units[:, UNITS.index("AU43")] += rng.uniform(0, 0.08)
    yaw = rng.uniform(*recipe.yaw) * pose
    pitch = rng.uniform(*recipe.pitch) * pose * 0.6
    if recipe.turned and rng.random() < 0.3:
        pitch = -rng.uniform(14, 26)
    elif recipe.turned:
        yaw = np.copysign(rng.uniform(14, 34), rng.random() - 0.5)
    if recipe.gaze:
        across, along = (rng.uniform(*span) for span in recipe.gaze)
        direction = np.copysign(1, yaw) if recipe.turned else rng.choice([-1, 1])
        if recipe.turned and pitch < -13:
            across, along = across * 0.3, -rng.uniform(16, 28)
        gaze = (float(across * direction), float(along if pitch <= 0 or recipe.turned else -along))
    else:
        lowered = 25 * float(units[:, UNITS.index("AU43")].mean())  # eyes sink with their lids
        gaze = (float(rng.normal(0, 3)), float(rng.normal(0, 2.5) - lowered))
    roll = float(rng.uniform(-0.4, 0.4) * pose)
    return Expression(label, np.clip(units, 0, 1.1).astype(np.float32), float(yaw), float(pitch), roll, gaze)
