"""Papers without errors, made from random confusion matrices, counts and analyses of covariance, printed with few digits."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np

from fer_cli.papers.audit import Finding, audit_paper
from fer_cli.papers.read import read_paper

Tree = dict[str, Any]


def audit(**tree: Any) -> list[Finding]:
    """Return the findings in a paper of the given parts."""
    return audit_paper(read_paper({"cite": "test", **tree}))


def names(findings: list[Finding]) -> list[str]:
    """Return the checks that found something."""
    return [finding.check for finding in findings]


class Printer:
    """Prints numbers with so many decimals (0: one to four, each time drawn), shares in percent or not.

    A half is rounded by either rule.
    """

    def __init__(self, random: np.random.Generator, digits: int) -> None:
        self.random, self.fixed = random, digits
        self.unit = str(random.choice(["%", "share"]))

    @property
    def digits(self) -> int:
        return self.fixed or int(self.random.integers(1, 5))

    def number(self, value: float) -> str:
        digits = self.digits
        if self.random.random() < 0.5:
            return f"{value:.{digits}f}"
        return str(Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))

    def share(self, value: float) -> str:
        if self.unit == "share":
            return self.number(value)
        return self.number(100 * value) + ("%" if self.random.random() < 0.2 else "")

    def p(self, value: float) -> str:
        digits = self.digits
        return f"<{10.0**-digits:.{digits}f}" if value < 10.0**-digits and self.random.random() < 0.5 else self.number(value)


def draw_confusion(random: np.random.Generator, support: np.ndarray) -> np.ndarray:
    """Return a confusion matrix (K, K) of a classifier of any quality, with rows that add up to ``support``."""
    k = len(support)
    quality = random.uniform(0, 1)
    rows = quality * np.eye(k) + (1 - quality) * random.dirichlet(np.ones(k), size=k)
    return np.array([random.multinomial(n, row / row.sum()) for n, row in zip(support, rows, strict=True)])


def rates(matrix: np.ndarray) -> np.ndarray:
    """Return precision, recall and F1 by class, (3, K), 0 where undefined."""
    right, truth, answers = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    return np.stack(
        [right / np.maximum(answers, 1), right / np.maximum(truth, 1), 2 * right / np.maximum(truth + answers, 1)]
    )


def class_table(out: Printer, matrices: list[np.ndarray], model: str) -> Tree:
    """Return a table of precision, recall and F1, means over the matrices, with accuracy and averages."""
    scores = np.mean([rates(matrix) for matrix in matrices], axis=0)
    support = matrices[0].sum(1)
    keys = ("precision", "recall", "f1")

    def row(values: np.ndarray) -> Tree:
        return {key: out.share(float(value)) for key, value in zip(keys, values, strict=True)}

    return {
        "kind": "per_class",
        "place": f"classes of {model}",
        "unit": out.unit,
        "model": model,
        "set": "test",
        "runs": str(len(matrices)),
        "rows": {f"c{i}": row(scores[:, i]) for i in range(len(support))},
        "accuracy": out.share(float(np.mean([matrix.trace() / matrix.sum() for matrix in matrices]))),
        "macro": row(scores.mean(1)),
        "weighted": row((scores * support).sum(1) / support.sum()),
    }


def confusion_tables(out: Printer, matrix: np.ndarray, model: str) -> Tree:
    """Return a confusion matrix twice: as counts, and as shares of its rows."""
    k = len(matrix)
    head = {"kind": "confusion", "unit": out.unit, "model": model, "set": "test"}
    accuracy = out.share(matrix.trace() / matrix.sum())
    counts = {f"c{i}": {f"c{j}": str(matrix[i, j]) for j in range(k)} for i in range(k)}
    shares = {f"c{i}": {f"c{j}": row_share(out, matrix[i], j) for j in range(k)} for i in range(k)}
    return {
        f"counts {model}": {**head, "place": f"matrix of {model}", "rows": counts, "accuracy": accuracy},
        f"rows {model}": {**head, "place": f"rows of {model}", "rows": shares, "normalised": True},
    }


def row_share(out: Printer, row: np.ndarray, j: int) -> str | None:
    """Return a cell of a matrix of shares, None in the row of an empty class."""
    return out.share(row[j] / row.sum()) if row.sum() else None


def draw_classifiers(random: np.random.Generator, digits: int) -> Tree:
    """Return a paper of classifiers on one test set, with every kind of table about them."""
    out = Printer(random, digits)
    support = random.integers(0, 10 ** random.integers(1, 4), size=random.integers(2, 9))
    support[0] += 1  # the other classes may be empty
    train = random.integers(1, 2000, size=len(support))
    n, runs = int(support.sum()), int(random.integers(1, 4))
    models = {f"m{i}": [draw_confusion(random, support) for _ in range(runs)] for i in range(3)}
    tables: Tree = {f"classes {model}": class_table(out, matrices, model) for model, matrices in models.items()}
    accuracy = {model: [one.trace() / n for one in matrices] for model, matrices in models.items()}
    mean = {model: float(np.mean(values)) for model, values in accuracy.items()}
    scores = {"kind": "scores", "place": "scores", "unit": out.unit, "runs": str(runs), "columns": {"acc": {"set": "test"}}}
    tables["scores"] = {**scores, "rows": {model: {"acc": out.share(value)} for model, value in mean.items()}}
    tables["repeats"] = {
        "kind": "scores",
        "place": "repeats",
        "unit": out.unit,
        "rows": {f"run {i}": {model: out.share(values[i]) for model, values in accuracy.items()} for i in range(runs)},
        "mean": {model: out.share(value) for model, value in mean.items()},
        "sd": {model: out.share(float(np.std(values, ddof=runs > 1))) for model, values in accuracy.items()},
    }
    tables["counts"] = {
        "kind": "counts",
        "place": "counts",
        "rows": {f"c{i}": {"train": str(a), "test": str(b)} for i, (a, b) in enumerate(zip(train, support, strict=True))},
        "row_totals": {f"c{i}": str(a + b) for i, (a, b) in enumerate(zip(train, support, strict=True))},
        "totals": [
            {"place": "text", "parts": ["test"], "printed": f"{n:,}"},
            {"place": "text", "parts": ["train", "test"], "printed": str(n + train.sum())},
        ],
    }
    if runs == 1:
        tables |= confusion_tables(out, models["m0"][0], "m0")
        hits = {
            model: {"accuracy": out.share(one.trace() / n), "correct": str(one.trace())} for model, (one,) in models.items()
        }
        known = {"n": str(n)} if random.random() < 0.5 else {}
        tables["hits"] = {"kind": "hits", "place": "hits", "unit": out.unit, "rows": hits, **known}
    joint = models["m0"][0] / n
    tables["information"] = information_table(out, joint)
    shares = {f"c{i}": out.share(float(value)) for i, value in enumerate(support / n)}
    tables["pie"] = {"kind": "shares", "place": "pie", "unit": out.unit, "rows": {"all": shares}}
    seconds = float(random.uniform(0.5, 100))
    speed = {"seconds": out.number(seconds), "fps": out.number(n / seconds), "ms": out.number(1000 * seconds / n)}
    tables["time"] = {"kind": "runtime", "place": "time", "n": str(n), "rows": {"m0": speed}}
    return {"sets": {"test": {"counts": ["counts", "test"]}}, "tables": tables, "claims": draw_claims(out, mean)}


def information_table(out: Printer, joint: np.ndarray) -> Tree:
    """Return a table with the mutual information of truth and answer, and the entropy of the truth."""
    scale = str(out.random.choice(["bits", "nats"]))
    base = math.log(2) if scale == "bits" else 1.0
    truth, answers = joint.sum(1), joint.sum(0)
    inside = joint[joint > 0]
    mutual = float((inside * np.log(inside / np.outer(truth, answers)[joint > 0])).sum()) / base
    entropy = float(-(truth[truth > 0] * np.log(truth[truth > 0])).sum()) / base
    cells = {"mutual": out.number(abs(mutual)), "entropy": out.number(abs(entropy))}
    labels = {"m0": str(len(joint))}
    return {"kind": "information", "place": "information", "labels": labels, "scale": scale, "rows": {"m0": cells}}


def draw_claims(out: Printer, mean: dict[str, float]) -> list[Tree]:
    """Return true claims about the gains of a better over a worse model, in points and in percent."""
    low, middle, high = sorted(mean, key=lambda model: mean[model])
    cells = {model: ["scores", model, "acc"] for model in mean}
    claims: list[Tree] = [
        {"place": "text", "of": cells[high], "over": cells[low], "by": out.number((mean[high] - mean[low]) * factor(out))},
        {"place": "text", "of": cells[high], "over": cells[middle]},
        {
            "place": "text",
            "pairs": [[cells[high], cells[low]], [cells[middle], cells[low]]],
            "unit": "points",
            "by": out.number((mean[high] - mean[low]) * factor(out)),
        },
    ]
    if mean[low] > 0:
        gain = out.number((mean[high] / mean[low] - 1) * 100) + "%"
        claims.append({"place": "text", "of": cells[high], "over": cells[low], "by": gain, "unit": "percent"})
    return claims


def factor(out: Printer) -> int:
    """Return the units in a whole."""
    return 100 if out.unit == "%" else 1


def squared_error(design: np.ndarray, y: np.ndarray) -> float:
    """Return the residual sum of squares of a least-squares fit."""
    beta = np.linalg.lstsq(design, y, rcond=None)[0]
    return float(((y - design @ beta) ** 2).sum())


def draw_ancova(random: np.random.Generator, digits: int) -> Tree:
    """Return a paper with analyses of covariance (a covariate, two factors, their interaction; type III)."""
    from scipy.stats import f as f_distribution

    out = Printer(random, digits)
    n, levels = int(random.integers(14, 400)), int(random.integers(2, 4))
    tables = {}
    for place in ("one", "two"):
        first, second = np.arange(n) % levels, (np.arange(n) // levels) % 2
        coded = [np.where(first == i, 1.0, np.where(first == levels - 1, -1.0, 0.0)) for i in range(levels - 1)]
        face, body = np.stack(coded, 1), np.where(second == 1, 1.0, -1.0)[:, None]
        parts = {"pre-test": random.normal(size=(n, 1)), "face": face, "body": body, "face x body": face * body}
        degrees = n - 1 - sum(part.shape[1] for part in parts.values())
        outcomes = {}
        for outcome in ("a", "b"):
            y = random.normal(size=n) * 10 ** random.uniform(-1, 2)
            y += sum(part @ random.normal(size=part.shape[1]) * random.choice([0, 0.3, 3]) for part in parts.values())
            full = squared_error(np.hstack([np.ones((n, 1)), *parts.values()]), y)
            rows = {}
            for name, part in parts.items():
                others = [other for key, other in parts.items() if key != name]
                gained, df = squared_error(np.hstack([np.ones((n, 1)), *others]), y) - full, part.shape[1]
                f = (gained / df) / (full / degrees)
                rows[name] = {
                    "df": str(df),
                    "ms": out.number(gained / df),
                    "f": out.number(f),
                    "p": out.p(float(f_distribution.sf(f, df, degrees))),
                    "eta2": out.p(gained / (gained + full)),
                }
            outcomes[outcome] = rows
        known = {"df_error": str(degrees)} if random.random() < 0.5 else {}
        tables[place] = {"kind": "anova", "place": place, "rows": outcomes, **known}
    return {"tables": tables}
