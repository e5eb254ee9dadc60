"""How a plan's images were split and corrupted, in words: each split with its leak where it leaks, each corruption."""

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
    "random": "drawn over images, blind to people",
    "official": "as published, else carved and grouped by person where known",
    "list": "as listed, else carved and grouped by person where known",
}
"""How the validation part of a run is chosen that is tested on another set."""


REQUESTED_LEAKS = {
    "none": "",
    "val": "; the validation images are trained on too, so that what chooses the checkpoint has been learned by heart",
    "test": "; the test images are trained on too, so that the figures show memory and no recognition of anything new",
}
"""What a leak that was asked for does."""


def split_lines(plan: Plan, cells: Cells) -> list[str]:
    """Return a line per split of the plan: what it keeps apart, and what of the test part was also trained on.

    Runs tested on another set have no test part of their own and no line here.
    """
    lines = []
    ways = {split_key(item.run.config.data): item.run for item in plan.items}
    for run in ways.values():
        config, why = run.config.data, f" (chosen because {run.why_split})" if run.why_split else ""
        if config.test is None:
            word, share = describe_leak(cells, config)
            lines.append(f"split `{config.split}`{word}{why}: {describe_split(config)}{REQUESTED_LEAKS[config.leak]}{share}")
    return lines


def split_key(data: DataConfig) -> tuple[Any, ...]:
    """Return what tells one way of splitting from another."""
    names = ("name", "test", "split", "folds", "test_fraction", "test_part", "split_file", "split_sha256", "leak")
    return tuple(getattr(data, name) for name in names)


def describe_split(config: DataConfig) -> str:
    """Return what a split does, without saying how much of it leaks."""
    carved = "validation as given, else carved from the training part, people kept together where known"
    if config.split == "official" and config.test_part == "public":
        return (
            "tested on the public part, which is there to choose models by: networks and settings may have been fitted to "
            "it, so such figures are no test on new images; the private part is not used; validation carved from the "
            "training part, people kept together where known"
        )
    return {
        "subject": f"{config.folds} stratified folds, each subject in one part only; validation grouped alike",
        "random": (
            f"{config.folds} stratified folds over images, blind to people and sequences: those that recur are both trained "
            "on and tested, and such figures do not measure recognition of new people"
        ),
        "sequence": (
            f"{config.folds} stratified folds, each sequence in one part only, but the same people may be trained on and "
            "tested; validation grouped alike"
        ),
        "loso": "one subject left out at a time, in sorted order; validation grouped by subject",
        "holdout": (
            f"repeated random hold-out of {config.test_fraction:.0%} of the images, blind to people and sequences; "
            "validation drawn alike"
        ),
        "official": f"as published (of two test parts the private one, chosen by the public one); {carved}",
        "list": f"by {config.split_file} (SHA-256 {str(config.split_sha256)[:12]}); {carved}",
    }[config.split]


def describe_leak(cells: Cells, config: DataConfig) -> tuple[str, str]:
    """Return a word of warning and how much of what finished runs tested was also trained on; both "" where nothing was.

    A split blind to people may leak until a result shows that nobody recurs; the public part of two leaks by its purpose.
    """
    found = [
        result.data
        for cell in cells.values()
        for result in cell.results.values()
        if split_key(result.config.data) == split_key(config)
    ]
    shares = []
    for what in ("subjects", "sequences"):
        both, tested = (sum(getattr(data, f"{how}_{what}") for data in found) for how in ("shared", "test"))
        if both:
            shares.append(f"{both / tested:.0%} of test {what}" if tested else f"{both} test {what}")
    if shares:
        return " LEAKS", f" ({' and '.join(shares)} were trained on)"
    unknown = bool(found) and not any(data.test_subjects for data in found)
    told = " (whether people recur is not known: the set does not name them)" if unknown else ""
    if config.leak != "none" or (config.split == "official" and config.test_part == "public"):
        return " LEAKS", told
    if config.ignores_people and (unknown or not found):
        return " MAY LEAK", told
    return "", told


def absent_lines(cells: Cells) -> list[str]:
    """Return a line per set of classes that training images lacked, with the seeds in which they did."""
    seeds: dict[tuple[str, ...], set[int]] = {}
    for cell in cells.values():
        for seed, result in cell.results.items():
            if absent := tuple(result.data.absent):
                seeds.setdefault(absent, set()).add(seed)
    return [
        f"no training image of {', '.join(absent)} in seed{'s' * (len(there) > 1)} {', '.join(map(str, sorted(there)))}: "
        "such an image can only be taken for another class"
        for absent, there in seeds.items()
    ]


