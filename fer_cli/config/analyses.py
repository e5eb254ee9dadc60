"""The analyses of finished runs that a study's report may ask for, and what they say of it."""

from __future__ import annotations

from dataclasses import dataclass

ANALYSES = {
    "embedding": "fer_cli.analysis.embedding:embedding_analysis",
    "blocks": "fer_cli.analysis.blocks:block_analysis",
    "maps": "fer_cli.analysis.maps:maps_analysis",
    "efficiency": "fer_cli.analysis.efficiency:efficiency_analysis",
    "attention": "fer_cli.analysis.attention:attention_analysis",
    "pairs": "fer_cli.analysis.pairs:pairs_analysis",
    "centres": "fer_cli.analysis.centres:centres_analysis",
    "mixing": "fer_cli.analysis.mixing:mixing_analysis",
    "decoding": "fer_cli.analysis.decoding:decoding_analysis",
    "incentives": "fer_cli.analysis.incentives:incentives_analysis",
    "intensity": "fer_cli.analysis.categories:intensity_analysis",
    "categories": "fer_cli.analysis.categories:categories_analysis",
}
"""Name -> function of a plan, compute settings and the folder of figures that analyses trained networks."""


@dataclass(frozen=True)
class Measure:
    """A number of each run that claims may compare; ``analysis``: that keeps it, None if the run's history has it."""

    analysis: str | None
    label: str
    sign: int
    """1 where higher is better, -1 where lower is."""
    digits: int = 3
    """Decimals that are printed."""


MEASURES = {
    "distance_ratio": Measure("embedding", "distance within classes / between their centres", -1),
    "silhouette": Measure("embedding", "silhouette", 1),
    "fluctuation": Measure(None, "sd of validation accuracy in the second half of the epochs, in points", -1, 2),
}
"""Measure -> what it is."""
ANSWERS = {"incentives": "fer_cli.analysis.incentives:answer_incentives"}
"""Analysis -> function of plan and compute that returns the answer to a question about other than scores."""
