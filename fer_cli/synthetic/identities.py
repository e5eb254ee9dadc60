"""People: head shape, skin, eyes, brows, hair, beard, glasses, and individual strength of expressions.

A person depends only on (set seed, number). Shapes blend the corner shapes of the human model with random local changes;
colours are painted on a texture in the plane of the mean face. Ranges were chosen for variety and describe no population.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from fer_cli.seeds import derive_seed
from fer_cli.synthetic import exact, hair, skin
from fer_cli.synthetic.ingredients import EVERYTHING, Ingredients
from fer_cli.synthetic.landmarks import landmark_ids
from fer_cli.synthetic.mesh import HeadMesh, head_mesh
from fer_cli.synthetic.skin import NOISE, blurred_noise, grid, planes

SKIN_TONES = np.array(
    [[0.93, 0.77, 0.68], [0.87, 0.69, 0.58], [0.80, 0.60, 0.47], [0.66, 0.47, 0.35], [0.50, 0.34, 0.25], [0.36, 0.24, 0.18]],
    np.float32,
)
"""sRGB, light to dark."""
HAIR = np.array(
    [[0.10, 0.08, 0.08], [0.17, 0.12, 0.09], [0.30, 0.20, 0.13], [0.52, 0.38, 0.22], [0.45, 0.22, 0.12], [0.60, 0.59, 0.58]],
    np.float32,
)
IRIS = np.array(
    [[0.20, 0.12, 0.07], [0.33, 0.20, 0.10], [0.34, 0.27, 0.16], [0.27, 0.33, 0.26], [0.26, 0.34, 0.42], [0.32, 0.36, 0.38]],
    np.float32,
)


@dataclass(frozen=True)
class Identity:
    """One person."""

    number: int
    stream: int
    """Seed of what else belongs to the person: body, clothes, hair."""
    female: bool
    shape: np.ndarray
    """(V, 3) float32, neutral head in mm."""
    albedo: np.ndarray
    """(H, W, 3) float32 colours of skin, lips, brows, hair: RGB in [0, 1]."""
    lines: np.ndarray
    """(H, W) float32 depth of the lines of the resting face."""
    creases: float
    """Depth of expression folds (age)."""
    iris: np.ndarray
    sclera: np.ndarray
    gloss: float
    hair: np.ndarray
    """RGB."""
    long_hair: bool
    glasses: tuple[float, float, float] | None
    """Half width and half height of a lens in mm and darkness of the frame, or None."""
    asymmetry: np.ndarray
    """(2, units): strength of each unit in each half of the face, around 1."""
    habit: np.ndarray
    """(units,): individual strength of each unit, around 1."""


def make_identity(
    seed: int, number: int, units: int, ages: tuple[float, float] = (0.0, 1.0), ingredients: Ingredients = EVERYTHING
) -> Identity:
    """Return person ``number`` of ``seed``; ``ages``: range from 0 (young adult) to 1 (old).

    Without an ingredient, everything else about the person stays the same.
    """
    rng = np.random.default_rng(derive_seed(seed, "identity", number))
    mesh = head_mesh()
    female = bool(rng.random() < 0.5)
    age = float(ages[0] + (ages[1] - ages[0]) * rng.beta(1.2, 2.2))
    ancestry = rng.dirichlet((0.5, 0.5, 0.6))
    shape = head_shape(mesh, rng, female, age, ancestry, ingredients.proportions)
    tone = skin_tone(rng, ancestry)
    dark = bool(rng.random() < 0.35 + 0.6 * (1 - ancestry[2]))
    colour = HAIR[0 if dark else rng.integers(1, 5)] if rng.random() > 0.8 * max(0.0, age - 0.4) else HAIR[5]
    colour = np.clip(colour * rng.uniform(0.8, 1.25), 0, 1)
    lip = tone * lip_tint(rng, female)
    longer = bool(rng.random() < (0.7 if female else 0.12))
    painter = np.random.default_rng(derive_seed(seed, "skin", number))
    albedo, scalp = paint_skin(painter, tone, colour, female, age, ingredients)
    volume = hair.hair_volume(painter, scalp, longer)
    albedo = add_lips_and_lashes(albedo, lip, float(rng.uniform(0.65, 0.85) + (0.12 if female else 0)))
    resting = skin.resting_lines()
    depths = rng.beta(0.8, 4, len(resting)) * 0.5 + age * rng.beta(1.5, 2, len(resting)) * 0.9
    lines = exact.weighted_sum(depths * skin.resting_shares() * ingredients.texture, resting)
    brown = rng.random() < 0.3 + 0.7 * (1 - ancestry[2])
    wears, glasses = rng.random() < 0.18, (rng.uniform(20, 27), rng.uniform(13, 22), rng.uniform(0.4, 0.95))
    return Identity(
        number=number,
        stream=derive_seed(seed, "belongings", number),
        female=female,
        shape=shape + volume if ingredients.hair else shape,
        albedo=albedo,
        lines=lines,
        creases=float(np.clip(rng.uniform(0.35, 0.9) + 0.5 * age, 0, 1.3)),
        iris=(IRIS[rng.integers(0, 2) if brown else rng.integers(0, len(IRIS))] * rng.uniform(0.8, 1.2)).astype(np.float32),
        sclera=np.minimum(np.array([0.74, 0.71, 0.69]) * rng.uniform(0.88, 1.05), 0.17 + 0.85 * tone.max()).astype(
            np.float32
        ),
        gloss=float(rng.uniform(0.05, 0.45)),
        hair=colour.astype(np.float32),
        long_hair=longer and ingredients.hair and bool(scalp.any()),
        glasses=glasses if wears and ingredients.glasses else None,
        asymmetry=np.clip(rng.normal(1, 0.07, (2, units)), 0.75, 1.25).astype(np.float32),
        habit=np.clip(rng.normal(1, 0.12, units), 0.65, 1.35).astype(np.float32),
    )


def head_shape(
    mesh: HeadMesh, rng: np.random.Generator, female: bool, age: float, ancestry: np.ndarray, usual: bool = True
) -> np.ndarray:
    """Return a head (V, 3): a blend of corner shapes with random, mostly symmetric local changes.

    ``usual``: with proportions nearer to those of photographs than the model's mean.
    """
    gender = np.clip((0.88 if female else 0.12) + rng.normal(0, 0.1), 0, 1)  # 1 is female in the model
    weight = np.clip(rng.normal(0.5, 0.22), 0, 1)
    blend = np.einsum(
        "g,a,w,r->gawr",
        [1 - gender, gender],
        [1 - age, age],
        [max(0.0, 1 - 2 * weight), 1 - abs(2 * weight - 1), max(0.0, 2 * weight - 1)],
        ancestry,
    )
    shape = mesh.rest + exact.weighted_sum(blend.ravel(), mesh.corners.reshape(-1, mesh.size, 3))
    values: dict[str, float] = {}
    for name in mesh.change_names:
        stem = str(name).removeprefix("l-").removeprefix("r-")
        if stem not in values:
            values[stem] = float(rng.normal(0, 0.28) if rng.random() < 0.7 else 0.0)
    amounts = np.array([values[str(name).removeprefix("l-").removeprefix("r-")] for name in mesh.change_names])
    amounts = np.clip(amounts + rng.normal(0, 0.04, len(amounts)), -0.8, 0.8)
    for i, name in enumerate(mesh.change_names):
        amounts[i] *= next((share for part, share in CALM.items() if part in str(name)), 1.0)
        amounts[i] += usual * next((shift for part, shift in USUAL.items() if part in str(name)), 0.0)
    signed = np.stack([np.clip(-amounts, 0, None), np.clip(amounts, 0, None)], 1)
    return level_mouth(mesh, shape + exact.weighted_sum(signed.ravel(), mesh.changes.reshape(-1, mesh.size, 3)))


def level_mouth(mesh: HeadMesh, shape: np.ndarray) -> np.ndarray:
    """Return a resting head (V, 3) whose mouth neither droops nor smiles: each corner about level with the lips' seam."""
    at = shape[landmark_ids(), 1]
    for corner, side in ((48, "Right"), (54, "Left")):
        rise = float(at[corner]) - float(at[62] + at[66]) / 2
        frown = mesh.actions[mesh.action(f"mouthFrown{side}")]
        excess = rise - float(np.clip(rise, *LEVEL_MM))
        shape = shape + frown * np.float32(excess / -float(frown[landmark_ids()[corner], 1]))
    return shape


