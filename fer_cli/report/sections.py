"""SECTIONS: the parts of a report in order. Each returns its blocks.

The answer, the main table with its red flags, what it rests on (claims, differences, diagnostics, complexity), then protocol
and provenance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from fer_cli.blocks import Block, Figure, Note, Table
from fer_cli.config import SIMULATIONS, load
from fer_cli.config.analyses import ANSWERS
from fer_cli.errors import DataError, ResultsError
from fer_cli.report.answer import answer, claims_table
from fer_cli.report.compared import difference_tables
from fer_cli.report.material import Material
from fer_cli.report.measures import calibration_table, class_tables, cost_table
from fer_cli.report.notes import describe_flags, describe_protocol, describe_provenance
from fer_cli.report.published import published_tables
from fer_cli.report.tables import detected_tables, health_table, leaky_tables, score_table, seed_tables


def show_answer(material: Material) -> Iterator[Note]:
    """Yield the question and its answer."""
    study = material.plan.study
    yield Note(study.question, head=True)
    said = "" if material.judgements else own_answer(material)
    yield Note(said or answer(material.judgements, material.compared, material.cells, material.scales), head=True)
    for kind in dict.fromkeys(item.run.config.sequences.simulation for item in material.plan.items):
        if kind is not None:
            yield Note(f"SIMULATION: {SIMULATIONS[kind].caution}", head=True)


def own_answer(material: Material) -> str:
    """Return the answer of the study's analyses that have one to a question about other than scores, else ""."""
    own = [ANSWERS[name] for name in material.plan.study.report.analyses if name in ANSWERS]
    try:
        return " ".join(load(code)(material.plan, material.compute) for code in own)
    except (ResultsError, DataError):  # the analysis itself says why
        return ""


def show_scores(material: Material) -> list[Table]:
    """Return a table of mean scores per metric, the first with all red flags, and of scores on leaky validation images."""
    plan, cells, doubts = material.plan, material.cells, material.doubts
    main, *others = [score_table(plan, cells, metric, doubts) for metric in plan.study.report.metrics]
    flagged = replace(main, notes=[*main.notes, *describe_flags(material)])
    return [flagged, *others, *leaky_tables(plan, cells, doubts)]


def show_claims(material: Material) -> list[Table]:
    """Return the judged claims."""
    return claims_table(material.judgements)


def show_published(material: Material) -> list[Table]:
    """Return the paper's tables beside ours."""
    return published_tables(material.plan, material.cells, material.doubts)


def show_differences(material: Material) -> list[Table]:
    """Return the differences between arms: tested for the first metric, with intervals for the others."""
    return difference_tables(material.cells, material.scales, material.compared)


def show_classes(material: Material) -> list[Table]:
    """Return precision, recall and F1 by class."""
    return class_tables(material.plan, material.cells, material.doubts)


def show_seeds(material: Material) -> list[Table]:
    """Return scores by seed with rank tests, for HTML; the CSV has every seed."""
    plan, cells, doubts = material.plan, material.cells, material.doubts
    return [table for metric in plan.study.report.metrics for table in seed_tables(plan, cells, metric, doubts)]


def show_modules(material: Material) -> list[Table]:
    """Return module diagnostics, calibration and model complexity."""
    plan, cells = material.plan, material.cells
    health = health_table(plan, cells)
    diagnostics = [] if health is None else [health]
    return diagnostics + calibration_table(plan, cells, material.doubts) + cost_table(plan, cells)


def show_detected(material: Material) -> list[Table]:
    """Return scores over test images with a detected face, if face detection ran."""
    return detected_tables(material.plan, material.cells, material.plan.study.report.metrics, material.doubts)


def show_figures(material: Material) -> Iterator[Block]:
    """Draw and yield the study's figures, if requested."""
    if material.figures:
        from fer_cli.report.figures import draw_study

        material.announce("figures")
        yield from map(Figure, draw_study(material.scales, material.cells, material.folder))


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
    "answer": show_answer,
    "scores": show_scores,
    "claims": show_claims,
    "published": show_published,
    "differences": show_differences,
    "classes": show_classes,
    "modules": show_modules,
    "detected": show_detected,
    "seeds": show_seeds,
    "figures": show_figures,
    "analyses": show_analyses,
    "protocol": describe_protocol,
    "provenance": describe_provenance,
}
"""Name -> function of a ``Material`` that returns its blocks."""
