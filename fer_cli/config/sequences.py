"""Settings of runs on simulated sequences of emotions (Fan 2025, sections 3.2 and 4; Tables 2 to 4).

``emotions`` decodes states from a trained recogniser's predictions of real test images; ``tags`` and ``interaction`` have
neither images nor a network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fer_cli.config.registry import one_of
from fer_cli.config.section import Section


@dataclass(frozen=True)
class Simulation:
    """A kind of simulated sequences."""

    words: str
    """Description, for reports."""
    recognised: bool
    """Whether a recogniser's predictions are observed, so that a run has a data set and a network."""
    settings: tuple[str, ...]
    """Settings that have an effect."""


@dataclass(frozen=True)
class SequenceModel:
    """A model of interaction (Fan 2025, Tables 3 and 4)."""

    words: str
    """Description, for reports."""


SIMULATIONS: dict[str, Simulation] = {
    "emotions": Simulation(
        "sequences of emotions; each step shows a test image of its emotion to the recogniser",
        True,
        ("generator", "states", "stay", "decode", "learn", "incentive", "fading", "oracle", "factors", "start", "sequences",
         "steps", "minutes"),
    ),
    "tags": Simulation("sequences of 14 emotion tags, as noisy points of pleasure, arousal, dominance", False, ("model",)),
    "interaction": Simulation("windows of emotions from six categories of interaction", False, ("model", "window")),
}  # fmt: skip

SEQUENCE_MODELS: dict[str, SequenceModel] = {
    "knn": SequenceModel("k nearest neighbours (k = 5)"),
    "naive-bayes": SequenceModel("Gaussian naive Bayes"),
    "tree": SequenceModel("decision tree (depth 8)"),
    "ecem": SequenceModel("hidden Markov models with parameters fitted on training sequences"),
    "ecem-true": SequenceModel("hidden Markov models with the parameters that generated the data, an upper bound"),
}


class SequencesConfig(Section):
    """Simulated sequences and the model that decodes or classifies them."""

    simulation: Annotated[str, one_of(SIMULATIONS)] | None = None
    """Kind of simulation; none: the run is not on sequences."""
    generator: Literal["chain", "fading", "dwell", "unmodelled"] = "chain"
    """``chain``: a Markov chain whose transitions follow the active factors. ``fading``: the same with effects that fade in,
    as ECEM assumes. ``dwell``: gamma-distributed times in a state. ``unmodelled``: a fifth factor that no model knows."""
    states: Literal["classes", "octants"] = "classes"
    """The recogniser's classes, or the eight emotions of the paper's Fig 5, scored in six groups."""
    stay: float = Field(0.9, gt=0, lt=1)
    """Probability of staying in a state for a step without factors."""
    decode: Literal["frame", "filter", "smoother"] = "filter"
    """``frame``: the recogniser's class of each image. ``filter``: states given the past. ``smoother``: given all steps."""
    learn: bool = False
    """Whether transitions and emissions are fitted by Baum-Welch, on sequences of validation images."""
    incentive: bool = False
    """Whether the model knows the active factors (Eq 11)."""
    fading: bool = False
    """Whether the effect of factors fades in (Eq 12)."""
    oracle: bool = False
    """Whether images are recognised perfectly and the generator's parameters are known: the upper bound of the decoder."""
    factors: int | None = Field(None, ge=-4, le=4)
    """Number of active factors, negative for disturbances; none: a subset of the four, redrawn every 50 steps."""
    start: str = "uniform"
    """Emotion of the first step, or ``uniform``."""
    sequences: int = Field(20, ge=1, le=10_000)
    steps: int = Field(50, ge=2, le=10_000)
    """Steps of a sequence; it ends early when no test image of an emotion is left."""
    minutes: float = Field(1.0, gt=0)
    """Minutes between steps."""
    model: Annotated[str, one_of(SEQUENCE_MODELS)] = "ecem"
    window: int = Field(60, ge=2, le=10_000)
    """Steps of a window."""

    @model_validator(mode="after")
    def _counts(self) -> SequencesConfig:
        given = self.model_dump(exclude_defaults=True)
        given.pop("simulation", None)
        if self.simulation is None:
            used: tuple[str, ...] = ()
            why = "simulation is not set"
        else:
            used, why = SIMULATIONS[self.simulation].settings, f"simulation is {self.simulation}"
        if idle := [name for name in given if name not in used]:
            raise ValueError(f"{idle[0]} has no effect: {why}")
        if self.decode == "frame" and (idle := [name for name in ("learn", "incentive", "fading") if name in given]):
            raise ValueError(f"{idle[0]} has no effect: decode is frame")
        if self.oracle and self.learn:
            raise ValueError("learn has no effect: oracle knows the parameters")
        return self

    @property
    def recognised(self) -> bool:
        """Return whether a recogniser's predictions are observed."""
        return self.simulation is not None and SIMULATIONS[self.simulation].recognised
