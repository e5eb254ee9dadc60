"""What a table says of the weights that networks start from."""

from pathlib import Path

from fer_cli.config import Compute
from fer_cli.plan import make_plan
from fer_cli.report.origin import describe_weights
from fer_cli.study import Choice
from tests.conftest import STUDY

STARTED = """  CNN: {}
  small: {model.pretrain: synth-basic}
  other: {model.pretrain: synth-basic, model.backbone: resnet10-small}
"""


def test_each_pre_training_names_the_arms_that_start_from_it(compute: Compute, tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY.replace("  CNN: {}\n  SCN-CS: {learning.method: scn-cs}\n", STARTED))
    plan = make_plan(str(path), Choice(), compute)
    starts = {item.run.arm: item.start.run_id for item in plan.items if item.start is not None}
    said = describe_weights(plan, plan.items).replace("; classifier at random", "")
    small, other, rest = said.split("; ")
    assert f"run {starts['small']})" in small and small.endswith(", for small")
    assert f"run {starts['other']})" in other and other.endswith(", for other")
    assert rest == "random initialisation for the others"
