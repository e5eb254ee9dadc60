"""How long planned runs take here, how many steps they train, and what fits a budget of time.

A run's time comes from runs like it that were timed under the results folder, else from timing one training batch of its
network, or its features and classifier on a few images, here, once per machine.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fer_cli.config import Compute, RunConfig
from fer_cli.errors import StudyError
from fer_cli.plan import Item, Plan, finished_results
from fer_cli.runs import Status
from fer_cli.study import Choice
from fer_cli.tasks import task_of

FEWEST_SEEDS = 3
"""A budget takes away epochs rather than seeds below this."""
FEWEST_EPOCHS = 0.5
"""Share of the epochs below which a budget takes away seeds first."""
OVERHEAD = 2.0
"""Seconds of a run besides training: to load data, test and write files."""
RESERVE = 0.9
"""Share of a budget that is planned for: estimates are off by some percent."""


def steps_of(item: Item) -> int:
    """Return how many batches a run trains on, 0 if it trains no network; to within what drawing a split changes."""
    config = item.run.config
    if item.trained is not None or not task_of(config).trains_network:
        return 0
    return config.train.epochs * math.ceil(item.images / config.train.batch_size)


def core_seconds_per_epoch(results: Path) -> dict[tuple[Any, ...], float]:
    """Return the median seconds x threads per epoch of runs under ``results``, by ``cost_key``."""
    measured: dict[tuple[Any, ...], list[float]] = {}
    for result in finished_results(results):
        config = result.config
        if result.trained_by is None:
            cost = result.cost.seconds.total * result.machine.threads / task_of(config).cost(config)
            measured.setdefault(cost_key(config), []).append(cost)
    return {key: sorted(times)[len(times) // 2] for key, times in measured.items()}


def cost_key(config: RunConfig) -> tuple[Any, ...]:
    """Return data set, sample size, network, batch size, and features, classifier and sequences of runs that have any.

    Trials of a search, which may see fewer images, are timed apart.
    """
    sample = (config.data.image_size, config.data.frames, *(["trial", config.data.max_images] if config.trial else []))
    network = (config.data.name, *sample, config.model.backbone, config.train.batch_size)
    classifier = config.features.classifier if config.features.blocks else ""
    return (*network, *config.features.blocks, classifier, config.sequences.model_dump_json(exclude_defaults=True))


def estimate(plan: Plan, compute: Compute, states: Mapping[str, Status], timing: bool = False) -> dict[str, float | None]:
    """Return estimated seconds by run id of unfinished runs; None if no similar run was timed.

    ``timing``: whether to time a training batch of networks that no run was timed of.
    """
    left = [item for item in plan.everything if states[item.run_id] != "done"]
    known = core_seconds_per_epoch(compute.results) if left else {}
    timed: dict[tuple[Any, ...], tuple[float, float]] = {}
    times: dict[str, float | None] = {}
    for item in left:
        each = known.get(cost_key(item.run.config))
        if each is not None:
            times[item.run_id] = each * item.epochs / compute.threads
        elif not (task_of(item.run.config).trains_network or item.run.config.features.blocks):
            times[item.run_id] = OVERHEAD
        else:
            times[item.run_id] = time_run(item, compute, timed) if timing else None
    return times


def time_whole(plan: Plan, compute: Compute) -> float | None:
    """Return the seconds of all runs of a plan, finished or not, from timing batches; None if one cannot be timed."""
    timed: dict[tuple[Any, ...], tuple[float, float]] = {}
    total = 0.0
    for item in plan.everything:
        seconds = OVERHEAD if item.trained is not None else time_run(item, compute, timed)
        if seconds is None:
            return None
        total += seconds
    return total


def time_run(item: Item, compute: Compute, timed: dict[tuple[Any, ...], tuple[float, float]]) -> float | None:
    """Return a run's seconds from timing a training batch, or features of a few images.

    None for a run without images.

    ``timed``: seconds by what they depend on, filled here, so that a plan asks once for each.
    """
    config = item.run.config
    if not item.images:
        return None
    from fer_cli.learning.compute import use_threads
    from fer_cli.learning.timing import seconds_of_features, seconds_per_image

    if not task_of(config).trains_network:
        asked = (config.features.model_dump_json(), config.data.image_size, item.classes)
        if asked not in timed:
            timed[asked] = seconds_of_features(config, item.classes, use_threads(compute))
        described, fitted = timed[asked]  # test images are described, too
        return item.images * (described * (1 + 1 / config.data.folds) + fitted) + OVERHEAD
    alpha = config.learning.parts.attention
    sample = (config.data.image_size, config.data.frames)
    key = (config.model.model_dump_json(), alpha, *sample, config.train.batch_size, item.classes)
    if key not in timed:
        timed[key] = seconds_per_image(config, item.classes, use_threads(compute))
    trained, judged = timed[key]
    views = 2 if config.model.mirror_average else 1
    each_epoch = item.images * trained + item.validation * views * judged
    return item.epochs * each_epoch + OVERHEAD


def fit_budget(
    plan: Plan, times: Mapping[str, float | None], states: Mapping[str, Status], jobs: int, minutes: float
) -> Choice:
    """Return the plan's choice with fewer seeds and epochs, so that what is left of it fits; raises StudyError if none does.

    ``times``: of all runs, finished or not. Seeds go first as long as ``FEWEST_SEEDS`` are left and half of the epochs would
    not fit, then epochs. Other epochs make other runs of all but simulations: what is done saves time with all epochs only.
    """
    seconds, seeds = RESERVE * 60 * minutes * jobs, sorted({item.run.seed for item in plan.items})
    left = {item.run_id: times[item.run_id] for item in plan.everything if states[item.run_id] != "done"}
    unknown = [item.run.title for item in plan.everything if left.get(item.run_id, 0.0) is None]
    if unknown:
        raise StudyError(
            f"--budget: the time of {len(unknown)} runs is unknown, e.g. {unknown[0]}; train one first (--only)"
        )
    trainings = {item.trained.run_id for item in plan.items if item.trained is not None}
    fixed = sum(left.get(item.run_id) or 0.0 for item in plan.first if item.run_id not in trainings) / len(seeds)
    runs = [*plan.items, *(item for item in plan.first if item.run_id in trainings)]
    scaled = [item for item in runs if item.trained is not None or task_of(item.run.config).trains_network]
    rest = [item for item in runs if item.trained is None and not task_of(item.run.config).trains_network]
    again = {item.run_id: left.get(item.run_id) if item.run.config.simulated else times[item.run_id] for item in rest}
    epochs = min((item.run.config.train.epochs for item in scaled), default=1)
    counts = [n for n in range(len(seeds), 0, -1) if n >= FEWEST_SEEDS] or [len(seeds)]
    needed = math.inf
    for count in [*counts, *range(min(counts) - 1, 0, -1)]:
        kept = set(seeds[:count])
        if fixed * count + total(runs, kept, left) <= seconds:
            return plan.choice if count == len(seeds) else replace(plan.choice, seeds=tuple(seeds[:count]))
        constant, whole = fixed * count + total(rest, kept, again), total(scaled, kept, times)
        needed = constant + (whole / epochs if scaled else 0.0)
        share = math.floor(100 * min(1.0, (seconds - constant) / whole)) / 100 if scaled else 0.0
        if 0 < share < 1 and share >= (FEWEST_EPOCHS if count > min(counts) else 1 / epochs):
            return replace(plan.choice, seeds=tuple(seeds[:count]), epochs=share * (plan.choice.epochs or 1.0))
    what = "one seed of one epoch" if scaled else "one seed"
    raise StudyError(
        f"--budget {minutes:g}: too small: {what} takes about {needed / RESERVE / 60 / jobs:.1f} minutes; raise it"
    )


def total(items: Iterable[Item], seeds: Collection[int], times: Mapping[str, float | None]) -> float:
    """Return the seconds of these seeds' runs; 0 for a run that ``times`` does not have."""
    return sum(times.get(item.run_id) or 0.0 for item in items if item.run.seed in seeds)
