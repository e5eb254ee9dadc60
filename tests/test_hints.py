"""The command printed as the next one leads to the same plan; every help has an example and shows its defaults."""

import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer.main
from hypothesis import given
from hypothesis import strategies as st

from fer_cli.choices import remember
from fer_cli.cli import app
from fer_cli.cli.advice import study_command
from fer_cli.cli.options import parse_seeds
from fer_cli.commands import write_command, write_seeds
from fer_cli.config import Compute
from fer_cli.plan import make_plan
from fer_cli.study import Choice
from fer_cli.synthetic.build import build_embedded
from tests.conftest import STUDY, Called
from tests.reports import fake_results

Fer = Callable[..., Called]


@given(st.lists(st.integers(0, 99), min_size=1, max_size=6, unique=True).map(tuple))
def test_seeds_are_read_as_they_were_written(seeds: tuple[int, ...]) -> None:
    assert parse_seeds(write_seeds(seeds)) == seeds


@given(st.lists(st.text(min_size=1).filter(lambda text: "\0" not in text), min_size=1, max_size=3))
def test_commands_are_quoted_for_a_shell(words: list[str]) -> None:
    command = write_command("fer ablate", study=words[0], only=words, plan=True, data=None, smoke=False)
    pairs = [word for text in words for word in ("--only", text)]
    assert shlex.split(command) == ["fer", "ablate", "--study", words[0], *pairs, "--plan"]


@pytest.fixture
def place(tmp_path: Path, data_root: Path) -> Path:
    """A folder whose name a shell would take apart, with a study and a data root in it."""
    folder = tmp_path / "it's; a (place)"
    shutil.copytree(data_root, folder / "data")
    (folder / "tiny.yaml").write_text(STUDY)
    return folder


def hint(called: Called) -> list[str]:
    """Return the words of the command in the last line."""
    return shlex.split(called.err.strip().splitlines()[-1].partition("next: ")[2])


def ids(called: Called) -> list[str]:
    assert called.code == 0, called.err
    return [line.split("\t")[0] for line in called.out.splitlines()[1:]]


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--seeds", "1"],
        ["--seeds", "2,", "--only", "SCN-CS"],
        ["--seeds", "2,0", "--split", "random", "--jobs", "2", "--no-track"],
        ["--data", "ck48", "--profile", "small", "--precision", "fp32", "--device", "cpu"],
    ],
)
def test_the_command_after_a_plan_and_a_smoke_test_has_the_same_plan(fer: Fer, place: Path, options: list[str]) -> None:
    where = ["--study", place / "tiny.yaml", "--data-root", place / "data", "--results", place / "my results"]
    planned = fer("ablate", *where, *options, "--plan")
    assert ids(fer(*hint(planned)[1:], "--plan")) == ids(planned)
    if "--only" in options:
        assert hint(fer("ablate", *where, *options, "--smoke")) == hint(planned)


def test_the_commands_after_a_report_have_its_plan(fer: Fer, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are missing at first; the choice is not the study's own, and is not typed but the one that was trained last."""
    compute = Compute(data_root=place / "data", results=place / "my results")
    choice = Choice(seeds=(0, 2), split="random")
    plan = make_plan(str(place / "tiny.yaml"), choice, compute)
    scores = {(arm, noise): [0.5, 0.6, 0.7] for arm in ("CNN", "SCN-CS") for noise in (0.0, 0.3)}
    fake_results(plan, scores)
    missing = plan.items[3].folder.path
    shutil.move(missing, place / "aside")
    remember(plan, compute.results)
    where = ["--study", place / "tiny.yaml", "--data-root", place / "data", "--results", place / "my results"]
    report = fer("report", *where)
    again = hint(report)
    assert again[:2] == ["fer", "ablate"]
    assert sorted(ids(fer(*again[1:], "--plan"))) == sorted(item.run_id for item in plan.items)
    shutil.move(place / "aside", missing)
    figures = hint(fer("report", *where))
    assert figures[:2] == ["fer", "report"] and figures[-1] == "--figures"
    assert fer(*figures[1:-1]).out == fer("report", *where).out
    monkeypatch.setenv("FER_RESULTS", str(place / "my results"))
    assert "--results" not in hint(fer("report", *where[:4]))


@pytest.mark.parametrize(
    ("name", "study"),
    [
        pytest.param("synth-gesture-time", "region-layer", marks=pytest.mark.slow),
        ("synth-order", "order"),
        pytest.param("synth-lecture", "temporal-attention", marks=pytest.mark.slow),
    ],
)
def test_a_study_of_clips_is_proposed_for_clips(tmp_path: Path, name: str, study: str) -> None:
    build_embedded(name, tmp_path, {"images": 70, "subjects": 10, "size": 24, "frames": [2, 2]})
    assert study_command(name, tmp_path, None) == f"fer ablate --study {study} --data {name}"


def commands(group: typer.core.TyperGroup, words: tuple[str, ...] = ()) -> Iterator[tuple[str, typer.core.TyperCommand]]:
    """Yield every command with the words that call it."""
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            yield from commands(command, (*words, name))
        else:
            yield " ".join((*words, name)), command  # type: ignore[misc]


COMMANDS = dict(commands(typer.main.get_command(app)))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_an_example_and_shows_all_that_was_written(
    fer: Fer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written in square brackets is taken for mark-up and swallowed, if nobody looks."""
    monkeypatch.setenv("COLUMNS", "400")
    command = COMMANDS[name]
    assert re.match(rf"Examples?: fer {name}\b", command.epilog or ""), command.epilog
    shown = " ".join(re.sub(r"[│─╭╮╰╯]", " ", fer(*name.split(), "--help").out).split())
    for parameter in command.params:
        text = " ".join((getattr(parameter, "help", None) or "").split())
        assert text and text in shown, text
        if isinstance(parameter.show_default, str):  # type: ignore[attr-defined]
            assert f"[default: ({parameter.show_default})]" in shown  # type: ignore[attr-defined]
    for words in (command.epilog or "").removeprefix("Examples:").removeprefix("Example:").split(" · "):
        assert words.strip() in shown
