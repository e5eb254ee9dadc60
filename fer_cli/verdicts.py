"""Claims of a study judged by its run folders, and their table (``fer report --claims``)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, partial

from fer_cli.blocks import DASH, Number
from fer_cli.checked import save_verified
from fer_cli.commands import train_command
from fer_cli.config import Compute
from fer_cli.data.kept import look_up_set
from fer_cli.errors import ResultsError
from fer_cli.judge import Judgement
from fer_cli.plan import Plan
from fer_cli.report.answer import describe_claim, difference_text, explain, judge_plan
from fer_cli.report.choices import find_plans
from fer_cli.report.collect import collect
from fer_cli.report.doubts import find_doubts
from fer_cli.report.sides import Scales
from fer_cli.study import DEFAULT_PROFILE, Choice, load_study, study_names

HEAD = ("study", "data", "claim", "verdict", "difference [95 % interval]", "p", "p (Holm)", "n", "test", "reproduced", "why")


@dataclass(frozen=True)
class Judged:
    """The judgements of one study on one data set."""

    plan: Plan
    judgements: list[Judgement]


def judge_studies(
    study: str | None,
    compute: Compute,
    data: str | None = None,
    profile: str | None = None,
    seeds: tuple[int, ...] | None = None,
    split: str | None = None,
    epochs: float | None = None,
    recipe: bool | None = None,
) -> list[Judged]:
    """Return the judged claims of a study, or of all shipped ones (None), on each data set with finished runs.

    Options as in ``fer report``; with a data set, only that one. Raises ResultsError if a study has no claims or no run is
    done.
    """
    given = Choice(profile or "", data, seeds, split, epochs, settings=())
    names = study_names() if study is None else [study]
    found = [judged for name in names for judged in judge_sets(name, compute, given, study is not None, recipe)]
    save_verified(compute.results)
    if found:
        return found
    if study is not None and not load_study(study).claims:
        raise ResultsError(f"{study}: no claims; add them to the study under claims: (text, arm, over or at_least, source)")
    again = train_command(
        study or "scn-cs", replace(given, profile=profile or DEFAULT_PROFILE, recipe=bool(recipe)), compute
    )
    raise ResultsError(f"no run of a study with claims is done under {compute.results}; train it with: {again}")


def judge_sets(name: str, compute: Compute, given: Choice, strict: bool, recipe: bool | None = None) -> Iterator[Judged]:
    """Yield the judged claims of one study by data set, the last first; sets without a finished run are left out."""
    if not load_study(name).claims:
        return
    describe = cache(partial(look_up_set, compute.results, compute.data_root))
    for plan, found, chosen in find_plans(name, compute, given, strict, describe, recipe):
        cells = collect(plan, found)
        judged = Judged(plan, judge_plan(cells, Scales(plan, find_doubts(plan, cells), compute)))
        if chosen or any(one.n for one in judged.judgements):  # else runs of other studies
            yield judged


def tabulate(found: list[Judged]) -> list[tuple[str, ...]]:
    """Return the rows of the table of claims, with the columns of ``HEAD``."""
    return [
        (judged.plan.study.name, judged.plan.data, *describe_judgement(one)) for judged in found for one in judged.judgements
    ]


def describe_judgement(one: Judgement) -> tuple[str, ...]:
    """Return the cells of a judgement after study and data set."""
    p, adjusted = (Number(value, unit="p").text for value in (one.p, one.adjusted))
    return (
        describe_claim(one),
        one.verdict,
        difference_text(one),
        p,
        adjusted,
        str(one.n),
        one.test or DASH,
        one.reproduced,
        explain(one),
    )
