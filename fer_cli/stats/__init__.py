"""Statistics of tables: intervals, tests, effect sizes, and what n could detect.

Tests return ``PValue`` or, where n is too small or their assumptions do not hold, ``NotTestable`` with the reason in words.
``scores`` has those over folds and seeds, ``images`` and ``bootstrap`` those over test images and people.
"""

from fer_cli.stats.bootstrap import Interval, bootstrap_interval, lift
from fer_cli.stats.effects import Effect, effect_size
from fer_cli.stats.friedman import Ranks, critical_difference, rank_arms
from fer_cli.stats.images import crossed_spread, pseudo_values, sign_flip_p
from fer_cli.stats.outcomes import ALPHA, NotTestable, Outcome, PValue
from fer_cli.stats.power import POWER, find_detectable, find_needed, find_power
from fer_cli.stats.ranks import FEWEST_PAIRS, describe_floor, rank_test, sign_floor, signed_rank
from fer_cli.stats.scores import (
    FEWEST_SCORES,
    GRID,
    LEVEL,
    Difference,
    Spread,
    mean_variance,
    paired_difference,
    paired_spread,
    sample_sd,
    score_spread,
    unpaired_difference,
    unpaired_spread,
)
from fer_cli.stats.several import holm

__all__ = [
    "ALPHA",
    "FEWEST_PAIRS",
    "FEWEST_SCORES",
    "GRID",
    "LEVEL",
    "POWER",
    "Difference",
    "Effect",
    "Interval",
    "NotTestable",
    "Outcome",
    "PValue",
    "Ranks",
    "Spread",
    "bootstrap_interval",
    "critical_difference",
    "crossed_spread",
    "describe_floor",
    "effect_size",
    "find_detectable",
    "find_needed",
    "find_power",
    "holm",
    "lift",
    "mean_variance",
    "paired_difference",
    "paired_spread",
    "pseudo_values",
    "rank_arms",
    "rank_test",
    "sample_sd",
    "score_spread",
    "sign_flip_p",
    "sign_floor",
    "signed_rank",
    "unpaired_difference",
    "unpaired_spread",
]
