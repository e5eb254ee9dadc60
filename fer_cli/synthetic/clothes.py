"""What a person wears: kind, cut, colours and pattern, drawn from the person's own stream, and its surfaces over a body.

Ranges were chosen for variety and describe no population.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from fer_cli.synthetic import exact
from fer_cli.synthetic.ingredients import Ingredients
from fer_cli.synthetic.pieces import Piece, cut_piece
from fer_cli.synthetic.poses import skeleton
from fer_cli.synthetic.tailor import BORDER_MM, CLEARANCE_MM, Base, base, drape, limb_coordinate
from fer_cli.synthetic.tailor import vertex_normals as normals_of

KINDS = ("t-shirt", "polo", "shirt", "blouse", "jumper", "jacket")
EASE_MM = {"t-shirt": 11, "polo": 11, "shirt": 12, "blouse": 11, "jumper": 14, "jacket": 17}
"""Kind -> distance from the skin."""
PATTERNS = ("plain", "stripes", "pinstripes", "checks", "block")
GREY = np.array([0.299, 0.587, 0.114])
CONTRAST = 0.16
"""Least difference in grey of cloth and skin."""
WAIST_MM = 95.0
"""Height of the waistband above the hips' joint."""


@dataclass(frozen=True)
class Style:
    """What is drawn on bodies; all on by default."""

    clothes: bool = True
    """Garments as surfaces of their own; False: tones on the body."""
    patterns: bool = True
    """Folds and patterns of cloth."""
    hair: bool = True
    """Hair with volume."""


def style_of(ingredients: Ingredients) -> Style:
    """Return the style of bodies drawn with ``ingredients``."""
    return Style(clothes=ingredients.clothes, patterns=ingredients.clothes and ingredients.texture, hair=ingredients.hair)


@dataclass(frozen=True)
class Outfit:
    """One person's clothes; colours are RGB in [0, 1], lengths mm."""

    kind: str
    sleeve: float
    """End of the sleeves: 0 at the shoulder, 1 at the elbow, 2 at the wrist."""
    neck: str
    """round, v, high or collar."""
    hem: float
    """Height of the top's hem above the hips' joint."""
    ease: float
    """Distance of the top from the skin."""
    skirt: bool
    pattern: str
    period: float
    """Of the pattern."""
    top: np.ndarray
    second: np.ndarray
    """The pattern's other colour."""
    inner: np.ndarray
    """Collar, or the shirt below a jacket."""
    bottom: np.ndarray

    @property
    def tucked(self) -> bool:
        """Return whether the top ends below the waistband."""
        return self.hem > 0


def grey_of(colour: np.ndarray) -> float:
    """Return the grey of a colour (3,)."""
    return float(exact.dot(colour.astype(np.float64), GREY))


def draw_tone(rng: np.random.Generator, tone: np.ndarray, low: float, high: float, vivid: float = 0.5) -> np.ndarray:
    """Return a colour (3,) whose grey is in [``low``, ``high``] and at least CONTRAST from the skin's ``tone`` (3,).

    If no such grey is in the range, it is the nearest to the skin outside.
    """
    skin = grey_of(tone)
    darker, lighter = (low, min(high, skin - CONTRAST)), (max(low, skin + CONTRAST), high)
    spans = [max(0.0, b - a) for a, b in (darker, lighter)]
    at = rng.random() * sum(spans)
    if sum(spans) == 0:
        grey = skin - CONTRAST if skin > 0.5 else skin + CONTRAST
    else:
        grey = darker[0] + at if at < spans[0] else lighter[0] + at - spans[0]
    hue = rng.uniform(0, 1, 3)
    colour = 1 + vivid * rng.beta(1, 1.6) * (hue - hue.mean()) * 2
    colour = np.clip(colour, 0.2, None) / exact.dot(np.clip(colour, 0.2, None), GREY) * grey
    over = max(float(colour.max()), 1.0)
    if over > 1:  # towards grey until no channel exceeds 1
        share = (1 - grey) / (colour.max() - grey)
        colour = grey + (colour - grey) * share
    return np.asarray(colour, np.float32)


def draw_outfit(rng: np.random.Generator, tone: np.ndarray, female: bool) -> Outfit:
    """Return the clothes of a person with this skin ``tone`` (3,)."""
    shares = (0.12, 0.06, 0.14, 0.28, 0.25, 0.15) if female else (0.16, 0.12, 0.3, 0.0, 0.24, 0.18)
    kind = KINDS[rng.choice(len(KINDS), p=shares)]
    short = kind in {"t-shirt", "polo"} or (kind == "blouse" and rng.random() < 0.3)
    sleeve = rng.uniform(0.5, 0.78) if short else 1.93
    if kind in {"shirt", "blouse", "jumper"} and not short and rng.random() < 0.3:
        sleeve = rng.uniform(1.25, 1.6)
    necks = {"t-shirt": ("round", "round", "v"), "jumper": ("round", "v", "high"), "blouse": ("collar", "round", "v")}
    neck = necks.get(kind, ("collar",))[rng.integers(len(necks.get(kind, ("collar",))))]
    tucked = kind in {"shirt", "blouse", "polo"} and rng.random() < 0.6
    wild = kind in {"t-shirt", "polo", "shirt", "blouse", "jumper"} and rng.random() < 0.5
    pattern = PATTERNS[rng.integers(1, len(PATTERNS))] if wild else "plain"
    return Outfit(
        kind=kind,
        sleeve=float(sleeve),
        neck=neck,
        hem=WAIST_MM - 22.0 if tucked else float(rng.uniform(-75, -20)),
        ease=float(EASE_MM[kind] + rng.uniform(0, 4)),
        skirt=bool(female and rng.random() < 0.35),
        pattern=pattern,
        period=float(rng.uniform(24, 70)),
        **draw_colours(rng, tone, kind, pattern),
    )


