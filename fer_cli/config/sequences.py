"""Settings of runs on simulated sequences of emotions (Fan 2025, sections 3.2 and 4; Tables 2 to 4).

``emotions`` decodes states from a trained recogniser's predictions of real test images; ``tags`` and ``interaction`` have
neither images nor a network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from fer_cli.config.emotion import DecodeSettings
from fer_cli.config.registry import one_of


@dataclass(frozen=True)
class Simulation:
    """A kind of simulated sequences."""

    words: str
    """Description, for reports."""
    recognised: bool
    """Whether a recogniser's predictions are observed, so that a run has a data set and a network."""
    settings: tuple[str, ...]
    """Settings with an effect, besides those of recognised emotions."""
    caution: str
    """What to know before believing its scores."""


CHAIN = (
    "images are of the data set, the order of their emotions is simulated: by a Markov chain of ECEM's own kind, which "
    "favours ECEM, unless a row or column says otherwise"
)
FAVOURED = "nobody was observed; data are drawn from models of ECEM's own kind, which favours ECEM"
SIMULATIONS: dict[str, Simulation] = {
    "emotions": Simulation(
        "sequences of emotions; each step shows a test image of its emotion to the recogniser", True, (), CHAIN
    ),
    "tags": Simulation(
        "sequences of 14 emotion tags, as noisy points of pleasure, arousal, dominance", False, ("model",), FAVOURED
    ),
    "interaction": Simulation(
        "windows of emotions from six categories of interaction", False, ("model", "window"), FAVOURED
    ),
}

SEQUENCE_MODELS: dict[str, str] = {
    "knn": "k nearest neighbours (k = 5)",
    "naive-bayes": "Gaussian naive Bayes",
    "tree": "decision tree (depth 8)",
    "ecem": "ECEM: hidden Markov models with parameters fitted on training sequences",
    "ecem-true": "ECEM with the parameters that generated the data, an upper bound",
}
"""Model of simulated tags and interaction (Fan 2025, Tables 3 and 4) -> description."""


class SequencesConfig(DecodeSettings):
    """Simulated sequences and the model that decodes or classifies them."""

    simulation: Annotated[str, one_of(SIMULATIONS)] | None = None
    """Kind of simulation; none: the run is not on sequences."""
    model: Annotated[str, one_of(SEQUENCE_MODELS)] = "ecem"
    """Of ``tags`` and ``interaction``."""
    window: int = Field(60, ge=2, le=10_000)
    """Steps of a window of ``interaction``."""

    @property
    def recognised(self) -> bool:
        """Return whether a recogniser's predictions are observed."""
        return self.simulation is not None and SIMULATIONS[self.simulation].recognised

    def idle(self) -> dict[str, str]:
        """Return given settings without effect -> reason."""
        given = self.model_dump(exclude_defaults=True, exclude={"simulation"})
        if self.simulation is None:
            return dict.fromkeys(given, "sequences.simulation is not set")
        own, decoded = SIMULATIONS[self.simulation].settings, DecodeSettings.model_fields
        unused = [name for name in given if name not in own and (name not in decoded or not self.recognised)]
        return dict.fromkeys(unused, f"sequences.simulation is {self.simulation}") | super().idle()
