"""Tables with known analyses of covariance, as columns and as samples."""

import numpy as np

from fer_cli.interaction.columns import Columns, Sample, choose_sample, parse_columns

OUTCOME = (5, 7, 6, 8, 9, 11, 10, 12, 6, 6, 8, 7, 11, 12, 10, 14)
COVARIATE = (1, 3, 2, 4, 2, 4, 3, 5, 1, 2, 4, 3, 3, 4, 1, 5)
READING = """
12 17.5 A,39 104.6 A,36 64.7 A,17 47 A,25 22 A,15 12.4 A,8 20 A,31 79.7 A,45 70.8 B,37 45.9 B,13 47.5 B,50 77.8 B,
35 70.9 B,40 84.8 B,33 49.8 B,17 34.6 B,20 71.4 C,42 55 C,31 54 C,24 27.9 C,15 40.6 C,13 33 C,9 22.2 C,21 80.5 C,
31 80 C,13 41 C,12 35 D,10 33 D,19 34.2 D,18 43.2 D,14 20 D,8 37 D,7 28.2 D,19 46.4 D,25 64.9 D,26 59.4 D
"""
"""Scores, family income and teaching method of 36 readers: the example of pingouin's manual on analysis of covariance."""


def sixteen(but: tuple[int, ...] = ()) -> Columns:
    """Return 16 rows of a 2 x 2 design, without some of them."""
    rows = [f"{OUTCOME[i]},{COVARIATE[i]},{(i // 4) % 2},{i // 8}" for i in range(16) if i not in but]
    return parse_columns("\n".join(["y,c,face,body", *rows]), "sixteen.csv")


def sixteen_sample(but: tuple[int, ...] = ()) -> Sample:
    """Return the sample of those rows."""
    return choose_sample(sixteen(but), "y", ["face", "body"], ["c"])


def readers() -> Sample:
    """Return the sample of the 36 readers."""
    rows = [",".join(row.split()) for row in READING.replace("\n", "").split(",")]
    return choose_sample(
        parse_columns("\n".join(["Scores,Income,Method", *rows]), "36.csv"), "Scores", ["Method"], ["Income"]
    )


def random_sample(seed: int, levels: tuple[int, ...], covariates: int, each: int = 2) -> Sample:
    """Return a sample with every cell filled, unequally, and effects of everything."""
    draw = np.random.default_rng(seed)
    cells = np.array(list(np.ndindex(*levels)))
    codes = np.vstack([cells, cells, cells, cells[draw.integers(0, len(cells), each * len(cells))]])
    values = {f"c{place}": draw.normal(5, 2, len(codes)) for place in range(covariates)}
    outcome = (
        draw.normal(0, 1, len(codes)) + codes @ draw.normal(0, 1, len(levels)) + sum(values.values(), np.zeros(len(codes)))
    )
    names = {f"f{place}": tuple(f"level {code}" for code in range(count)) for place, count in enumerate(levels)}
    return Sample("random.csv", "y", outcome, names, codes.astype(np.int64), values, {})
