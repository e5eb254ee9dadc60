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
from fer_cli.synthetic import exact, skin
from fer_cli.synthetic.mesh import HeadMesh, head_mesh

SKIN_TONES = np.array(
    [[0.93, 0.77, 0.68], [0.87, 0.69, 0.58], [0.80, 0.60, 0.47], [0.66, 0.47, 0.35], [0.50, 0.34, 0.25], [0.36, 0.24, 0.18]],
    np.float32,
)
"""sRGB, light to dark."""
HAIR = np.array(
    [[0.07, 0.06, 0.06], [0.16, 0.11, 0.08], [0.30, 0.20, 0.13], [0.52, 0.38, 0.22], [0.45, 0.22, 0.12], [0.60, 0.59, 0.58]],
    np.float32,
)
IRIS = np.array(
    [[0.20, 0.12, 0.07], [0.33, 0.20, 0.10], [0.42, 0.34, 0.20], [0.36, 0.44, 0.34], [0.36, 0.47, 0.58], [0.45, 0.50, 0.52]],
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


def make_identity(seed: int, number: int, units: int, ages: tuple[float, float] = (0.0, 1.0)) -> Identity:
    """Return person ``number`` of ``seed``; ``ages``: range from 0 (young adult) to 1 (old)."""
    rng = np.random.default_rng(derive_seed(seed, "identity", number))
    mesh = head_mesh()
    female = bool(rng.random() < 0.5)
    age = float(ages[0] + (ages[1] - ages[0]) * rng.beta(1.2, 2.2))
    ancestry = rng.dirichlet((0.5, 0.5, 0.6))
    shape = head_shape(mesh, rng, female, age, ancestry)
    tone = skin_tone(rng, ancestry)
    dark = bool(rng.random() < 0.35 + 0.6 * (1 - ancestry[2]))
    hair = HAIR[0 if dark else rng.integers(1, 5)] if rng.random() > 0.8 * max(0.0, age - 0.4) else HAIR[5]
    hair = np.clip(hair * rng.uniform(0.8, 1.25), 0, 1)
    lip = tone * lip_tint(rng, female)
    albedo = paint_skin(rng, tone, hair, female, age)
    albedo = add_lips_and_lashes(albedo, lip, float(rng.uniform(0.45, 0.75) + (0.2 if female else 0)))
    resting = skin.resting_lines()
    depths = rng.beta(0.7, 3, len(resting)) * 0.7 + age * rng.beta(1, 2, len(resting)) * 0.6
    lines = exact.weighted_sum(depths, resting)
    brown = rng.random() < 0.3 + 0.7 * (1 - ancestry[2])
    wears = rng.random() < 0.18
    return Identity(
        number=number,
        stream=derive_seed(seed, "belongings", number),
        female=female,
        shape=shape,
        albedo=albedo,
        lines=lines,
        creases=float(np.clip(rng.uniform(0.35, 0.9) + 0.5 * age, 0, 1.3)),
        iris=(IRIS[rng.integers(0, 2) if brown else rng.integers(0, len(IRIS))] * rng.uniform(0.8, 1.2)).astype(np.float32),
        sclera=(np.array([0.92, 0.9, 0.88]) * rng.uniform(0.85, 1.02)).astype(np.float32),
        gloss=float(rng.uniform(0.05, 0.45)),
        hair=hair.astype(np.float32),
        long_hair=bool(rng.random() < (0.7 if female else 0.12)),
        glasses=(rng.uniform(20, 27), rng.uniform(13, 22), rng.uniform(0.4, 0.95)) if wears else None,
        asymmetry=np.clip(rng.normal(1, 0.07, (2, units)), 0.75, 1.25).astype(np.float32),
        habit=np.clip(rng.normal(1, 0.12, units), 0.65, 1.35).astype(np.float32),
    )


def head_shape(mesh: HeadMesh, rng: np.random.Generator, female: bool, age: float, ancestry: np.ndarray) -> np.ndarray:
    """Return a head (V, 3): a blend of corner shapes with random, mostly symmetric local changes."""
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
    signed = np.stack([np.clip(-amounts, 0, None), np.clip(amounts, 0, None)], 1)
    return shape + exact.weighted_sum(signed.ravel(), mesh.changes.reshape(-1, mesh.size, 3))


CALM = {
    "mouth-angles": 0.3,
    "mouth-trans": 0.5,
    "eyebrows-angle": 0.35,
    "head-scale": 0.6,
    "head-angle": 0.4,
    "mouth-laugh": 0.4,
}
"""Reduction of local changes that would look like an expression or unnatural."""


def skin_tone(rng: np.random.Generator, ancestry: np.ndarray) -> np.ndarray:
    """Return a skin colour (3,) correlated with ancestry, with wide overlap."""
    centre = float(exact.dot(ancestry, np.array([4.2, 1.6, 0.9])))
    at = np.clip(centre + rng.normal(0, 0.7), 0, len(SKIN_TONES) - 1.001)
    low = int(at)
    tone = SKIN_TONES[low] * (1 - (at - low)) + SKIN_TONES[low + 1] * (at - low)
    return np.asarray(tone * rng.uniform(0.94, 1.06, 3), np.float32)


def paint_skin(rng: np.random.Generator, tone: np.ndarray, hair: np.ndarray, female: bool, age: float) -> np.ndarray:
    """Return the texture (3, H, W): mottled skin, cheeks, lids, freckles, brows, stubble or beard, hair line."""
    y = grid()[1]
    mottle = exact.enlarge(rng.normal(0, 1, (24, 18)), skin.SHAPE, -NOISE, NOISE)
    grain = blurred_noise(rng, 1.2)
    albedo = planes(tone) * (1 + 0.025 * mottle + 0.05 * grain)
    rosy, lids = rosy_and_lids()
    albedo *= 1 - rosy * rng.uniform(0, 0.16) * planes(np.array([0.1, 1, 0.9]))
    albedo *= 1 - lids * rng.uniform(0.02, 0.28 if female else 0.16) * planes(np.array([0.9, 1, 1]))
    if rng.random() < 0.2:
        spots = exact.blur(rng.random(skin.SHAPE) < 0.004, 1.0) * 4
        albedo *= 1 - np.clip(spots, 0, 1) * exact.exp(-(((y + 20) / 35) ** 2)) * rng.uniform(0.1, 0.5)
    cover = brows(rng, female, age)
    albedo = albedo * (1 - cover) + planes(hair * 0.9) * cover
    if not female:
        cover = beard(rng)
        albedo = albedo * (1 - cover) + planes(hair * 0.8 + tone * 0.1) * cover
    cover = hair_line(rng, female, age)
    streaks = blurred_noise(rng, 1.0, 6.0)
    strands = planes(hair) * np.clip(1 + 1.2 * streaks, 0.4, 1.8)
    albedo = albedo * (1 - cover) + strands * cover
    return np.asarray(np.clip(albedo, 0.01, 1), np.float32)


NOISE = 6.0
"""Clipping of normal noise, in standard deviations, before blurring or enlarging."""


def blurred_noise(rng: np.random.Generator, sigma: float, sigma_y: float = 0.0) -> np.ndarray:
    """Return (H, W) normal noise, blurred by ``sigma`` and ``sigma_y`` pixels."""
    return exact.blur(rng.normal(0, 1, skin.SHAPE), sigma, sigma_y, -NOISE, NOISE)


def planes(colour: np.ndarray) -> np.ndarray:
    """Return a colour (3,) as (3, 1, 1), since painting textures plane by plane is several times faster."""
    return colour[:, None, None]


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


@lru_cache(maxsize=1)
def grid() -> tuple[np.ndarray, np.ndarray]:
    """Return x and y (H, W) float64 in mm of every texture pixel."""
    rows, columns = np.mgrid[: skin.SHAPE[0], : skin.SHAPE[1]].astype(np.float64)
    return skin.LEFT + columns / skin.PX, skin.TOP - rows / skin.PX


def brows(rng: np.random.Generator, female: bool, age: float) -> np.ndarray:
    """Return the cover (H, W) of both brows."""
    inner, peak, outer = rng.uniform(9, 15), rng.uniform(32, 41), rng.uniform(48, 57)
    lift, arch = rng.normal(0, 1.2), rng.uniform(1.0, 5.5) * (1.25 if female else 0.8)
    thick = rng.uniform(2.2, 4.2) if female else rng.uniform(3.2, 6.2)
    line = skin.smooth_line([(inner, 16 + lift), (peak, 18 + lift + arch), (outer, 13 + lift + arch * 0.4)], 60)
    cover = np.zeros(skin.SHAPE, np.float32)
    density = int(rng.uniform(120, 240))
    for side in (-1, 1):
        at = rng.uniform(0, 1, density)
        draws = [(rng.uniform(-0.5, 0.5), rng.normal(0, 12), rng.uniform(2.5, 5)) for _ in at]  # hair by hair
        off, lean, length = np.array(draws).T
        width = thick * (1 - 0.75 * np.maximum(0.0, at - 0.45) / 0.55) * (0.55 + 0.45 * np.minimum(1.0, at * 5))
        start = line[(at * 59).astype(int)]
        start = np.stack([start[:, 0], start[:, 1] + off * width], 1)
        lean = np.deg2rad(70 - 75 * at + lean)
        end = start + np.stack([np.cos(lean), np.sin(lean)], 1) * length[:, None]
        ends = np.round(skin.at_pixel(np.stack([start, end], 1) * (side, 1)) * 16).astype(int)
        for a, b in ends.tolist():
            cv2.line(cover, a, b, 1.0, 1, cv2.LINE_AA, 4)
    cover = exact.blur(cover, 1.0)
    return np.clip(cover * rng.uniform(0.75, 1.5) * (1 - 0.3 * age), 0, 0.95)


def beard(rng: np.random.Generator) -> np.ndarray:
    """Return the cover (H, W) of stubble, moustache or beard; mostly a shadow."""
    x, y = grid()
    lower = exact.logistic(-(y + 50 + 0.010 * (np.abs(x) - 20) ** 2 * np.where(np.abs(x) > 20, -1, 0)) / 4)
    mouth = exact.exp(-(((x / 27) ** 2 + ((y + 68) / 9.5) ** 2) ** 3))
    lip_top = exact.exp(-(((x / 25) ** 2 + ((y + 55) / 6.0) ** 2) ** 2))
    kind = rng.random()
    noise = 0.75 + 0.25 * exact.blur(rng.random(skin.SHAPE), 0.7)
    shadow = np.clip(lower, 0, 1) * (1 - mouth) * noise
    if kind < 0.62:
        return (shadow * rng.uniform(0, 0.28)).astype(np.float32)
    if kind < 0.8:
        return np.clip(shadow * rng.uniform(0.3, 0.6) + lip_top * 0.3, 0, 0.7).astype(np.float32)
    if kind < 0.9:
        return np.clip(lip_top * (1 - mouth) * rng.uniform(0.7, 1.0) + shadow * 0.1, 0, 0.95).astype(np.float32)
    return np.clip(shadow * 1.3 + lip_top * (1 - mouth) * 0.9, 0, 0.92).astype(np.float32)


def hair_line(rng: np.random.Generator, female: bool, age: float) -> np.ndarray:
    """Return the cover (H, W) of scalp hair above the forehead and beyond the temples; none for the bald."""
    x, y = grid()
    if not female and rng.random() < 0.1 + 0.3 * age:
        return np.zeros(skin.SHAPE, np.float32)
    fringe = rng.random() < (0.3 if female else 0.15)
    height = rng.uniform(24, 48) if fringe else rng.uniform(46, 72) + (0 if female else 12 * age)
    side = rng.uniform(66, 76)
    waves = rng.normal(0, 2.5 if fringe else 1.2, 41)
    line = height + np.interp(x[0], np.linspace(skin.LEFT, -skin.LEFT, 41), waves) + rng.uniform(-0.15, 0.15) * x[0]
    above = exact.logistic((y - line[None]) / 1.5)
    beside = exact.logistic((np.abs(x) - side - 0.12 * np.clip(60 - y, 0, 90) * (0.0 if female else 0.35)) / 1.5)
    reach = exact.logistic((y - (-120 if female else rng.uniform(-25, 10))) / 4)
    return np.clip(above + beside * reach, 0, 1).astype(np.float32)
