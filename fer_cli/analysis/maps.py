"""Figures of attention blocks and soft thresholds on a few test faces, the last block of each stage.

The blocks are those of He 2025 (SGE, Eq 1-8), Aly 2023 (CBAM, Fig 1) and Sun 2024 (SE, Fig 6-7; soft thresholds, Fig 8),
which do not visualise them. Spatial gates (SGE, CBAM's second) are drawn over the face. For gates and thresholds per channel
(SE, soft thresholding), the mean absolute activation over channels is drawn before and after the block. Faces are only shown
from data sets whose card allows redistribution.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fer_cli.analysis.outcome import TRAINS, cache_result, figure_path, note_none, select_runs
from fer_cli.blocks import Block, Figure, Note
from fer_cli.config import ATTENTION, Compute, ModelConfig
from fer_cli.formats import figure_files
from fer_cli.plan import Item, Plan

VERSION = 2
FACES = 6
PICTURE = "analysis-maps.png"
ENDS = {
    ".png": (b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"),
    ".pdf": (b"%PDF-", b"%%EOF"),
    ".svg": (b"<?xml", b"</svg>"),
}
"""Suffix -> how a complete file begins and ends."""


def maps_analysis(plan: Plan, compute: Compute, folder: Path) -> list[Block]:
    """Return one figure per arm that has attention blocks, for one seed, and the reason why others have none."""
    from fer_cli.drawing import copy_figure

    runs = select_runs(plan)
    found: list[Block] = [] if runs else [note_none(plan, "maps", TRAINS)]
    without: dict[str, list[str]] = {}
    for group, item in runs:
        block = block_of(item.run.config.model)
        tested = item.run.config.sets[-1]
        if block is None:
            without.setdefault("no attention block", []).append(group.label)
        elif not is_redistributable(compute, tested):
            without.setdefault(f"not drawn because images of {tested} may not be redistributed", []).append(group.label)
        else:
            path = figure_path(folder, "maps", str(list(plan.study.arms).index(group.arm) + 1), group.arm)
            copy_figure(picture_of(item, compute), path)
            caption = f"{group.label}, seed {item.run.seed}, {ATTENTION[block].picture}; last block of each stage"
            found += [Figure(path), Note(f"{path.name}: {caption}")]
    return found + [Note(f"maps, {why}: {'; '.join(dict.fromkeys(labels))}") for why, labels in without.items()]


def block_of(model: ModelConfig) -> str | None:
    """Return the name of a network's attention block, or None if it has no block or no stages."""
    return model.block if model.block != "none" and model.network.stages else None


def is_redistributable(compute: Compute, name: str) -> bool:
    """Return whether the card of a set, or of all its parts, allows images in figures."""
    from fer_cli.data.cards import has_card, load_card
    from fer_cli.data.kept import info_of

    parts = info_of(compute.results, compute.data_root, name).parts
    return all(has_card(part) and load_card(part).redistributable for part in parts or [name])


def picture_of(item: Item, compute: Compute) -> Path:
    """Return the figure in a finished run's folder, drawn if needed."""
    picture = item.folder.file(PICTURE)

    def measure() -> dict[str, Any]:
        from fer_cli.analysis.activity import columns_of, select_faces
        from fer_cli.analysis.figures import maps_figure
        from fer_cli.analysis.reopen import reopen
        from fer_cli.data.block import pictures
        from fer_cli.drawing import Words, save

        run, tested = reopen(item, compute), item.run.config.sets[-1]
        test = run.data.test
        places = select_faces(test.labels.tolist(), FACES)
        images = test.images[places]
        faces = list(pictures(images.numpy()))
        labels = [run.data.classes[test.labels[place]] for place in places]
        model = item.run.config.model
        words = Words(f"{model.backbone}, {model.block}: attention maps", foot=[f"{tested}; run {item.run_id}"])
        save(maps_figure(words, faces, labels, columns_of(run, images)), picture)
        return {"samples": [str(run.data.samples["test"][place]) for place in places], "labels": labels}

    if not all(is_whole(path) for path in figure_files(picture)):
        item.folder.file("analysis-maps.json").unlink(missing_ok=True)
    cache_result(item, "maps", VERSION, {"faces": FACES}, measure)
    return picture


def is_whole(picture: Path) -> bool:
    """Return whether a file is a complete PNG, PDF or SVG."""
    if not picture.is_file():
        return False
    content = picture.read_bytes()
    begin, end = ENDS[picture.suffix]
    return content.startswith(begin) and content.rstrip().endswith(end)