def draw_colours(rng: np.random.Generator, tone: np.ndarray, kind: str, pattern: str) -> dict[str, np.ndarray]:
    """Return the colours of an outfit over skin of this ``tone``; a pattern's stay on one side of it, darker or lighter."""
    low, high = (0.3, 0.96) if kind in {"shirt", "blouse"} else (0.08, 0.72)
    top = draw_tone(rng, tone, low, high, 0.7)
    skin = grey_of(tone)
    darker = grey_of(top) < skin
    second = draw_tone(rng, tone, 0.05, skin - CONTRAST) if darker else draw_tone(rng, tone, skin + CONTRAST, 0.97)
    collar = top * 0.85 if darker else np.clip(top * 1.1, 0, 1)
    shirt, jacket = draw_tone(rng, tone, 0.5, 0.97, 0.15), draw_tone(rng, tone, 0.06, 0.45, 0.3)
    return {
        "top": jacket if kind == "jacket" else top,
        "second": top if pattern == "plain" else second,
        "inner": (shirt if kind == "jacket" else collar).astype(np.float32),
        "bottom": draw_tone(rng, tone, 0.05, 0.5, 0.3),
    }


def neck_fields(outfit: Outfit, skin: np.ndarray, neck: np.ndarray) -> dict[str, np.ndarray]:
    """Return fields over the body's surface (n,), positive where cloth is: ``edge``, ``leaf`` and ``open``.

    ``skin``: (n, 3) at rest. ``neck``: the joint at the neck's base. ``leaf``: depth below a collar's lower edge.
    """
    x, y, z = (skin - neck).T
    top = -0.36 * (z + 45) + 34 - y  # below a plane that falls to the front
    front = z > -25
    if outfit.neck == "collar":
        gap = np.where(front, np.abs(x) - 0.5 * (y + 70), 60.0)
        return {"edge": top, "open": gap, "leaf": top - 40}
    if outfit.neck == "high":
        return {"edge": top - 4, "open": np.full(len(x), 9.0), "leaf": top - 40}
    deep = 72.0
    edge = 78.0 * (np.sqrt((x / 84) ** 2 + ((y + 14) / deep) ** 2 + ((z - 4) / 84) ** 2) - 1)
    edge = np.where(y > 25, -50.0, edge)
    gap = np.where(front & (outfit.neck == "v"), np.abs(x) - 0.5 * (y + 128), 60.0)
    return {"edge": edge, "open": gap, "leaf": edge - 40}


@dataclass(frozen=True)
class Wardrobe:
    """The pieces of an outfit over one body, and where the skin is covered by it: (n,) over the base, positive inside."""

    top: Piece
    inner: list[Piece]
    bottom: Piece | None
    covered: np.ndarray


