"""Statistics of tables: intervals, tests, effect sizes, and what n could detect.

Tests return ``PValue`` or, where n is too small or their assumptions do not hold, ``NotTestable`` with the reason in words.
``scores`` has those over folds and seeds, ``images`` and ``bootstrap`` those over test images and people.
"""

from fer_cli.stats.bootstrap import Interval, bootstrap_interval, bootstrap_test, lift, paired_bootstrap, right_units
from fer_cli.stats.effects import Effect, effect_size
from fer_cli.stats.friedman import Ranks, critical_difference, rank_arms
from fer_cli.stats.images import crossed_spread, crossed_test, image_test, pseudo_values
from fer_cli.stats.outcomes import ALPHA, NotTestable, Outcome, PValue
from fer_cli.stats.power import POWER, detectable_difference, find_power, needed_pairs
from fer_cli.stats.ranks import FEWEST_PAIRS, describe_floor, rank_test, sign_floor, signed_rank
from fer_cli.stats.scores import (
    FEWEST_SCORES,
    GRID,
    LEVEL,
    Difference,
    Spread,
    level_test,
    mean_variance,
    paired_difference,
    paired_test,
    sample_sd,
    unpaired_difference,
    unpaired_test,
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
    "bootstrap_test",
    "critical_difference",
    "crossed_spread",
    "crossed_test",
    "describe_floor",
    "detectable_difference",
    "effect_size",
    "find_power",
    "holm",
    "image_test",
    "level_test",
    "lift",
    "mean_variance",
    "needed_pairs",
    "paired_bootstrap",
    "paired_difference",
    "paired_test",
    "pseudo_values",
    "rank_arms",
    "rank_test",
    "right_units",
    "sample_sd",
    "sign_floor",
    "signed_rank",
    "unpaired_difference",
    "unpaired_test",
]
