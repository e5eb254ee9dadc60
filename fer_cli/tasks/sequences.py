"""Runs on simulated sequences of emotions, decoded or classified by hidden Markov models and others (Fan 2025, section 4).

Sequences of ``emotions`` show test images to the recogniser of another run; other simulations have no images and no network.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fer_cli.blocks import MINUS
from fer_cli.config import SEQUENCE_MODELS, SIMULATIONS, Compute, RunConfig, SequencesConfig
from fer_cli.results import Result
from fer_cli.tasks.task import Inputs, Task

GENERATORS = {
    "chain": "a Markov chain whose transitions follow the active factors",
    "dwell": "gamma-distributed times in each emotion instead of a Markov chain",
    "unmodelled": "a Markov chain with a fifth factor, active in a quarter of the time, that no model knows",
}


def recogniser(config: RunConfig) -> RunConfig | None:
    """Return the run that trains the recogniser, or None for a simulation without images."""
    if not config.sequences.recognised:
        return None
    return config.model_copy(update={"sequences": SequencesConfig(), "task": None})


def run_sequences(config: RunConfig, inputs: Inputs, compute: Compute) -> Result:
    """Simulate, decode and score; see ``simulate_run``."""
    from fer_cli.learning.sequences import simulate_run

    return simulate_run(config, compute, inputs.folder, inputs.start)


def smoke_sequences(config: RunConfig, compute: Compute, folder: Path) -> None:
    """Simulate and decode a few sequences, and smoke-test the recogniser."""
    from fer_cli.learning.sequences import smoke_simulation
    from fer_cli.learning.smoke import smoke_network

    smoke_simulation(config, compute)
    if (network := recogniser(config)) is not None:
        smoke_network(network, compute, folder)


def check_sequences(runs: Iterable[tuple[RunConfig, list[str]]]) -> None:
    """Raise a FerError for classes that cannot be states, and for a first state that is none."""
    from fer_cli.interaction.decoding import build_plan, build_space

    for config, classes in runs:
        if config.sequences.recognised:
            build_plan(config.sequences, build_space(config.sequences, classes), 1)


def scored_classes(config: RunConfig, classes: list[str]) -> list[str]:
    """Return the classes of the scores: groups of states, tags or categories."""
    from fer_cli.learning.sequences import class_names

    return class_names(config.sequences, classes)


def describe_sequences(configs: list[RunConfig]) -> list[str]:
    """Return a line per kind of simulation, its size, and its models."""
    lines = []
    for kind in dict.fromkeys(config.sequences.simulation for config in configs):
        used = [config.sequences for config in configs if config.sequences.simulation == kind]
        lines.append(f"SIMULATION: {SIMULATIONS[str(kind)].words}; every seed simulates its own, the same for every arm")
        if not used[0].recognised:
            models = "; ".join(SEQUENCE_MODELS[name] for name in dict.fromkeys(one.model for one in used))
            lines.append(f"models: {models}")
            continue
        lines += [f"sequences `{name}`: {GENERATORS[name]}" for name in dict.fromkeys(one.generator for one in used)]
        if any(one.generator_fading for one in used):
            lines.append("generator_fading: the effect of factors fades in, as ECEM assumes")
        lines += [
            f"at most {count} sequences of {steps} steps of {minutes:g} min; test images are drawn without replacement "
            "within their class, and a sequence ends when its class runs out"
            for count, steps, minutes in dict.fromkeys((one.sequences, one.steps, one.minutes) for one in used)
        ]
        if any(one.states == "octants" for one in used):
            lines.append("eight emotions are scored in six groups, which are what seven classes can tell apart at most")
        lines.append(
            "the emission is the recogniser's confusion matrix on validation images, plus 1; transitions are fitted, if at "
            f"all, on sequences of validation images; {describe_factors([one.factors for one in used])}"
        )
    return lines


def describe_factors(counts: list[int | None]) -> str:
    """Return which factors act in simulations; ``counts``: their settings ``factors``."""
    redrawn = "factors are a subset of the four, drawn again every 50 steps"
    fixed = list(dict.fromkeys(count for count in counts if count is not None))
    if not fixed:
        return redrawn
    numbers = ", ".join(f"{MINUS if count < 0 else ''}{abs(count)}" for count in fixed)
    constant = f"number of factors that act all the time: {numbers}{' (negative: disturbances)' if min(fixed) < 0 else ''}"
    return f"{redrawn}; in other arms, {constant}" if None in counts else constant


SEQUENCES = Task(
    name="sequences",
    trains_network=False,
    before=recogniser,
    name_before=lambda _: "recogniser",
    training=lambda _: None,
    run=run_sequences,
    smoke=smoke_sequences,
    check=check_sequences,
    cost=lambda _: 1,
    balance=lambda _: 0.0,
    classes=scored_classes,
    use="recognises the images of sequences",
    describe=describe_sequences,
)
