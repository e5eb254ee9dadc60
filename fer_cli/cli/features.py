"""``fer extract-features``: fused CNN, HOG and SIFT features of a set; ``fer features``: feature files and the cache."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fer_cli.cli.drawn import draw_if_needed
from fer_cli.cli.options import (
    DEFAULT_RESULTS,
    DataName,
    DataRoot,
    Profile,
    Results,
    StudyName,
    data_root_or_default,
    expand_path,
    thread_count,
)
from fer_cli.cli.screen import print_table, say, with_progress
from fer_cli.cli.watch import Watch
from fer_cli.commands import write_command
from fer_cli.errors import StudyError
from fer_cli.escape import cut

if TYPE_CHECKING:
    from fer_cli.config import FeaturesConfig
    from fer_cli.features.fuse import Features
    from fer_cli.plan import Item, Plan

features_app = typer.Typer(help="Inspect feature files and manage the feature cache.", no_args_is_help=True)


def extract_features(
    fuse: Annotated[str, typer.Option("--fuse", help="Feature types: cnn, hog, sift, lbp.")] = "cnn,hog,sift",
    data: DataName = None,
    study: StudyName = "cnn-features",
    split: Annotated[
        str,
        typer.Option("--split", help="Arm of the study: auto (subject-independent if possible) or holdout (random 8:2)."),
    ] = "auto",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Fold or repeat of the split; also seeds the network.")] = 0,
    scaling: Annotated[str, typer.Option("--scaling", help="min-max, per-vector, z-score or none.")] = "min-max",
    settings: Annotated[
        list[str], typer.Option("--set", metavar="NAME=VALUE", help="Block setting: hog.norm=max, sift.dense=true.")
    ] = [],  # noqa: B006
    run: Annotated[str | None, typer.Option("--run", help="Use this finished run's CNN instead of training one.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", callback=expand_path, help="Output file, .parquet or .npz.")
    ] = None,
    profile: Profile = None,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Processes.", show_default="all cores")] = None,
    results: Results = DEFAULT_RESULTS,
    data_root: DataRoot = None,
) -> None:
    """Extract features of all images of a set, fitted on the training part only, and write them to one file."""
    from fer_cli.config import CNN, Compute
    from fer_cli.extract import fuse_features, plan_features, select_features
    from fer_cli.features.files import check_target, write_features
    from fer_cli.features.store import Store
    from fer_cli.study import DEFAULT_PROFILE, Choice

    chosen = select_features(fuse, scaling, settings)
    if out is not None:
        check_target(out)
    if run is not None and CNN not in chosen.blocks:
        raise StudyError(f"--run {cut(run)}: gives the network of the cnn features; add cnn to --fuse, or omit --run")
    compute = Compute(data_root=data_root_or_default(data_root), results=results, threads=thread_count())
    choice = Choice(profile or DEFAULT_PROFILE, data, (seed,))
    plan = plan_features(choice, split, compute, lambda name: draw_if_needed(name, compute.data_root), study)
    source: Item | None = None
    if run is not None:
        from fer_cli.analysis.deep import find_finished_run
        from fer_cli.inventory.find import find_run

        source = find_finished_run(find_run(compute.results, run).run_id, compute)
    elif CNN in chosen.blocks:
        from fer_cli.ablate import run_plan
        from fer_cli.checks import check_runs
        from fer_cli.executors import Options

        check_runs(plan, compute, plan.states())
        options = Options(retry_failed=True)
        with Watch(plan, compute, options) as watch:
            run_plan(plan, compute, options, watch, chosen=False)
    store = Store(jobs=jobs or thread_count(), progress=lambda title: partial(with_progress, title))
    features = fuse_features(plan.items[0], chosen, compute, store, source)
    path = out or results / "features" / f"{file_stem(plan, split, chosen)}.parquet"
    write_features(path, features)
    print_table(*blocks(features))
    size = f"{len(features.samples)} images, {features.dims} dimensions"
    say(f"written: {path} ({size}, {chosen.scaling} fitted on training images)")
    say(f"next: {write_command('fer features show', path, data_root=data_root)}")


def file_stem(plan: Plan, split: str, chosen: FeaturesConfig) -> str:
    """Return the default file name, built from the non-default settings."""
    from fer_cli.config import SCALINGS
    from fer_cli.extract import STUDY
    from fer_cli.study import DEFAULT_PROFILE

    choice, settings = plan.choice, chosen.model_dump(mode="json", exclude_defaults=True)
    named = [f"{block}.{name}={value}" for block in chosen.blocks for name, value in settings.get(block, {}).items()]
    given = ((plan.study.name, STUDY), (choice.profile, DEFAULT_PROFILE), (chosen.scaling, SCALINGS[0]))
    others = [text for text, default in given if text != default]
    parts = [plan.data, split, str(plan.items[0].run.seed), "+".join(chosen.blocks), *others, *named]
    return "-".join(part.replace("/", "_") for part in parts)


def blocks(features: Features) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Return header and rows of a table with one row per block."""
    rows: list[Sequence[str]] = [
        (name, str(part.shape[1]), str(features.empty.get(name, 0)), f"{part.nbytes / 2**20:.1f}")
        for name, part in features.parts.items()
    ]
    return ("block", "dimensions", "empty images", "MiB"), rows


