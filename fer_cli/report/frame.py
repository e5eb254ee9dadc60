"""The scores of a report: one row per run, part and metric."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fer_cli.config import METRICS
from fer_cli.overlap import trained_on
from fer_cli.plan import Plan
from fer_cli.report.collect import Cells
from fer_cli.report.measured import measured_rows
from fer_cli.report.version import VERSION
from fer_cli.results import SIMULATED

if TYPE_CHECKING:
    import pandas as pd

SETTINGS = ("study", "profile", "data", "fingerprint", "split", "split_hash")


@dataclass(frozen=True)
class ScoreRows:
    """Rows in the order of ``columns``; ``frame`` for those who work with pandas, which reports do without."""

    columns: list[str]
    rows: list[tuple[Any, ...]]

    def tested(self, metrics: Collection[str]) -> ScoreRows:
        """Return the rows of these metrics on the test part, without the column ``part``."""
        part, metric = self.columns.index("part"), self.columns.index("metric")
        kept = [(*row[:part], *row[part + 1 :]) for row in self.rows if row[part] == "test" and row[metric] in metrics]
        return ScoreRows([*self.columns[:part], *self.columns[part + 1 :]], kept)

    def frame(self) -> pd.DataFrame:
        """Return the rows as a data frame of objects."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=self.columns, dtype=object)


def tidy(plan: Plan, cells: Cells) -> ScoreRows:
    """Return every score of a plan's results, and what its claims measure besides, one per row.

    Columns: ``SETTINGS``, arm, one per grid factor, seed, part, metric, value (share), n_test (samples of the part), n_train
    (samples trained and validated on), selected_on, epoch, run_id, commit, test_hash (None in older results), and, of the
    whole table, the report's version and the hash of its expanded configs.
    """
    rows = []
    whole = (VERSION, plan.configs)
    kept: dict[tuple[Any, ...], list[tuple[str, float]]] = {}
    for item, measure, value in measured_rows(plan, cells):
        kept.setdefault((item.run.arm, item.run.at, item.run.seed), []).append((measure, value))
    for (arm, at), cell in cells.items():
        for seed, result in zip(cell.seeds, cell.ordered, strict=True):
            data, chosen = result.config.data, result.selection
            name, split = (SIMULATED, "") if result.config.simulated else (data.name, data.split)
            where = (plan.study.name, plan.choice.profile, name, result.fingerprint, split, result.data.split_hash)
            made = (chosen.rule, chosen.epoch, result.run_id, result.provenance.version, result.data.test_hash, *whole)
            for part, scores in result.metrics.items():
                head = (*where, arm, *(value for _, value in at), seed, part)
                rows += [(*head, metric, scores[metric], scores.n, trained_on(result), *made) for metric in METRICS]
            for measure, number in kept.get((arm, at, seed), ()):
                head = (*where, arm, *(value for _, value in at), seed, "test")
                rows.append((*head, measure, number, result.metrics["test"].n, trained_on(result), *made))
    measured = ["seed", "part", "metric", "value", "n_test", "n_train", "selected_on", "epoch", "run_id", "commit"]
    measured += ["test_hash", "report", "configs"]
    return ScoreRows([*SETTINGS, "arm", *plan.factors, *measured], rows)
