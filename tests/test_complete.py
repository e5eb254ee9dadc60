"""Shell completion: studies, files, profiles, sets and runs, as the shell asks for them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fer_cli.study import study_names


def ask(words: str, folder: Path, **environment: str) -> set[str]:
    """What a bash that has typed ``words`` would offer."""
    typed = {"_FER_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'fer'; from fer_cli.cli import main; main()"],
        env={**os.environ, **typed, **environment, "PYTHONPATH": str(Path(__file__).parents[1])},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return set(done.stdout.split())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nquestion: q\narms: {A: {}}\nprofiles: {tiny: {}}\nreport: {against: A}\n"
    )
    for name in ("3f2a00000000", "3f2b00000000", "91bc00000000"):
        (tmp_path / "results" / "runs" / name).mkdir(parents=True)
    (tmp_path / "data" / "photos").mkdir(parents=True)
    (tmp_path / "data" / "photos" / "set.json").write_text("{}")
    return tmp_path


def test_names_are_completed(home: Path) -> None:
    assert ask("fer ablate --study scn", home) == {name for name in study_names() if name.startswith("scn")}
    assert ask("fer ablate --study m", home) == {"mine.yaml", "multiscale-comparison"}
    assert ask("fer ablate --study ./m", home) == {"./mine.yaml"}
    assert ask("fer ablate --study mine.yaml --profile ", home) == {"tiny", "small"}
    assert ask("fer ablate --data ph", home, FER_DATA=str(home / "data")) == {"photos"}
    assert ask("fer show 3f", home) == {"3f2a00000000", "3f2b00000000"}
    assert ask("fer study new mine --from dem", home) == {"demo"}


def test_folders_that_are_missing_offer_nothing(tmp_path: Path) -> None:
    assert ask("fer show 3", tmp_path) == set()
    assert ask("fer ablate --study nowhere/x", tmp_path) == set()
