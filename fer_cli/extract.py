"""Fused features of a data set for one of its splits (Sun 2024, E2-E5).

Split and network come from an arm of a study (``cnn-features`` or another), so that the network of the ``cnn`` block never
sees test images; it is trained once, like any run of a study.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fer_cli.config import CNN, EXTRACTORS, SCALINGS, Compute, FeaturesConfig
from fer_cli.data.manifest import SetInfo, load_set
from fer_cli.data.splits import make_split
from fer_cli.errors import DataError, ResultsError, StudyError, nearest
from fer_cli.features.extractor import Extractor
from fer_cli.features.fuse import Features, extract_blocks
from fer_cli.features.store import Store
from fer_cli.plan import Item, Plan, make_plan
from fer_cli.study import Choice, load_study
from fer_cli.tasks import task_of
from fer_cli.yamls import explain, parse_yaml

STUDY = "cnn-features"


def select_features(fuse: str, scaling: str, settings: Sequence[str] = ()) -> FeaturesConfig:
    """Return the config of blocks such as ``"cnn,hog,sift"``, a scaling, and settings such as ``"hog.norm=max"``.

    Raises StudyError for unknown names, duplicates, wrong types, and no block.
    """
    names = [name.strip() for name in fuse.split(",")]
    for place, name in enumerate(names):
        if name not in EXTRACTORS:
            raise StudyError(f"--fuse: no features '{name}'{nearest(name, EXTRACTORS)}")
        if name in names[:place]:
            raise StudyError(f"--fuse: '{name}' is given twice")
    if scaling not in SCALINGS:
        raise StudyError(f"--scaling: no scaling '{scaling}'{nearest(scaling, SCALINGS)}")
    tree: dict[str, Any] = {"blocks": names, "scaling": scaling}
    for setting in settings:
        key, _, value = setting.partition("=")
        block, _, name = key.strip().partition(".")
        able = [name for name in EXTRACTORS if name != CNN]
        if block not in able or not name or not value:
            raise StudyError(f"--set {setting}: expected BLOCK.NAME=VALUE with block {', '.join(able)}; e.g. hog.norm=max")
        tree[block] = tree.get(block, {}) | parse_yaml(f"{name}: {value}", f"--set {setting}", StudyError)
    try:
        chosen = FeaturesConfig.model_validate(tree)
    except ValidationError as error:
        raise StudyError(f"--set: {explain(error, FeaturesConfig)}") from None
    for name, why in chosen.idle().items():
        raise StudyError(f"--set {name}: has no effect: {why.replace('features.blocks', '--fuse')}")
    return chosen


def plan_features(
    choice: Choice, split: str, compute: Compute, prepare: Callable[[str], None] = lambda _: None, study: str = STUDY
) -> Plan:
    """Return a plan of one run, which provides split and network; raises StudyError for an unknown arm and for a grid."""
    found = load_study(study)
    if split not in found.arms:
        raise StudyError(f"--split: no arm '{split}' in study {found.name}{nearest(split, found.arms)}")
    if factors := [*found.grid, *found.levels]:
        raise StudyError(f"--study {study}: its arms have levels ({', '.join(factors)}); use a study without a grid")
    return make_plan(study, choice, compute, only=(split,), prepare=prepare)


def fuse_features(
    item: Item, chosen: FeaturesConfig, compute: Compute, store: Store, source: Item | None = None
) -> Features:
    """Return the features of all images of the item's set, fitted and scaled on its training part only.

    ``source``: the run that provides ``cnn`` (default: the item). Raises ResultsError if it is not done, DataError if it was
    trained on a test image of this split.
    """
    config = item.run.config.data
    from fer_cli.learning.sets import open_set

    faces = open_set(compute, config.name).of_classes(config.classes)
    split = make_split(faces.manifest, config)
    cnn: Extractor | None = None
    if CNN in chosen.blocks:
        cnn = network(source or item, compute, faces.info, faces.manifest["sample"].iloc[split.test])
    return extract_blocks(faces, split, chosen, store, cnn)


def network(item: Item, compute: Compute, info: SetInfo, tested: Iterable[str]) -> Extractor:
    """Return the extractor of a finished run's network; raises DataError if it was trained on a sample of ``tested``."""
    from fer_cli.analysis.deep import check_sets, check_unseen
    from fer_cli.learning.deep import Cnn

    if not task_of(item.run.config).trains_network:
        raise ResultsError(f"run {item.run_id}: a classifier on features, without a network to extract features with")
    if item.folder.status != "done":
        raise ResultsError(f"{item.folder.path}: the network is not trained ({item.folder.status}); see its log.txt")
    check_sets(item, compute, info)
    check_unseen(item, compute, tested)
    return Cnn.of(item.run.config, item.folder, compute)


def draw_blocks(features: Features, data_root: Path, path: Path) -> None:
    """Write a PNG with a t-SNE scatter plot of each block, coloured by label, and its silhouette score.

    Raises DataError if the set is missing or is not the one the features were computed from.
    """
    from fer_cli.analysis.embedding import MOST_POINTS
    from fer_cli.analysis.figures import Panel, scatter_figure
    from fer_cli.analysis.points import draw_sample, embed_tsne, silhouette
    from fer_cli.drawing import save

    data = features.provenance["data"]
    faces = load_set(data_root, data["name"])
    if faces.info.fingerprint != data["fingerprint"]:
        found = f"fingerprint {data['fingerprint']}, not {faces.info.fingerprint}"
        raise DataError(f"{data['name']}: the features were computed from other data ({found}); extract them again")
    labels = faces.manifest.set_index("sample")["label"].loc[features.samples]
    codes = labels.map({label: code for code, label in enumerate(faces.info.classes)}).to_numpy()
    chosen = draw_sample(len(labels), MOST_POINTS)
    panels = []
    for name in features.parts:
        values = features.block(name)
        places, score = embed_tsne(values[chosen]), silhouette(values, codes)
        note = "" if score is None else f"\nsilhouette {round(score, 2) + 0.0:.2f}".replace("-", "−")
        if places is not None:
            panels.append(Panel(name + note, places.tolist(), labels.iloc[chosen].tolist(), faces.info.classes))
    if not panels:
        raise DataError(f"{data['name']}: nothing to draw: too few images, or all features are equal")
    origin = f"{data['name']}; fingerprint {data['fingerprint']}"
    save(scatter_figure("t-SNE of features", panels, faces.info.classes, origin), path)