LEVEL_MM = (-0.2, 1.0)
"""Height of a resting mouth's corners over the middle of its seam."""


CALM = {
    "mouth-angles": 0.3,
    "mouth-trans": 0.5,
    "eyebrows-angle": 0.35,
    "head-scale": 0.6,
    "head-angle": 0.4,
    "mouth-laugh": 0.4,
    "ear-": 0.35,
}
"""Reduction of local changes that would look like an expression or unnatural."""


USUAL = {
    "eye-scale": 0.35,
    "mouth-scale-horiz": 0.35,
    "nose-scale-vert": -0.3,
    "nose-scale-horiz": -0.15,
    "nose-volume": -0.2,
    "eyebrows-trans-up": -0.3,
    "head-scale-horiz": 0.25,
    "head-scale-vert": -0.2,
}
"""Mean of local changes: eyes, mouths and faces of photographs are larger or wider than those of the model's mean."""


def skin_tone(rng: np.random.Generator, ancestry: np.ndarray) -> np.ndarray:
    """Return a skin colour (3,) correlated with ancestry, with wide overlap."""
    centre = float(exact.dot(ancestry, np.array([4.2, 1.6, 0.9])))
    at = np.clip(centre + rng.normal(0, 0.7), 0, len(SKIN_TONES) - 1.001)
    low = int(at)
    tone = SKIN_TONES[low] * (1 - (at - low)) + SKIN_TONES[low + 1] * (at - low)
    return np.asarray(tone * rng.uniform(0.94, 1.06) * np.clip(rng.normal(1, 0.015, 3), 0.96, 1.04), np.float32)