def seed_line(plan: Plan) -> str:
    """Return what a seed stands for in each split of the plan, e.g. ``fold s mod 5``."""
    seeds = {item.run.seed for item in plan.items}
    phrases = []
    for config in {split_key(item.run.config.data): item.run.config.data for item in plan.items}.values():
        part = f"fold s mod {config.folds}" + (f" of partition s div {config.folds}" if max(seeds) >= config.folds else "")
        phrases.append(
            part
            if config.split in K_FOLD
            else {
                "loso": "subject s left out",
                "holdout": "the s-th draw of the test part",
                "official": "the published parts, the same for all",
                "list": "the listed parts, the same for all",
            }[config.split]
        )
    return " or ".join(dict.fromkeys(phrases))


def noise_lines(plan: Plan) -> list[str]:
    """Return a line per kind of label noise in the plan, with its amounts."""
    amounts: dict[tuple[str, str], set[float]] = {}
    for data in (item.run.config.data for item in plan.items):
        if data.plants_noise:
            pairs = ", ".join("–".join(pair) for pair in data.noise_pairs)
            told = {
                "symmetric": "replaced by any other class, drawn uniformly",
                "asymmetric": f"replaced by a class they are taken for ({pairs})",
                "file": f"those of {data.noise_file} (SHA-256 {str(data.noise_sha256)[:12]}) where it names them",
            }[data.noise_kind]
            if data.noise_kind == "asymmetric" and data.noise_pairs == CONFUSABLE:
                told += ", where the set has both"
            amounts.setdefault((data.noise_kind, told), set()).add(data.label_noise)
    return [
        f"label noise `{kind}`, training labels only: "
        + ("" if kind == "file" else f"{join_numbers(shares)} of them ")
        + told
        for (kind, told), shares in amounts.items()
    ]


def drawn_lines(cells: Cells) -> list[str]:
    """Return, for each amount of label noise, how much of it training saw; nothing of results that do not say.

    Class-balanced sampling draws more wrong labels than were planted, most of all in the rarest class.
    """
    groups: dict[tuple[str, float, float], list[Drawn]] = {}
    for result in (result for cell in cells.values() for result in cell.results.values()):
        if drawn := result.data.drawn:
            config = result.config
            balance = task_of(config).balance(config)
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
        how = balanced if balance else "without class balance"
        lines.append(
            f"noise seen in training at {amount}, {how}: {wrong} of the drawn labels are wrong, {rarest} within "
            f"the rarest class ({names})"
        )
    return lines


def mean_text(shares: Sequence[float]) -> str:
    """Return the mean of shares as ``43.6 %``, or a dash of none."""
    return f"{100 * sum(shares) / len(shares):.1f} %" if shares else "–"


def corrupt_lines(plan: Plan) -> list[str]:
    """Return a line per corrupted kind of image and step, in the order in which the steps are made."""
    amounts: dict[tuple[tuple[str, ...], int, str], set[float]] = {}
    used = [item.run.config.corrupt for item in plan.items if item.run.config.corrupt.active]
    for occluder, words in OCCLUDERS.items():
        for one in used:
            if one.occlusion and one.occluder == occluder:
                amounts.setdefault((tuple(sorted(one.parts)), one.seed, f"{words} over {{}} of the area"), set()).add(
                    one.occlusion
                )
    steps = {
        "light": (1.0, "grey values times {}"),
        "blur": (0.0, "Gaussian blur of {} pixels"),
        "downscale": (1.0, "shrunk by {} and enlarged again"),
        "noise": (0.0, "Gaussian noise of {} of the range"),
        "jpeg": (None, "JPEG of quality {}"),
    }
    for name, (off, words) in steps.items():
        for one in used:
            if (value := getattr(one, name)) != off:
                amounts.setdefault((tuple(sorted(one.parts)), one.seed, words), set()).add(value)
    return [
        f"corrupted {' and '.join(parts)} images (not validation), the same in every run (seed {seed}): "
        + words.format(join_numbers(values))
        for (parts, seed, words), values in amounts.items()
    ]


def join_numbers(values: set[float]) -> str:
    """Return numbers as ``0.1, 0.2 or 0.3``."""
    *first, last = (f"{value:g}" for value in sorted(values))
    return f"{', '.join(first)} or {last}" if first else last
