"""What MLflow shows of a study, in its parent run: data set, commit, profile, a metric per arm, tables and figures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fer_cli.attempts import attempt, is_given_up
from fer_cli.config import METRICS
from fer_cli.escape import markdown
from fer_cli.inventory.store import STORE, find_parent
from fer_cli.report.render import FILES
from fer_cli.results import Result
from fer_cli.stats import sample_sd
from fer_cli.tracking import (
    Mirror,
    find_run,
    given_uri,
    keep_artifact,
    new_client,
    place_tags,
    study_folder,
)
from fer_cli.uses import Use

if TYPE_CHECKING:
    from fer_cli.plan import Plan

Client = Any
"""An ``MlflowClient``; only ``tracking`` imports MLflow."""
DRAWINGS = (".png", ".svg", ".pdf")
LONGEST = 4000
"""Characters of a description; MLflow takes 8,000 of a tag, older servers 5,000."""
LONGEST_NAME = 240


@dataclass
class Group:
    """The finished runs of one plan by arm and grid point.

    ``scores``: of its metric on the test part, of trials on the validation part, one per seed.
    """

    use: Use
    scores: dict[str, list[float]] = field(default_factory=dict)
    commits: dict[str, None] = field(default_factory=dict)

    def add(self, place: str, result: Result) -> None:
        """Add a finished run in a table."""
        code = result.origin.provenance
        self.commits[f"{code.version}{' with uncommitted changes' if code.dirty else ''}"] = None
        self.scores.setdefault(place, []).append(result.scores[self.use.metric])

    @property
    def tags(self) -> dict[str, str]:
        """Return the tags of the parent run; ``mlflow.note.content`` is the description that MLflow shows."""
        known = {"study": self.use.study, "data": self.use.data, "profile": self.use.profile}
        commits = {"commit": ", ".join(sorted(self.commits))} if self.commits else {}
        return {**{key: value for key, value in known.items() if value}, **commits, "mlflow.note.content": self.note}

    @property
    def metrics(self) -> dict[str, float]:
        """Return the mean over seeds by arm and grid point, e.g. ``accuracy/SCN/data.label_noise 0.2``."""
        names = name_metrics(self.use.metric, sorted(self.scores))
        return {name: float(np.mean(self.scores[place])) for name, place in zip(names, sorted(self.scores), strict=True)}

    @property
    def note(self) -> str:
        """Return title and a table of means with sample standard deviation and number of seeds, as Markdown."""
        label = METRICS[self.use.metric].label
        lines = [f"**{markdown(self.use.title)}**"]
        lines += ["", f"| arm | {label} in %: mean ± sd (seeds) |", "|---|---|"] if self.scores else []
        for place, scores in sorted(self.scores.items()):
            sd = sample_sd(scores)
            spread = "" if sd is None else f" ± {100 * sd:.2f}"
            lines.append(f"| {markdown(place)} | {100 * float(np.mean(scores)):.2f}{spread} ({len(scores)}) |")
        while len("\n".join(lines)) > LONGEST:
            lines.pop()
        return "\n".join(lines)


def name_metrics(metric: str, places: Iterable[str]) -> list[str]:
    """Return the names of metrics in MLflow, which allows few characters; equal ones are numbered."""
    names: list[str] = []
    for place in places:
        parts = [re.sub(r"[^A-Za-z0-9_\-. :]", "_", part).strip() for part in place.split(" · ")]
        safe = [part if part.strip(". ") else f"_{part}" for part in parts]
        name, number = "/".join([metric, *safe])[:LONGEST_NAME].rstrip("/ "), 2
        while name in names:
            name, number = f"{name} {number}", number + 1
        names.append(name)
    return names


def group_plan(plan: Plan) -> Group | None:
    """Return the finished runs of a plan, or None if there is none."""
    from fer_cli.ablate import use_of

    group: Group | None = None
    for item in plan.items:
        if isinstance(result := item.folder.find_result(), Result):
            use = use_of(plan, item, table=True)
            group = group or Group(use)
            group.add(use.place, result)
    return group


def fill_parent(client: Client, mirror: Mirror, results: Path, group: Group) -> None:
    """Set what differs of a parent run's tags and metrics, and copy the study's tables and figures to its artifacts."""
    run = client.get_run(mirror.parent)
    for key, value in group.tags.items():
        if run.data.tags.get(key) != value:
            client.set_tag(mirror.parent, key, value)
    for key, number in group.metrics.items():
        if run.data.metrics.get(key) != number:
            client.log_metric(mirror.parent, key, number)
    keep_outputs(client, mirror, results, group.use.stem)


def keep_outputs(client: Client | None, mirror: Mirror, results: Path, stem: str) -> None:
    """Copy the written tables and figures of a plan to the artifacts of its parent run."""
    for name in FILES:
        if stem and (path := results / "tables" / f"{stem}.{name}").is_file():
            keep_artifact(client, mirror, mirror.parent, path, "tables")
    folder = results / "figures" / stem
    for path in sorted(folder.glob("*")) if stem and folder.is_dir() else ():
        if path.suffix in DRAWINGS and path.is_file():
            keep_artifact(client, mirror, mirror.parent, path, "figures")


def log_plan(plan: Plan, results: Path) -> None:
    """Show the finished runs of a plan in its parent run, if it is mirrored; a failing store costs a warning."""
    uri, known = locate(results, plan.title, plan.study.name)
    if not is_given_up(uri) and known is not None and (group := group_plan(plan)) is not None:
        attempt(uri, lambda: fill_parent(new_client(uri), known, results, group), "means and tables are not mirrored")


def log_report(results: Path, study: str, title: str, stem: str) -> None:
    """Copy written tables and figures to the parent run, if there is a mirror; of the store in results without MLflow."""
    if not given_uri(results) and not (results / STORE).is_file():
        return
    uri, known = locate(results, title, study)
    if known is not None:
        client = None if known.artifacts else new_client(uri)
        attempt(uri, lambda: keep_outputs(client, known, results, stem), "tables and figures are not mirrored")


def locate(results: Path, title: str, study: str) -> tuple[str, Mirror | None]:
    """Return the URI of the store, and the parent run of a plan in it, if it is mirrored."""
    from fer_cli.tracking import store_uri

    uri = given_uri(results)
    if not uri:
        found = find_parent(results, title)
        if found is None:
            return "", None
        own = str(results.resolve() / "mlartifacts" / study_folder(found[1]))
        return store_uri(results), Mirror(store_uri(results), found[0], found[2], own)
    mirrors: list[Mirror] = []

    def look() -> None:
        client = new_client(uri)
        if (experiment := client.get_experiment_by_name(study)) is not None:
            wanted: Mapping[str, str] = {"fer.title": title, "fer.kind": "study", **place_tags(results)}
            if (run := find_run(client, experiment.experiment_id, wanted)) is not None:
                mirrors.append(Mirror(uri, experiment.experiment_id, run.info.run_id))

    attempt(uri, look, "means, tables and figures are not mirrored")
    return uri, mirrors[0] if mirrors else None
