"""Fused features of a set for one of its splits: which blocks, from which network, fitted on which images (Sun 2024, E2-E5).

Split and network are an arm of a study, ``cnn-features`` or one's own, so that the network that gives the block ``cnn`` is
trained on the training part and never on what is tested; it is trained like any run of a study, once.
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
    """Return what is extracted: blocks as in ``"cnn,hog,sift"``, a scaling, and settings as in ``"hog.norm=max"``.

    Raises StudyError for an unknown one, for one given twice or of the wrong kind, and for no block.
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
            raise StudyError(f"--set {setting}: give it as BLOCK.NAME=VALUE, of {', '.join(able)}; e.g. hog.norm=max")
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
    """Return the plan whose only run has the split and the network.

    Raises StudyError where the study has no such arm, or levels of a grid, of which one would have to be meant.
    """
    found = load_study(study)
    if split not in found.arms:
        raise StudyError(f"--split: no arm '{split}' in study {found.name}{nearest(split, found.arms)}")
    if factors := [*found.grid, *found.levels]:
        raise StudyError(f"--study {study}: its arms have levels ({', '.join(factors)}); one without grid is needed")
    return make_plan(study, choice, compute, only=(split,), prepare=prepare)


def fuse_features(
    item: Item, chosen: FeaturesConfig, compute: Compute, store: Store, source: Item | None = None
) -> Features:
    """Return the features of all images of the item's set, learned and scaled on its training part alone.

    ``source``: the run that gives ``cnn``; none: the item itself. Raises ResultsError where it is not done, DataError where
    it has seen an image that this split tests on.
    """
    config = item.run.config.data
    faces = load_set(compute.data_root, config.name).of_classes(config.classes)
    split = make_split(faces.manifest, config)
    cnn: Extractor | None = None
    if CNN in chosen.blocks:
        cnn = network(source or item, compute, faces.info, faces.manifest["sample"].iloc[split.test])
    return extract_blocks(faces, split, chosen, store, cnn)


def network(item: Item, compute: Compute, info: SetInfo, tested: Iterable[str]) -> Extractor:
    """Return the extractor of a finished run's network, which has seen none of the samples ``tested`` of a set."""
    from fer_cli.analysis.deep import check_sets, check_unseen
    from fer_cli.learning.deep import Cnn

    if not task_of(item.run.config).trains_network:
        raise ResultsError(f"run {item.run_id}: a classifier on features, which has no network of its own to take some from")
    if item.folder.status != "done":
        raise ResultsError(f"{item.folder.path}: the network is not trained ({item.folder.status}); its log.txt says why")
    check_sets(item, compute, info)
    check_unseen(item, compute, tested)
    return Cnn.of(item.run.config, item.folder, compute)


def draw_blocks(features: Features, data_root: Path, path: Path) -> None:
    """Write a picture with a t-SNE scatter of each block, coloured by label, and its silhouette, as PNG.

    Raises DataError where the set is not there or is not the one that the features are of.
    """
    from fer_cli.analysis.embedding import MOST_POINTS
    from fer_cli.analysis.figures import Panel, scatter_figure
    from fer_cli.analysis.points import drawn, plane, silhouette
    from fer_cli.drawing import save

    about = features.provenance["data"]
    faces = load_set(data_root, about["name"])
    if faces.info.fingerprint != about["fingerprint"]:
        told = f"fingerprint {about['fingerprint']}, not {faces.info.fingerprint}"
        raise DataError(f"{about['name']}: the features are of other data ({told}); extract them anew")
    labels = faces.manifest.set_index("sample")["label"].loc[features.samples]
    codes = labels.map({label: code for code, label in enumerate(faces.info.classes)}).to_numpy()
    some = drawn(len(labels), MOST_POINTS)
    panels = []
    for name in features.parts:
        values = features.block(name)
        places, spread = plane(values[some]), silhouette(values, codes)
        told = "" if spread is None else f"\nsilhouette {round(spread, 2) + 0.0:.2f}".replace("-", "−")
        if places is not None:
            panels.append(Panel(name + told, places.tolist(), labels.iloc[some].tolist(), faces.info.classes))
    if not panels:
        raise DataError(f"{about['name']}: too few images, or all features the same: there is nothing to draw")
    origin = f"{about['name']}; fingerprint {about['fingerprint']}"
    save(scatter_figure("t-SNE of features", panels, faces.info.classes, origin), path)
