"""SECTIONS: the parts of a report in order. Each returns its blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from fer_cli.blocks import Block, Figure, Note, Table
from fer_cli.errors import DataError, ResultsError
from fer_cli.report.material import Material
from fer_cli.report.notes import describe_runs, describe_setup
from fer_cli.report.tables import (
    cost_table,
    detected_tables,
    difference_tables,
    health_table,
    leaky_tables,
    score_table,
    seed_tables,
)


def show_scores(material: Material) -> list[Table]:
    """Return a table of mean scores per metric, and of scores on leaky validation images."""
    plan, cells, weak = material.plan, material.cells, material.weak
    return [score_table(plan, cells, metric, weak) for metric in plan.study.report.metrics] + leaky_tables(plan, cells, weak)


def show_differences(material: Material) -> list[Table]:
    """Return the differences between arms with intervals, per metric."""
    plan = material.plan
    metrics = plan.study.report.metrics if len(plan.study.arms) > 1 else []
    return [table for metric in metrics for table in difference_tables(plan, material.cells, metric)]


def show_seeds(material: Material) -> list[Table]:
    """Return scores by seed with rank tests, if the study requests them."""
    plan = material.plan
    metrics = plan.study.report.metrics if plan.study.report.per_seed else []
    return [table for metric in metrics for table in seed_tables(plan, material.cells, metric)]


def show_modules(material: Material) -> list[Table]:
    """Return module diagnostics and model complexity."""
    tables = (health_table(material.plan, material.cells), cost_table(material.plan, material.cells))
    return [table for table in tables if table is not None]


def show_detected(material: Material) -> list[Table]:
    """Return scores over test images with a detected face, if face detection ran."""
    return detected_tables(material.plan, material.cells, material.plan.study.report.metrics, material.weak)


def show_figures(material: Material) -> Iterator[Block]:
    """Draw and yield the study's figures, if requested."""
    if material.figures:
        from fer_cli.report.figures import draw_study

        material.announce("figures")
        yield from map(Figure, draw_study(material.plan, material.cells, material.folder))


def show_analyses(material: Material) -> Iterator[Block]:
    """Yield the results of the study's network analyses, if figures are requested, else how to run them."""
    study = material.plan.study
    if study.report.analyses and not material.figures:
        yield Note(f"not shown: {', '.join(study.report.analyses)}; run fer report --study {material.study} --figures")
    elif study.report.analyses:
        from fer_cli.analysis import ANALYSES

        for name in study.report.analyses:
            material.announce(name)
            try:
                yield from ANALYSES[name](material.plan, material.compute, material.folder)
            except (ResultsError, DataError) as error:  # missing weights or images do not affect the scores
                yield Note(f"{name}: {error}")


SECTIONS: dict[str, Callable[[Material], Iterable[Block]]] = {
    "setup": describe_setup,
    "scores": show_scores,
    "differences": show_differences,
    "seeds": show_seeds,
    "modules": show_modules,
    "detected": show_detected,
    "runs": describe_runs,
    "figures": show_figures,
    "analyses": show_analyses,
}
"""Name -> function of a ``Material`` that returns its blocks."""
