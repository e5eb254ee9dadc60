"""Neck and dressed shoulders for pictures of faces, from the person's figure."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from fer_cli.synthetic.clothes import Style
from fer_cli.synthetic.figures import MATERIALS, Figure, build_figure, draw_figure, skin_tone
from fer_cli.synthetic.identities import Identity
from fer_cli.synthetic.poses import HANGING, Pose, blend_motions, move_bones, move_points, skeleton, turn_normals
from fer_cli.synthetic.render import Lighting, View
from fer_cli.synthetic.tailor import cut

LOWEST_MM = -480.0
NAPE_MM, NAPE_SLOPE = -58.0, 0.6
"""Height of a bust's skin at depth 0 and its fall per depth: heads of faces have no back that would hide its edge."""
NECK_SHARE = 0.55
"""Largest share of the head's bone in the motion of a bust's skin; more behind the chin (``THROAT_MM``)."""
THROAT_MM = -22.0
JAW_MM = (57.0, -105.0)
"""Half width of a bust's skin above this height, which no jaw is narrower than."""
TRUNK = 0.35
"""Share of the head's yaw that the trunk follows."""


@lru_cache(maxsize=4)
def build_bust(stream: int, female: bool, tone: tuple[float, ...], style: Style) -> Figure:
    """Return neck, shoulders and chest of a figure with hanging arms."""
    whole = build_figure(stream, female, tone, (0.0, 0.0, 0.0), False, style, bust=True)
    x, y, z = whole.rest
    neck = np.asarray(whole.weights[:, [skeleton()[0]["head"]]].todense()).ravel() < NECK_SHARE
    neck |= z < THROAT_MM
    neck &= (np.abs(x) < JAW_MM[0]) | (y < JAW_MM[1])
    bare, cloth = (
        np.isin(whole.code, [MATERIALS.index(name) for name in names]) for names in (("skin", "face"), ("top", "inner"))
    )
    shown = (y > LOWEST_MM) & ((bare & neck) | cloth)
    below = np.where(cloth, 1.0, NAPE_MM + NAPE_SLOPE * z - y)
    faces, mix = cut(whole.faces[shown[whole.faces].all(1)], below)
    weights = (mix @ whole.weights).tocsr().astype(np.float32)
    motions = move_bones(whole.joints, Pose(HANGING, HANGING))
    blended = blend_motions(weights, motions)
    code = np.rint(mix @ whole.code)
    return replace(
        whole,
        rest=move_points(blended, np.ascontiguousarray((mix @ whole.rest.T).T, np.float32)),
        normals=turn_normals(blended, np.ascontiguousarray((mix @ whole.normals.T).T, np.float32)),
        weights=weights,
        faces=np.ascontiguousarray(faces, np.int32),
        ends=np.ascontiguousarray(faces.T, np.intp),
        code=np.where(code == MATERIALS.index("face"), MATERIALS.index("skin"), code).astype(np.uint8),
        under=move_points(blended, np.ascontiguousarray((mix @ whole.under.T).T, np.float32)),
        marks=(mix @ whole.marks).astype(np.float32),
        joints=(motions[:, :, :3] * whole.joints[:, None]).sum(2) + motions[:, :, 3],
        bust=True,
    )


def draw_bust(
    image: np.ndarray, person: Identity, angles: tuple[float, float, float], view: View, lighting: Lighting, style: Style
) -> None:
    """Draw neck and dressed shoulders below a head turned by ``angles`` (yaw, pitch, roll in degrees) into ``image``."""
    figure = build_bust(person.stream, person.female, skin_tone(person), style)
    trunk = angles[0] * TRUNK
    pose = Pose(HANGING, HANGING, (trunk, 0.0), (angles[0] - trunk, *angles[1:]))
    image[:] = draw_figure(person, figure, pose, view, lighting, image, style).image
