"""Run ids of every shipped study: what a change of the code must not move by accident.

``python -m tests.golden`` writes ``golden.csv`` again; whoever commits it says in the message why results changed.
"""

import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path

from fer_cli.config import Known
from fer_cli.errors import StudyError
from fer_cli.expand import expand
from fer_cli.study import Choice, load_study, study_names
from fer_cli.tasks import task_of

FILE = Path(__file__).with_name("golden.csv")
SETS = {
    "": Known(people=2),
    "ck48": Known(people=2),
    "fer2013": Known(frozenset({"train", "public", "private"})),
    "rafdb": Known(frozenset({"train", "test"})),
    "expw": Known(),
}
"""Data set a study runs on, none for its own -> what such a set says of its images."""


def rows() -> Iterator[tuple[str, str, str, int, str]]:
    """Yield study, profile, data set, number of runs, and 16 hex digits over their ids in order; "-" where it is refused."""
    for name in study_names():
        study = load_study(name)
        for profile in sorted({*study.profiles, "small"}):
            for data, known in SETS.items():
                try:
                    runs = expand(study, Choice(profile, data or None), lambda _, known=known: known)
                except StudyError:
                    yield name, profile, data, 0, "-"
                    continue
                chains = [run.config for run in runs]
                ways = [way for run in chains for way in (task_of(run).before(run), task_of(run).training(run))]
                begun = [config for config in ways if config is not None]
                ids = "\n".join(config.run_id("0123456789abcdef") for config in [*chains, *begun])
                yield name, profile, data, len(runs), hashlib.sha256(ids.encode()).hexdigest()[:16]


if __name__ == "__main__":
    with FILE.open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([("study", "profile", "data", "runs", "ids"), *rows()])