def paint_skin(
    rng: np.random.Generator, tone: np.ndarray, colour: np.ndarray, female: bool, age: float, ingredients: Ingredients
) -> tuple[np.ndarray, np.ndarray]:
    """Return the texture (3, H, W) of skin, brows, beard and hair of ``colour``, and the cover (H, W) of scalp hair."""
    y = grid()[1]
    mottle = exact.enlarge(rng.normal(0, 1, (24, 18)), skin.SHAPE, -NOISE, NOISE)
    grain = blurred_noise(rng, 1.2)
    albedo = planes(tone) * (1 + (0.025 * mottle + 0.05 * grain) * ingredients.texture)
    rosy, lids = rosy_and_lids()
    albedo *= 1 - rosy * rng.uniform(0, 0.16) * planes(np.array([0.1, 1, 0.9], np.float32))
    albedo *= 1 - lids * rng.uniform(0.12, 0.42 if female else 0.32) * planes(np.array([0.9, 1, 1], np.float32))
    if rng.random() < 0.2 and ingredients.texture:
        spots = exact.blur(rng.random(skin.SHAPE) < 0.004, 1.0) * 4
        albedo *= 1 - np.clip(spots, 0, 1) * exact.exp(-(((y + 20) / 35) ** 2)) * rng.uniform(0.1, 0.5)
    cover = hair.brows(rng, female, age)
    albedo = albedo * (1 - cover) + planes(np.minimum(colour * 0.8, tone * 0.5)) * cover
    if not female:
        cover, shade = hair.beard(rng)
        cover *= ingredients.hair
        albedo = albedo * (1 - cover) + planes(colour * 0.85 + tone * 0.12) * shade * cover
    scalp = hair.hair_line(rng, female, age)
    cover = scalp * ingredients.hair
    albedo = albedo * (1 - cover) + planes(colour) * hair.strands(rng, colour) * cover
    return np.asarray(np.clip(albedo, 0.01, 1), np.float32), scalp


@lru_cache(maxsize=1)
def rosy_and_lids() -> tuple[np.ndarray, np.ndarray]:
    """Return weights (H, W) of cheeks and nose, and of the lids and their surroundings."""
    x, y = grid()
    cheeks = exact.exp(-(((np.abs(x) - 40) / 18) ** 2 + ((y + 30) / 16) ** 2))
    rosy = cheeks + np.float32(0.8) * exact.exp(-((x / 13) ** 2 + ((y + 38) / 10) ** 2))
    return rosy, exact.exp(-(((np.abs(x) - 31) / 15) ** 2 + ((y - 2) / 9) ** 2))


def lip_tint(rng: np.random.Generator, female: bool) -> np.ndarray:
    """Return the lip colour relative to the skin (3,), with lipstick for a fraction of the women."""
    natural = np.array([0.95, 0.7, 0.72]) if not female else np.array([0.97, 0.63, 0.67])
    share = rng.random() if female and rng.random() < 0.4 else 0.0
    return np.asarray((natural * (1 - share) + np.array([1.0, 0.35, 0.4]) * share) * rng.uniform(0.85, 1.05))


def add_lips_and_lashes(albedo: np.ndarray, lip: np.ndarray, lash: float) -> np.ndarray:
    """Return ``albedo`` (3, H, W) as a texture (H, W, 3) with coloured lips and lid margins darkened by ``lash``."""
    lips, lashes = skin.lip_and_lash()
    coloured = albedo * (1 - lips) + planes(np.clip(lip, 0, 1)) * lips
    return np.asarray(cv2.merge([*(coloured * (1 - lash * lashes)).astype(np.float32)]))
