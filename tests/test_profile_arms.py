"""Settings that a profile adds to one arm."""

from pathlib import Path

import pytest

from fer_cli.errors import StudyError
from fer_cli.expand import expand
from fer_cli.study import Choice, load_study


def test_a_profile_adds_settings_to_one_arm(tmp_path: Path) -> None:
    text = """
name: own
question: q?
base: {train.epochs: 10}
arms: {a: {}, b: {model.backbone: mini-xception}}
profiles: {small: {}, paper: {train.epochs: 60}}
profile_arms: {small: {b: {train.epochs: 30, train: {lr: 1e-3}}}}
report: {against: a}
seeds: [0]
"""
    (tmp_path / "own.yaml").write_text(text)
    study = load_study(str(tmp_path / "own.yaml"))
    epochs = {
        profile: [run.config.train.epochs for run in expand(study, Choice(profile=profile))]
        for profile in ("small", "paper")
    }
    assert epochs == {"small": [10, 30], "paper": [60, 60]}
    assert expand(study, Choice())[1].config.train.lr == 1e-3
    for wrong, words in (("smal: {b", "no profile 'smal'"), ("small: {c", "no arm 'c'")):
        (tmp_path / "own.yaml").write_text(text.replace("profile_arms: {small: {b", f"profile_arms: {{{wrong}"))
        with pytest.raises(StudyError, match=words):
            load_study(str(tmp_path / "own.yaml"))
