"""Made-up results of a small study, and the report of them."""

from pathlib import Path

from fer_cli.config import Machine
from fer_cli.plan import Plan, make_plan
from fer_cli.report import make_report
from fer_cli.study import Choice
from tests.conftest import STUDY
from tests.fakes import filled

PAPER = """
paper:
  cite: someone-2025
  published:
    - {arm: SCN-CS, data: MMI, metric: accuracy, value: 0.958, where: Table 1 & text, note: "50 % of it"}
"""
SCORES = {
    ("CNN", 0.0): [0.80, 0.70, 0.90],
    ("SCN-CS", 0.0): [0.85, 0.77, 0.87],
    ("CNN", 0.3): [0.50, 0.60, 0.70],
    ("SCN-CS", 0.3): [0.50, 0.60, 0.70],
}


CONFUSION = [[20, 0, 0], [0, 15, 0], [0, 0, 15]]
"""Rows are the truth; only how many images each class has is looked at."""


SIZES = {"train": 80, "val": 20, "test": 50}
"""Images of the parts: the test part is half as many as are trained on or choose the checkpoint, as of three folds."""


def fake_results(plan: Plan, scores: dict[tuple[str, float], list[float]], split: str = "s") -> None:
    for item in plan.items:
        noise = dict(item.run.at).get("data.label_noise", 0.0)
        value = scores[item.run.arm, noise][item.run.seed]
        leaky = item.run.config.data.split == "random"
        made = filled(
            {
                "run_id": item.run_id,
                "fingerprint": item.fingerprint,
                "config": item.run.config.model_dump(mode="json"),
                "metrics": {
                    part: {"accuracy": score, "macro_f1": score / 2, "n": 50, "confusion": CONFUSION}
                    for part, score in (("val", min(1.0, value + 0.1)), ("test", value))
                },
                "selection": {"rule": "val/macro_f1", "epoch": 2},
                "data": {
                    **SIZES,
                    "split_hash": f"{split}{item.run.seed}{leaky}",
                    "shared_subjects": 3 * leaky,
                    "test_subjects": 4,
                    "dropped": {},
                },
                "health": {},
                "relabelled": None,
                "warnings": ["relabelling is inert: no label was replaced"] if item.run.arm == "SCN-CS" else [],
                "machine": {"device": "cpu", "precision": "fp32", "threads": 1},
                "provenance": {"commit": "abc", "dirty": False, "fer": "0.1.0"},
                "seconds": {"total": 4.0},
            }
        )
        item.folder.write_result(made)


def report(plan: Plan, machine: Machine, tmp_path: Path) -> str:
    return make_report(str(tmp_path / "tiny.yaml"), machine).markdown


def rows(markdown: str, title: str) -> dict[str, list[str]]:
    section = markdown.split(f"## {title}")[1].split("##", maxsplit=1)[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {row[0]: row[1:] for row in cells if set(row[0]) != {"-"}}


def planned(tmp_path: Path, machine: Machine) -> Plan:
    """Return a plan whose every run has a made-up result."""
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY + PAPER)
    made = make_plan(str(path), Choice(), machine)
    fake_results(made, SCORES)
    return made
