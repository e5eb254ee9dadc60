"""The audit of a paper: CHECKS of its printed numbers, and their findings as rows or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fer_cli.config import load
from fer_cli.escape import csv_cell
from fer_cli.papers.findings import Verdict
from fer_cli.papers.schema import Paper

COLUMNS = ["paper", "place", "cells", "verdict", "check", "arithmetic"]


@dataclass(frozen=True)
class Check:
    """A check: what it finds, the verdict of its findings, and its code, a function of a paper that yields ``Found``."""

    words: str
    verdict: Verdict
    code: str


@dataclass(frozen=True)
class Finding:
    """A finding of one check in one paper."""

    paper: str
    place: str
    cells: tuple[str, ...]
    verdict: Verdict
    check: str
    arithmetic: str

    def row(self) -> list[str]:
        """Return the finding as texts, in the order of ``COLUMNS``."""
        return [self.paper, self.place, "; ".join(self.cells), self.verdict, self.check, self.arithmetic]


ROOM = "fer_cli.papers"
CHECKS: dict[str, Check] = {
    "share-range": Check("a share outside 0 to 100 %", "impossible", f"{ROOM}.ranges:check_range"),
    "value-range": Check("a value that the quantity cannot have", "impossible", f"{ROOM}.ranges:check_values"),
    "f1-outside": Check("F1 above or below both precision and recall", "impossible", f"{ROOM}.classes:check_f1_outside"),
    "f1-harmonic": Check(
        "F1 that is not the harmonic mean of precision and recall", "impossible", f"{ROOM}.classes:check_f1_harmonic"
    ),
    "accuracy-recall": Check(
        "accuracy that is not the support-weighted recall", "impossible", f"{ROOM}.classes:check_accuracy_recall"
    ),
    "recall-rate": Check(
        "recall that is no whole number of its class's images", "impossible", f"{ROOM}.classes:check_recall_rates"
    ),
    "class-counts": Check(
        "precision, recall and F1 that no whole numbers of images give", "impossible", f"{ROOM}.classes:check_class_counts"
    ),
    "accuracy-rate": Check(
        "accuracy that is no whole number of the test images", "impossible", f"{ROOM}.classes:check_accuracy_rates"
    ),
    "class-mean": Check(
        "macro or weighted average that is not that of the classes", "impossible", f"{ROOM}.classes:check_class_means"
    ),
    "confusion-row": Check(
        "row of a confusion matrix that does not add up", "impossible", f"{ROOM}.classes:check_confusion_rows"
    ),
    "total": Check("total that is not the sum of its counts", "impossible", f"{ROOM}.counts:check_totals"),
    "ratio": Check("split that differs from its stated ratio", "inconsistent", f"{ROOM}.counts:check_ratios"),
    "hits": Check("correct images and accuracies that fit no single test set", "inconsistent", f"{ROOM}.counts:check_hits"),
    "share-sum": Check("row of shares that does not add up to 100 %", "impossible", f"{ROOM}.counts:check_share_sums"),
    "row-count": Check("number of rows that is not the stated one", "inconsistent", f"{ROOM}.counts:check_stated_rows"),
    "run-time": Check("run time, fps and images that do not fit", "inconsistent", f"{ROOM}.counts:check_times"),
    "p-value": Check("p that does not follow from F", "impossible", f"{ROOM}.anova:check_p"),
    "p-df": Check("p values that need different error df in one outcome", "impossible", f"{ROOM}.anova:check_p_together"),
    "one-f": Check("one F with two p values", "impossible", f"{ROOM}.anova:check_one_f"),
    "error-ms": Check(
        "MS / F that is not one error mean square per outcome", "impossible", f"{ROOM}.anova:check_mean_square"
    ),
    "eta2": Check("partial eta squared that does not follow from F", "impossible", f"{ROOM}.anova:check_eta"),
    "one-model": Check("one model with two values", "inconsistent", f"{ROOM}.values:check_one_model"),
    "copied-row": Check("rows of different models that are equal", "suspicious", f"{ROOM}.values:check_copied_rows"),
    "equal-cell": Check("cells of different experiments that are equal", "suspicious", f"{ROOM}.values:check_equal_cells"),
    "column-mean": Check("mean or deviation that is not that of its column", "impossible", f"{ROOM}.values:check_means"),
    "chance": Check("mean probability at the chance level", "suspicious", f"{ROOM}.values:check_chance"),
    "information": Check("mutual information above log of the classes", "impossible", f"{ROOM}.values:check_information"),
    "text-gain": Check("text that the cells contradict", "inconsistent", f"{ROOM}.text:check_gains"),
    "text-open": Check(
        "gain over a value that is not printed, with two readings", "suspicious", f"{ROOM}.text:check_open_gains"
    ),
}
"""Name of a check -> what it finds."""


def audit_paper(paper: Paper) -> list[Finding]:
    """Return the findings of every check, in the order of ``CHECKS``."""
    return [
        Finding(paper.cite, found.place, found.cells, check.verdict, key, found.text)
        for key, check in CHECKS.items()
        for found in load(check.code)(paper)
    ]


def findings_csv(findings: Iterable[Finding]) -> str:
    """Return findings as CSV."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([csv_cell(cell) for cell in finding.row()] for finding in findings)
    return stream.getvalue()


def short_table(findings: Sequence[Finding]) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of a narrow table: place and first cells together, and the paper only where there are several."""
    several = len({finding.paper for finding in findings}) > 1
    rows = []
    for finding in findings:
        cells = [*finding.cells[:2], *([f"… ({len(finding.cells)} cells)"] if len(finding.cells) > 2 else [])]
        where = f"{finding.place}: {'; '.join(cells)}"
        rows.append([*([finding.paper] if several else []), where, finding.verdict, finding.arithmetic])
    return [*(["paper"] if several else []), "where", "verdict", "arithmetic"], rows


def count_verdicts(findings: Iterable[Finding]) -> str:
    """Return how many findings there are, by verdict: ``3 findings (2 impossible, 1 suspicious)``."""
    verdicts = [finding.verdict for finding in findings]
    shown = ", ".join(f"{verdicts.count(one)} {one}" for one in dict.fromkeys(sorted(verdicts)))
    return f"{len(verdicts)} finding{'' if len(verdicts) == 1 else 's'}" + (f" ({shown})" if shown else "")
