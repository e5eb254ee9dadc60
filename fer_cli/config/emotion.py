"""Settings of simulated emotional states and their decoding (Fan et al. 2025, Eq 7-14 and Table 2; values are ours)."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from fer_cli.config.section import Section

PSI = math.log(20) / 14
"""Rate of fading per minute: 95 % of the effect after the 14 minutes of the paper's Figure 11."""
Generator = Literal["chain", "dwell", "unmodelled"]
"""Kinds of simulated sequences; see ``interaction.simulate``."""


class Region(Section):
    """The target region of valence, without units."""

    optimum: float = Field(default=0.6, ge=-1, le=1)
    phi: float = Field(default=0.2, gt=0, lt=1)
    repetitions: int = Field(default=5, ge=0, le=50)

    @property
    def low(self) -> float:
        """Return the lowest TEA of the region; below it, factors are advised."""
        return self.optimum - self.phi

    @property
    def high(self) -> float:
        """Return the highest TEA of the region."""
        return self.optimum + self.phi


class DecodeSettings(Section):
    """What is simulated and how it is decoded. Times in minutes, rates per minute."""

    states: Literal["classes", "octants"] = "classes"
    calmness_positive: bool = False
    decode: Literal["frame", "filter", "smoother"] = "smoother"
    learn: bool = False
    """Baum-Welch on sequences of validation images; otherwise the initial model."""
    incentive: bool = False
    """Decode with A_k of the known track of factors."""
    fading: bool = False
    """Decode with the lazy chain."""
    perfect: bool = False
    """Ceiling: the generator's own transitions, and each image recognised as its class."""
    generator: Generator = "chain"
    factors: int | None = Field(default=None, ge=-4, le=4)
    """So many factors act all the time, negative for disturbances; by default a subset that is redrawn every 50 steps."""
    start: str | None = None
    """State of the first step; by default any, with equal probability."""
    generator_fading: bool = False
    """Whether the simulated chain is lazy."""
    sequences: int | None = Field(default=None, ge=1)
    """At most so many sequences are scored; by default as many as the test images fill, at least 1."""
    fit_sequences: int = Field(default=100, ge=1)
    steps: int = Field(default=50, ge=2)
    minutes: float = Field(default=1.0, gt=0)
    """Time of one step."""
    stay: float = Field(default=0.9, ge=0, lt=1)
    """Probability to stay in a state in the simulation, without factors."""
    model_stay: float | None = Field(default=None, ge=0, lt=1)
    """The same in the initial model: by default 0.9 for classes, 0.4 for octants."""
    tau: float = Field(default=1.0, gt=0)
    efficacy: dict[str, dict[str, float]] = {}
    """Factor -> state -> efficacy, 1 where not given; in the simulation, the model and the gate."""
    psi: float = Field(default=PSI, gt=0)
    pseudo_count: float = Field(default=1.0, ge=0)
    region: Region = Region()

    def idle(self) -> dict[str, str]:
        """Return given settings without effect -> reason."""
        frame = "frames are decoded one by one"
        why = "perfect uses the generator's parameters" if self.perfect else frame
        chain = not self.perfect and self.decode != "frame"
        fades = self.generator_fading or (self.fading and chain)
        needs = {
            **dict.fromkeys(("learn", "incentive", "fading"), (chain, why)),
            **dict.fromkeys(("pseudo_count", "fit_sequences"), (chain and self.learn, "nothing is learned")),
            "model_stay": (not self.perfect, why),  # the gate looks ahead with it whatever decodes
            "calmness_positive": (self.states == "octants", "states are classes"),
            "psi": (fades, "nothing fades"),
        }
        given = self.model_dump(exclude_defaults=True)
        return {name: reason for name, (used, reason) in needs.items() if name in given and not used}