@features_app.command(epilog="Example: fer features show results/features/synth-learning-auto-0-cnn+hog+sift.parquet")
def show(
    path: Annotated[Path, typer.Argument(callback=expand_path, help="File written by fer extract-features.")],
    picture: Annotated[
        Path | None,
        typer.Option("--picture", callback=expand_path, help="Also draw a t-SNE scatter plot of each block to this PNG."),
    ] = None,
    data_root: DataRoot = None,
) -> None:
    """Show the contents of a feature file: blocks, value ranges, missing values, provenance."""
    import numpy as np

    from fer_cli.features.files import read_features
    from fer_cli.marks import check_picture

    if picture is not None:
        check_picture(picture, [path], "choose another --picture")
    features = read_features(path)
    rows = []
    for name in features.parts:
        values = features.block(name)
        constant = int((values == values[:1]).all(0).sum())
        low, high = (f"{value:.4g}" for value in (np.nanmin(values), np.nanmax(values)))
        missing, empty = str(int(np.isnan(values).sum())), str(features.empty.get(name, 0))
        rows.append((name, str(values.shape[1]), low, high, str(constant), missing, empty, f"{values.nbytes / 2**20:.1f}"))
    head = ("block", "dimensions", "min", "max", "constant dimensions", "missing", "empty images", "MiB")
    print_table(head, rows)
    say(f"{path}: {len(features.samples)} images, {features.dims} dimensions, scaling {features.scaling.method}")
    for line in origin(features.provenance):
        say(line)
    if picture is not None:
        from fer_cli.extract import draw_blocks

        say("t-SNE …")
        draw_blocks(features, data_root_or_default(data_root), picture)
        say(f"written: {picture}")
    else:
        say(f"next: {write_command('fer features show', path, picture='features.png', data_root=data_root)}")


@features_app.command(epilog="Examples: fer features clean --plan · fer features clean --older-than 30")
def clean(
    older_than: Annotated[
        float | None,
        typer.Option("--older-than", min=0, metavar="DAYS", help="Only entries at least this old (default: all)."),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="List what would be deleted; delete nothing.")] = False,
) -> None:
    """Delete cached features; exported files are kept."""
    from fer_cli.features.clean import list_entries, remove_entries
    from fer_cli.features.store import Store

    folder = Store().folder
    entries = list_entries(folder, older_than)
    gone = entries if plan else list(remove_entries(entries))
    kinds = sorted({entry.kind for entry in gone})
    sizes = {kind: [entry.size for entry in gone if entry.kind == kind] for kind in kinds}
    print_table(("features", "entries", "MiB"), [(kind, str(len(s)), f"{sum(s) / 2**20:.1f}") for kind, s in sizes.items()])
    total = f"{len(gone)} entries, {sum(entry.size for entry in gone) / 2**20:.1f} MiB in {folder}"
    say(f"would be deleted: {total}" if plan else f"deleted: {total}")
    if kept := len(entries) - len(gone):
        say(f"kept: {kept} entries that another process is writing")


def origin(provenance: dict[str, Any]) -> Iterable[str]:
    """Yield a file's provenance, one line per part."""
    for part, content in provenance.items():
        text = ", ".join(f"{key} {value}" for key, value in content.items()) if isinstance(content, dict) else content
        yield f"{part}: {text}"
