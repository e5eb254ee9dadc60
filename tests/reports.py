"""Made-up results of a small study, and the report of them."""

from pathlib import Path

from fer_cli.config import Compute
from fer_cli.plan import Plan, make_plan
from fer_cli.report import make_report
from fer_cli.study import Choice
from tests.conftest import STUDY
from tests.fakes import fake_result, leave, spread

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


PARTS = {"val": (16, 12, 12), "test": (40, 30, 30)}
"""Images of each class in the parts that are predicted."""
SIZES = {"train": 160, "val": 40, "test": 100}
"""Images of the parts: the test part is half as many as are trained on or choose the checkpoint, as of three folds."""


def fake_results(plan: Plan, scores: dict[tuple[str, float], list[float]], split: str = "s") -> None:
    """Leave results with these accuracies: those of validation are higher by 0.1."""
    for item in plan.items:
        noise = dict(item.run.at).get("data.label_noise", 0.0)
        value = scores[item.run.arm, noise][item.run.seed]
        leaky = item.run.config.data.split == "random"
        made = fake_result(
            item.run_id,
            item.run.config,
            {"val": spread(min(1.0, value + 0.1), PARTS["val"]), "test": spread(value, PARTS["test"])},
            fingerprint=item.fingerprint,
            data={**SIZES, "split_hash": f"{split}{item.run.seed}{leaky}", "shared_subjects": 3 * leaky},
            warnings=["relabelling is inert: no label was replaced"] if item.run.arm == "SCN-CS" else [],
        )
        leave(item.folder, made)


def report(plan: Plan, compute: Compute, tmp_path: Path) -> str:
    return make_report(str(tmp_path / "tiny.yaml"), compute).markdown


def rows(markdown: str, title: str) -> dict[str, list[str]]:
    section = markdown.split(f"## {title}")[1].split("##", maxsplit=1)[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {row[0]: row[1:] for row in cells if set(row[0]) != {"-"}}


def planned(tmp_path: Path, compute: Compute) -> Plan:
    """Return a plan whose every run has a made-up result."""
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY + PAPER)
    made = make_plan(str(path), Choice(), compute)
    fake_results(made, SCORES)
    return made
