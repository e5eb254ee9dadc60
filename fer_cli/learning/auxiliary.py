"""Weighted auxiliary loss terms of networks, independent of the learning method.

``subspace``: orthonormality of BSConv-S (see ``models.bsconv``). ``valence``: second task of the multi-task comparator (see
``models.comparators``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from fer_cli.models.bsconv import Subspace, subspace_penalty
from fer_cli.models.comparators import MtlFer, encode_valences, valence_loss
from fer_cli.models.precision import full_precision
from fer_cli.models.scn import Scores


def network_terms(backbone: Any, classes: Sequence[str], scores: Scores, labels: Tensor) -> dict[str, Tensor]:
    """Return the terms of ``backbone`` by name for a batch with ``labels`` (B,), indices into ``classes``; mostly empty."""
    terms: dict[str, Tensor] = {}
    if any(isinstance(part, Subspace) for part in backbone.modules()):
        terms["subspace"] = subspace_penalty(backbone)
    if isinstance(backbone, MtlFer) and scores.features is not None:
        valences = encode_valences(classes).to(labels.device)
        with full_precision(scores.features):
            terms["valence"] = valence_loss(backbone.valence(scores.features.float()), labels, valences)
    return terms
