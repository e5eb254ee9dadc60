"""Describes the models of a plan: networks and their initial weights, or features and a classifier."""

from __future__ import annotations

from pathlib import Path

from fer_cli.config import RunConfig
from fer_cli.plan import Item, Plan
from fer_cli.tasks import TASKS, task_of


def group_networks(plan: Plan) -> dict[str, list[Item]]:
    """Return the runs that train networks by use: tested ones under "", others under what they do for the tested run."""
    tested = {item.run_id: item for item in plan.items if task_of(item.run.config).trains_network}
    found: dict[str, dict[str, Item]] = {"": tested}
    for item in plan.items:
        if (task := task_of(item.run.config)).use and item.start is not None and item.start.run_id not in tested:
            found.setdefault(task.use, {})[item.start.run_id] = item.start
    return {use: list(items.values()) for use, items in found.items() if items}


def choice_lines(plan: Plan) -> list[str]:
    """Return how checkpoints are selected, and which classifiers are fitted without selection."""
    lines = []
    for use, items in group_networks(plan).items():
        rules = sorted({item.run.config.train.select_on for item in items})
        rule = "lowest" if rules == ["val/loss"] else "best"
        tested = f" of the network that {use}" if use else "; test images predicted once, by this checkpoint"
        lines.append(f"checkpoint: {rule} {' or '.join(rules)} (ties go to the latest epoch){tested}")
    configs: dict[str, list[RunConfig]] = {name: [] for name in reversed(TASKS)}
    for item in plan.items:
        configs[item.run.config.kind].append(item.run.config)
    return lines + [line for name, some in configs.items() for line in TASKS[name].describe(some)]


def model_lines(plan: Plan) -> list[str]:
    """Return a line per use of networks: initial weights, network, image size and training."""
    return [model_line(plan, items, use) for use, items in group_networks(plan).items()]


def model_line(plan: Plan, items: list[Item], use: str) -> str:
    """Return the line of one use."""
    where = f", which {use}, trained on the training part of each split" if use else ""
    config = items[0].run.config
    names = ", ".join(dict.fromkeys(item.run.config.model.title for item in items))
    balanced = "; class-balanced sampling" if config.train.class_balance == 1 else ""
    averaged = "; moving average of the weights" if config.train.weight_average else ""
    mirrored = "; logits averaged over each image and its mirror image" if config.model.mirror_average and not use else ""
    return (
        f"weights: {describe_weights(plan, items)}; network {names}, {config.data.image_size} px, {config.train.epochs} "
        f"epochs, profile {plan.choice.profile}{where}; {train_recipe(items)}{balanced}{averaged}{mirrored}"
    )


def train_recipe(items: list[Item]) -> str:
    """Return optimiser settings and augmentation, with all values where they differ."""
    optimisers = dict.fromkeys(
        f"{t.optimizer} at {t.lr:g} ({t.schedule}), weight decay {t.weight_decay:g}, batches of {t.batch_size}"
        for t in (item.run.config.train for item in items)
    )
    changes = dict.fromkeys(
        ", ".join(f"{name} {value:g}" for name, value in item.run.config.augment.model_dump().items() if value) or "nothing"
        for item in items
    )
    return f"{' or '.join(optimisers)}; augmented by {' or '.join(changes)}"


def describe_weights(plan: Plan, items: list[Item]) -> str:
    """Return the initial weights of the networks."""
    files = {item.run.config.model.weights: item.run.config.model.weights_sha256 for item in items}
    if named := [f"{Path(path).name} (SHA-256 {str(sha)[:12]})" for path, sha in files.items() if path is not None]:
        return " and ".join([*named, *(["random initialisation"] if None in files else [])])
    begun = {item.start.run_id: item.start for item in items if item.start is not None}
    if not begun:
        return "random initialisation"
    texts = []
    for run_id, earlier in begun.items():
        from_it = {item.run.arm for item in items if item.start is not None and item.start.run_id == run_id}
        arms = [arm for arm in plan.study.arms if arm in from_it]
        shared = f"for {', '.join(arms)}" if len(arms) < len(plan.study.arms) else "the same for every arm"
        config = earlier.run.config
        origin = f"{config.data.name} (fingerprint {earlier.fingerprint}, run {earlier.run_id})"
        texts.append(f"backbone pre-trained on {origin} for {config.train.epochs} epochs, {shared}; classifier at random")
    if any(item.start is None for item in items):
        texts.append("random initialisation for the others")
    return "; ".join(texts)
