"""The wheel: it holds the package with all it ships, and works where nothing of the checkout can be imported."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fer_cli import __version__
from fer_cli.places import PACKAGE

ROOT = PACKAGE.parent
pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Run a program, which must end well, and return what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=os.environ | variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


NAMES = """
import fer_cli
from fer_cli.papers.read import paper_names
from fer_cli.study import study_names

print(fer_cli.__file__, *study_names(), *paper_names())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as ``pip install .`` builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the installed wheel alone; its requirements are those of this environment."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, wheel, cwd=folder)
    return folder


def test_the_wheel_holds_every_shipped_file_and_no_other(wheel: Path) -> None:
    tracked = run("git", "ls-files", "fer_cli", "experiments", "data_cards", cwd=ROOT).split()
    shipped = {name if name.startswith("fer_cli/") else f"fer_cli/{name}" for name in tracked}
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == shipped
    assert wheel.name.startswith(f"fer_cli-{__version__}-")
    assert wheel.stat().st_size < 8e6


def test_the_installed_command_lists_plans_draws_and_trains_elsewhere(installed: Path, tmp_path: Path) -> None:
    """One set is drawn (meshes), every study is read, a run is trained, and its page is written (templates)."""

    def fer(*words: str) -> str:
        return run(
            sys.executable, installed / "bin" / "fer", *words, cwd=tmp_path, PYTHONPATH=str(installed), HOME=str(tmp_path),
            FER_DATA=str(tmp_path / "data"), FER_RESULTS=str(tmp_path / "results"),
        )  # fmt: skip

    place, *names = run(sys.executable, "-c", NAMES, cwd=tmp_path, PYTHONPATH=str(installed)).split()
    assert Path(place).is_relative_to(installed)
    assert {"scn-cs", "sun-2024"} <= set(names)
    assert fer("--version") == f"fer {__version__}\n"
    assert "synth-basic" in fer("data", "list")
    fer("data", "build", "synth-basic", "--images", "120", "--subjects", "20", "--size", "24")
    one = ("--study", "demo", "--profile", "smoke", "--seeds", "1")
    assert "subject folds" in fer("ablate", *one, "--only", "subject folds", "--plan")
    fer("ablate", *one, "--only", "subject folds")
    fer("report", *one[:4], "--html")
    assert (tmp_path / "results" / "pages" / "index.html").exists()
    assert len(list((tmp_path / "results" / "tables").iterdir())) >= 3
