"""Describes splits and their leakage, label noise and corruption of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fer_cli.config import CONFUSABLE, K_FOLD, OCCLUDERS, DataConfig
from fer_cli.plan import Plan
from fer_cli.report.collect import Cells
from fer_cli.results import Drawn
from fer_cli.tasks import task_of

VALIDATION = {
    "subject": "grouped by person",
    "sequence": "grouped by sequence",
    "random": "drawn at random, ignoring people",
    "official": "as published, else drawn and grouped by person where known",
    "list": "as listed, else drawn and grouped by person where known",
}
"""How the validation part is drawn in a run that is tested on another set."""
REQUESTED_LEAKS = {
    "none": "",
    "val": "; validation images are also trained on, so the checkpoint is selected on memorised images",
    "test": "; test images are also trained on, so the scores measure memorisation, not generalisation",
}
"""Effect of leakage that the study requests (``data.leak``)."""


PARTS = {"train": ("trained on", "max_images"), "val": ("validated on", "max_val"), "test": ("tested on", "max_test")}
"""Part -> what is done with it, and the setting that keeps a part of its images alone."""


def size_lines(plan: Plan, cells: Cells) -> list[str]:
    """Return how many samples each run uses, and what limits them: the size of a set is not that of its runs."""
    found = [result.data for cell in cells.values() for result in cell.results.values()]
    configs = [item.run.config.data for item in plan.items if item.run.config.sets]
    sizes, limits = [], []
    for part, (words, setting) in PARTS.items():
        counts = [getattr(data, part) for data in found]
        if any(counts):
            sizes.append(f"{words} {write_range(counts)}")
            most = {value for one in configs if (value := getattr(one, setting)) is not None and value <= max(counts)}
            limits += [f"data.{setting} {' or '.join(f'{one:,}' for one in sorted(most))}"] if most else []
    lines = [f"samples per run: {', '.join(sizes)}"] if sizes else []
    if limits:
        lines[0] += f"; as many as {', '.join(limits)} allow, drawn with classes balanced"
    if people := {one.max_subjects for one in configs if one.max_subjects is not None}:
        lines.append(f"people in the training part: at most {join_numbers({float(one) for one in people})}")
    if classes := list(dict.fromkeys(", ".join(one.classes) for one in configs if one.classes)):
        lines.append(f"classes used: {' or '.join(classes)}")
    return lines


def write_range(counts: Sequence[int]) -> str:
    """Return counts as ``1,000`` or ``622 to 660``."""
    low, high = min(counts), max(counts)
    return f"{low:,} to {high:,}" if high > low else f"{low:,}"


def split_lines(plan: Plan, cells: Cells) -> list[str]:
    """Return a line per split of the plan, with its leakage; runs tested on another set have none."""
    lines = []
    for run in {split_key(item.run.config.data): item.run for item in plan.items if item.run.config.sets}.values():
        config, why = run.config.data, f" (chosen because {run.why_split})" if run.why_split else ""
        if config.test is None:
            word, share = describe_leak(cells, config)
            lines.append(f"split `{config.split}`{word}{why}: {describe_split(config)}{REQUESTED_LEAKS[config.leak]}{share}")
    return lines


def split_key(data: DataConfig) -> tuple[Any, ...]:
    """Return the settings that identify a split."""
    names = ("name", "test", "split", "folds", "test_fraction", "test_part", "split_file", "split_sha256", "leak")
    return tuple(getattr(data, name) for name in names)


def describe_split(config: DataConfig) -> str:
    """Return how a split assigns images, without its leakage."""
    carved = "validation as given, else drawn from the training part, grouped by person where known"
    if config.split == "official" and config.test_part == "public":
        return (
            "tested on the public part, which is meant for model selection: networks and settings may be tuned to it, so "
            "these scores do not measure generalisation; the private part is not used; validation drawn from the training "
            "part, grouped by person where known"
        )
    return {
        "subject": f"{config.folds} stratified folds, each subject in one part only; validation grouped likewise",
        "random": (
            f"{config.folds} stratified folds over images, ignoring people and sequences, which may occur in both training "
            "and test parts; the scores do not measure recognition of new people"
        ),
        "sequence": (
            f"{config.folds} stratified folds, each sequence in one part only, but people may occur in both training and "
            "test parts; validation grouped likewise"
        ),
        "loso": "one subject left out at a time, in sorted order; validation grouped by subject",
        "holdout": (
            f"repeated random hold-out of {config.test_fraction:.0%} of the images, ignoring people and sequences; "
            "validation drawn likewise"
        ),
        "official": f"as published (of two test parts, selection on the public and testing on the private one); {carved}",
        "list": f"by {config.split_file} (SHA-256 {str(config.split_sha256)[:12]}); {carved}",
    }[config.split]


def describe_leak(cells: Cells, config: DataConfig) -> tuple[str, str]:
    """Return a warning, " LEAKS" or " MAY LEAK", and the amount of leakage in finished runs; "" without leakage.

    A split that ignores people may leak until a result shows otherwise; testing on a public part always leaks.
    """
    found = [
        result.data
        for cell in cells.values()
        for result in cell.results.values()
        if split_key(result.config.data) == split_key(config)
    ]
    shares = []
    for unit in ("subjects", "sequences"):
        both, tested = (sum(getattr(data, f"{kind}_{unit}") for data in found) for kind in ("shared", "test"))
        if both:
            shares.append(f"{both / tested:.0%} of test {unit}" if tested else f"{both} test {unit}")
    if shares:
        return " LEAKS", f" ({' and '.join(shares)} were trained on)"
    unknown = bool(found) and not any(data.test_subjects for data in found)
    note = " (unknown whether people recur: the set does not name them)" if unknown else ""
    if config.leak != "none" or (config.split == "official" and config.test_part == "public"):
        return " LEAKS", note
    if config.ignores_people and (unknown or not found):
        return " MAY LEAK", note
    return "", note


def absent_lines(cells: Cells) -> list[str]:
    """Return a line per set of classes without training images, with its seeds."""
    seeds: dict[tuple[str, ...], set[int]] = {}
    for cell in cells.values():
        for seed, result in cell.results.items():
            if absent := tuple(result.data.absent):
                seeds.setdefault(absent, set()).add(seed)
    return [
        f"no training image of {', '.join(absent)} in seed{'s' * (len(there) > 1)} {', '.join(map(str, sorted(there)))}: "
        "its images cannot be classified correctly"
        for absent, there in seeds.items()
    ]


def compromise_lines(cells: Cells) -> list[str]:
    """Return a line per thing that runs on clips make do with, and how often, as a range over runs."""
    counts: dict[str, list[int]] = {}
    for result in (result for cell in cells.values() for result in cell.results.values()):
        for what, number in result.data.counted.items():
            counts.setdefault(what, []).append(number)
    return [
        f"{what}: {min(found)}{f' to {max(found)}' if max(found) > min(found) else ''} per run"
        for what, found in counts.items()
    ]


def seed_line(plan: Plan) -> str:
    """Return the meaning of a seed in each split of the plan, e.g. ``fold s mod 5``."""
    seeds = {item.run.seed for item in plan.items}
    phrases = []
    if not plan.sets:
        return "the simulated sequences"
    for config in {split_key(item.run.config.data): item.run.config.data for item in plan.items}.values():
        part = f"fold s mod {config.folds}" + (f" of partition s div {config.folds}" if max(seeds) >= config.folds else "")
        phrases.append(
            part
            if config.split in K_FOLD
            else {
                "loso": "subject s left out",
                "holdout": "the s-th draw of the test part",
                "official": "the published parts (the same for all seeds)",
                "list": "the listed parts (the same for all seeds)",
            }[config.split]
        )
    return " or ".join(dict.fromkeys(phrases))


def noise_lines(plan: Plan) -> list[str]:
    """Return a line per kind of label noise, with its amounts."""
    amounts: dict[tuple[str, str], set[float]] = {}
    for data in (item.run.config.data for item in plan.items):
        if data.plants_noise:
            pairs = ", ".join("–".join(pair) for pair in data.noise_pairs)
            noise = {
                "symmetric": "replaced by another class, drawn uniformly",
                "asymmetric": f"replaced by a confusable class ({pairs})",
                "uncertain": "drawn uniformly from all classes, their images degraded by blur, low light, occlusion or "
                "down-scaling, one each",
                "file": f"those of {data.noise_file} (SHA-256 {str(data.noise_sha256)[:12]}) for the samples that it names",
            }[data.noise_kind]
            if data.noise_kind == "asymmetric" and data.noise_pairs == CONFUSABLE:
                noise += ", if the set has both"
            amounts.setdefault((data.noise_kind, noise), set()).add(data.label_noise)
    return [
        f"label noise `{kind}`, training labels only: "
        + ("" if kind == "file" else f"{join_numbers(shares)} of them ")
        + noise
        for (kind, noise), shares in amounts.items()
    ]


def drawn_lines(cells: Cells) -> list[str]:
    """Return, for each amount of label noise, the share of wrong labels that sampling draws, if results record it."""
    groups: dict[tuple[str, float, float], list[Drawn]] = {}
    for result in (result for cell in cells.values() for result in cell.results.values()):
        if drawn := result.data.drawn:
            config, balance = result.config, task_of(result.config).balance(result.config)
            groups.setdefault((config.data.noise_kind, config.data.label_noise, balance), []).append(drawn)
    lines = []
    for (kind, share, balance), found in groups.items():
        amount = f"`{kind}`" if kind == "file" else f"`{kind}` {share:g}"
        wrong, rarest = (
            mean_text([value for one in found if (value := getattr(one, name)) is not None])
            for name in ("wrong", "wrong_in_rarest")
        )
        names = " or ".join(sorted({one.rarest for one in found}))
        balanced = f"class-balanced sampling by given labels (train.class_balance {balance:g})"
        sampling = balanced if balance else "without class balancing"
        wrong_labels = f"{wrong} of the drawn labels are wrong, {rarest} within the rarest class ({names})"
        lines.append(f"noise seen in training at {amount}, {sampling}: {wrong_labels}")
    return lines


def mean_text(shares: Sequence[float]) -> str:
    """Return the mean of shares as ``43.6 %``; a dash for an empty list."""
    return f"{100 * sum(shares) / len(shares):.1f} %" if shares else "–"


def corrupt_lines(plan: Plan) -> list[str]:
    """Return a line per corrupted part and corruption, in the order of application."""
    amounts: dict[tuple[tuple[str, ...], int, str], set[float]] = {}
    used = [item.run.config.corrupt for item in plan.items if item.run.config.corrupt.active]
    for occluder, words in OCCLUDERS.items():
        for one in used:
            if one.occlusion and one.occluder == occluder:
                key = (tuple(sorted(one.parts)), one.seed, f"{words} over {{}} of the area")
                amounts.setdefault(key, set()).add(one.occlusion)
    steps = {
        "light": (1.0, "grey values multiplied by {}"),
        "blur": (0.0, "Gaussian blur of {} pixels"),
        "downscale": (1.0, "downscaled by {} and upscaled again"),
        "noise": (0.0, "Gaussian noise of {} of the range"),
        "jpeg": (None, "JPEG of quality {}"),
    }
    for name, (off, words) in steps.items():
        for one in used:
            if (value := getattr(one, name)) != off:
                amounts.setdefault((tuple(sorted(one.parts)), one.seed, words), set()).add(value)
    return [
        f"corrupted {' and '.join(parts)} images (not validation), identical in every run (seed {seed}): "
        + words.format(join_numbers(values))
        for (parts, seed, words), values in amounts.items()
    ]


def join_numbers(values: set[float]) -> str:
    """Return numbers as ``0.1, 0.2 or 0.3``."""
    *first, last = (f"{value:g}" for value in sorted(values))
    return f"{', '.join(first)} or {last}" if first else last
