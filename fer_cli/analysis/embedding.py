"""Class separation of pooled test features: t-SNE, silhouette and distance ratio (He 2025, Fig 6; Sun 2024, 4.1).

He 2025 shows scatter plots of positive and negative features without a method; Sun 2024 shows features "subjected to SNE"
with and without the class-centre loss, which it claims makes classes more compact and their centres more distant. Neither
gives numbers. Here the classifier's input features (448 of the multi-scale network) are plotted by t-SNE, and silhouette and
distance ratio are measured over all test images and seeds.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fer_cli.analysis.outcome import (
    GROUPS,
    TRAINS,
    Group,
    cache_result,
    figure_path,
    groups_of,
    note_clips,
    note_none,
    select_runs,
    summarise,
    takes_clips,
)
from fer_cli.blocks import Block, Figure, Note, Table
from fer_cli.config import Compute
from fer_cli.plan import Item, Plan

if TYPE_CHECKING:
    from fer_cli.analysis.figures import Panel

VERSION = 1
MOST_POINTS = 2000  # most test images in a plot, drawn at random


class Features:
    """The pooled features of one finished run's test images, computed lazily and once."""

    def __init__(self, item: Item, compute: Compute) -> None:
        self.item, self.compute = item, compute

    @functools.cached_property
    def values(self) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Return features (N, F) float32, class codes (N,) and class names."""
        from fer_cli.analysis.reopen import pooled_features, reopen

        run = reopen(self.item, self.compute)
        return pooled_features(run, run.data.test), run.data.test.labels.numpy(), run.data.classes


def embedding_analysis(plan: Plan, compute: Compute, folder: Path, by_group: bool | None = None) -> list[Block]:
    """Return silhouette and distance ratio of every arm, and a figure with a t-SNE scatter plot per arm.

    ``by_group``: separate panels of positive and negative expressions, as in He 2025; None: for studies of one arm on basic
    expressions. Networks on clips are left out.
    """
    rows, scatters = [], dict[str, dict[str, Any]]()
    selected, groups = select_runs(plan), groups_of(plan)
    if not selected:
        return [note_none(plan, "embedding", TRAINS)]
    omitted = note_clips("embedding", groups)
    runs = [(group, item) for group, item in selected if not takes_clips(group)]
    if not runs:
        return omitted
    for group in (group for group in groups if not takes_clips(group)):
        numbers = []
        for item in group.done:
            features = Features(item, compute)
            numbers.append(measure_separation(features))
            if item.run_id in {one.run_id for _, one in runs}:
                scatters[item.run_id] = scatter_of(features)
        names = ("silhouette", "distance_ratio")
        rows.append((group.label, [summarise([each[name] for each in numbers], len(group.planned)) for name in names]))
    table = Table(
        "Class separation of test features: mean ± sd (n)",
        ["silhouette (−1 to 1, higher is better)", "distance within classes / between class centres (lower is better)"],
        rows,
        [
            "silhouette: of the pooled features, standardised over the test images, by true class",
            "ratio: mean distance of a feature vector to its class mean, over the mean distance between two class means; "
            "without standardisation",
        ],
    )
    drawn = draw(plan, [(group, item, scatters[item.run_id]) for group, item in runs], folder, by_group)
    return [table, *drawn, *omitted]


def measure_separation(features: Features) -> dict[str, float | None]:
    """Return silhouette and distance ratio of a finished run's test images."""

    def measure() -> dict[str, float | None]:
        from fer_cli.analysis.points import distance_ratio, silhouette

        points, codes, _ = features.values
        return {"silhouette": silhouette(points, codes), "distance_ratio": distance_ratio(points, codes)}

    values: dict[str, float | None] = cache_result(features.item, "embedding", VERSION, {"part": "test"}, measure)
    return values


def scatter_of(features: Features) -> dict[str, Any]:
    """Return the points, labels and classes of a finished run's scatter plot, and the silhouette of each group."""

    def measure() -> dict[str, Any]:
        from fer_cli.analysis.points import draw_sample, embed_tsne, silhouette

        points, codes, classes = features.values
        subset = draw_sample(len(points), MOST_POINTS)
        places = embed_tsne(points[subset])
        silhouettes = {"all": silhouette(points, codes)}
        for name, members in GROUPS.items():
            inside = np.isin(codes, [code for code, label in enumerate(classes) if label in members])
            silhouettes[name] = silhouette(points[inside], codes[inside])
        return {
            "points": [] if places is None else places.round(3).tolist(),
            "labels": [classes[code] for code in codes[subset]],
            "classes": classes,
            "silhouettes": silhouettes,
        }

    settings = {"part": "test", "most": MOST_POINTS}
    values: dict[str, Any] = cache_result(features.item, "embedding-points", VERSION, settings, measure)
    return values


def draw(plan: Plan, runs: list[tuple[Group, Item, dict[str, Any]]], folder: Path, by_group: bool | None) -> list[Block]:
    """Write the figure of scatter plots, if any; return it and its notes."""
    panels, notes, classes = [], list[Block](), list[str]()
    for group, _, scatter in runs:
        classes += [label for label in scatter["classes"] if label not in classes]
        if not scatter["points"]:
            notes.append(Note(f"embedding: {group.label} is not drawn: too few test images, or identical features"))
            continue
        both = all(set(members) & set(scatter["classes"]) for members in GROUPS.values())
        wanted = by_group if by_group is not None else both and len(plan.study.arms) == 1
        panels += panels_of(group, scatter, wanted)
    if not panels:
        return notes
    from fer_cli.analysis.figures import scatter_figure
    from fer_cli.drawing import save

    path = figure_path(folder, "embedding")
    names = ", ".join(item.run_id for _, item, _ in runs)
    origin = f"{plan.title}; fingerprint {runs[0][1].fingerprint}; runs {names}"
    save(scatter_figure(f"{plan.study.name}: t-SNE of pooled features", panels, classes, origin), path)
    seed = runs[0][1].run.seed
    at = ", ".join(f"{key} {value}" for key, value in runs[0][1].run.at)
    meaning = f"t-SNE of the pooled features of the test images (seed {seed}{f', {at}' if at else ''})"
    return [Figure(path), *notes, Note(f"{path.name}: {meaning}; neighbourhoods are meaningful, distances are not")]


def panels_of(group: Group, scatter: dict[str, Any], by_group: bool) -> list[Panel]:
    """Return the panels of one run: one of all classes, or one each of positive and negative ones."""
    from fer_cli.analysis.figures import Panel

    points, labels, classes = scatter["points"], scatter["labels"], scatter["classes"]
    parts = {"all": classes}
    if by_group:
        parts = {name: [label for label in classes if label in members] for name, members in GROUPS.items()}
    panels = []
    for name, members in parts.items():
        value = scatter["silhouettes"][name]
        score = "" if value is None else f"\nsilhouette {value:.2f}".replace("-", "−")
        title = group.label if name == "all" else f"{group.label}: {name}"
        panels.append(Panel(title + score, points, labels, members))
    return [panel for panel in panels if panel.classes]