def tailor_outfit(outfit: Outfit, skin: np.ndarray, bones: np.ndarray, surface: Base | None = None) -> Wardrobe:
    """Return the surfaces of an outfit over the skin (n, 3) of a base at rest; ``bones``: origins (B, 3).

    ``surface``: default the whole ``base``; over one with a lower border, nothing is made at that border and below.
    """
    surface = surface or base()
    bottom = surface.lowest == -np.inf
    joints = {name: bones[at] for name, at in skeleton()[0].items()}
    along = surface.along
    height = skin[:, 1] - joints["root"][1]
    hips = np.clip((WAIST_MM + 40 - height) / 60, 0, 1)
    smooth = skin
    for _ in range(8):  # the hollow between the collar bones would bend the edge
        smooth = surface.fine @ smooth
    fields = neck_fields(outfit, smooth, joints["neck01"])
    near_neck = np.clip((joints["neck01"][1] - skin[:, 1]) / 90, 0, 1)

    def piece(gap: np.ndarray) -> tuple[Piece, np.ndarray, np.ndarray]:
        cloth, normals = drape(skin, CLEARANCE_MM + (gap - CLEARANCE_MM) * near_neck, surface)
        reach, place = limb_coordinate(surface.ids, cloth, bones)
        whole = Piece(cloth, normals, surface.weights, surface.faces, place, np.ones(len(skin)), skin)
        return whole, reach, cloth[:, 1] - joints["root"][1]

    sleeves = np.clip((along - outfit.sleeve + 0.5) * 6, 0, 4) * (outfit.sleeve < 1.9)
    whole, reach, level = piece(outfit.ease + sleeves + (0 if outfit.tucked else 8) * hips)
    hem, arms = level - outfit.hem, (outfit.sleeve - reach) * 240
    if not bottom:
        hem = np.minimum(hem, whole.rest[:, 1] - surface.lowest - BORDER_MM)
    front = np.full(len(skin), 9.0)
    inner: list[Piece] = []
    if outfit.kind == "jacket":
        shirt = piece(np.full(len(skin), CLEARANCE_MM + 1))[0]
        shown = np.minimum.reduce([hem - 20 if bottom else hem, 130 - np.abs(skin[:, 0]), 60 - along * 240])
        inner = [cut_piece(shirt, [shown, fields["edge"], fields["open"]])]
        x, y, z = (skin - joints["neck01"]).T
        front = np.where(z > -25, np.abs(x) - np.clip(0.27 * (y + 330), 0, 75), 60.0)
        fields_top = [np.minimum(hem, arms), np.minimum(fields["edge"] - 16, 90), front]
    else:
        fields_top = [np.minimum(hem, arms), fields["edge"], fields["open"]]
    if outfit.neck == "collar":
        under = shirt if outfit.kind == "jacket" else whole
        rim = np.clip(fields["edge"] / 30, 0, 1)
        lifted = replace(under, rest=under.rest + under.normals * (3.0 + 5.0 * rim)[:, None], shade=1 - 0.3 * rim**2)
        spread = np.where(fields["open"] < 50, fields["open"] - 0.25 * np.clip(fields["edge"], 0, 40) + 4, 60)
        inner.append(cut_piece(lifted, [fields["edge"] + 3, 38 - fields["edge"], spread, 60 - along * 240]))
    top = cut_piece(whole, fields_top)
    lower = None
    if bottom and outfit.skirt:
        lower = make_skirt(outfit, skin, along, bones)
        if not outfit.tucked:  # the part below the top would show through it
            lower = cut_piece(lower, [outfit.hem + 25 - (lower.rest[:, 1] - joints["root"][1])])
    elif bottom:
        trousers, _, level = piece(np.full(len(skin), (outfit.ease + 6) if outfit.tucked else CLEARANCE_MM))
        upper = (WAIST_MM if outfit.tucked else min(WAIST_MM, outfit.hem + 40)) - level
        lower = cut_piece(trousers, [upper, 60 - along * 240])
    covered = np.minimum(np.minimum(fields["edge"], fields["open"]), np.maximum(arms, -200))
    return Wardrobe(top, inner, lower, covered)


def make_skirt(outfit: Outfit, skin: np.ndarray, along: np.ndarray, bones: np.ndarray) -> Piece:
    """Return a skirt: a tube around waist and hips that widens below them; it does not move."""
    root_y = bones[skeleton()[0]["root"], 1]
    height = skin[:, 1] - root_y
    levels = np.array([WAIST_MM, 40.0, -20.0, -90.0, -170.0, -260.0, -340.0])
    body = along < 0.05
    sizes = []
    for level in levels[:4]:
        near = skin[body & (np.abs(height - level) < 30)]
        low, high = near.min(0), near.max(0)
        sizes.append([high[0], (high[2] - low[2]) / 2, (high[2] + low[2]) / 2])
    table = np.array(sizes)
    table = np.maximum.accumulate(table * (1, 1, 0), 0) + table * (0, 0, 1)
    table = np.concatenate([table, table[-1:] + np.array([[22, 22, 0], [46, 46, 0], [70, 70, 0]])])
    gap = np.where(levels > 60, outfit.ease + 7 if outfit.tucked else CLEARANCE_MM, CLEARANCE_MM + 5)
    angles = np.linspace(0, 2 * np.pi, 41)[:-1]
    ring = np.stack([np.sin(angles), np.cos(angles)], 1)
    ring = np.sign(ring) * np.abs(ring) ** 0.68  # hips are squarer than an ellipse
    x = (table[:, :1] + gap[:, None]) * ring[:, 0]
    z = (table[:, 1:2] + gap[:, None]) * ring[:, 1] + table[:, 2:3]
    y = np.broadcast_to((levels + root_y)[:, None], x.shape)
    points = np.stack([x, y, z], -1).reshape(-1, 3)
    rows, columns = np.mgrid[: len(levels) - 1, : len(angles)]
    a = (rows * len(angles) + columns).ravel()
    b = (rows * len(angles) + (columns + 1) % len(angles)).ravel()
    faces = np.concatenate([np.stack([a, a + len(angles), b], 1), np.stack([b, a + len(angles), b + len(angles)], 1)])
    every = np.arange(len(points))
    root = sparse.csr_matrix((np.ones(len(points)), (every, np.zeros_like(every))), (len(points), len(bones)))
    place = np.stack([np.tile(angles, (len(levels), 1)).ravel() * 60 - 190, points[:, 1]], 1)
    return Piece(points, normals_of(points, faces), root, faces, place, np.ones(len(points)), points)
