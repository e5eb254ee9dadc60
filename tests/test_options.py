"""Options mean the same in all commands: one spelling, one short form, one kind; each has help; plain output where piped."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from fer_cli.cli import app
from tests.conftest import Called

TWO_KINDS = {"--csv"}
"""Flag where the table is printed (``fer runs``), file where pictures are read besides (``fer predict``)."""


def options(group: Any, words: tuple[str, ...] = ("fer",)) -> Iterator[tuple[str, Any]]:
    """Yield the options of every command and group, with the command's words."""
    for parameter in group.params:
        if parameter.param_type_name == "option":
            yield " ".join(words), parameter
    for name, below in getattr(group, "commands", {}).items():
        yield from options(below, (*words, name))


ALL = [(words, option) for words, option in options(get_command(app)) if option.name not in {"help"}]


@pytest.mark.parametrize(("words", "option"), ALL, ids=[f"{words} {option.opts[0]}" for words, option in ALL])
def test_each_option_has_help_that_is_a_sentence(words: str, option: Any) -> None:
    assert option.help
    assert option.help[0].isupper() or option.help.split()[0].rstrip(",:").islower()
    assert option.help.endswith((".", ")"))
    assert all(name.startswith("--") or len(name) == 2 for name in option.opts)


def test_an_option_has_one_spelling_everywhere() -> None:
    spellings: dict[str, set[tuple[str, ...]]] = {}
    shorts: dict[str, set[str]] = {}
    for _, option in ALL:
        long = next(name for name in option.opts if name.startswith("--"))
        spellings.setdefault(long, set()).add(tuple(option.opts))
        for short in set(option.opts) - {long}:
            shorts.setdefault(short, set()).add(long)
    assert {name: found for name, found in spellings.items() if len(found) > 1} == {}
    assert {name: found for name, found in shorts.items() if len(found) > 1} == {}


def test_an_option_is_of_one_kind_everywhere() -> None:
    kinds: dict[str, set[bool]] = {}
    for _, option in ALL:
        kinds.setdefault(option.opts[0], set()).add(bool(option.is_flag))
    assert {name for name, found in kinds.items() if len(found) > 1} == TWO_KINDS


@pytest.mark.parametrize("name", ["--study", "--data-root", "--results", "--profile", "--device", "--precision"])
def test_shared_options_have_the_same_help(name: str) -> None:
    helps = {option.help for words, option in ALL if option.opts[0] == name and not option.help.startswith("Only ")}
    assert len(helps) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["monitor", "--events", "log.csv", "--course", "x", "--consent"], "not --consent, --course"),
        (["monitor", "--events", "log.csv", "--device", "cpu"], "not --device"),
        (["extract-features", "--fuse", "hog", "--run", "3f2a"], "add cnn to --fuse"),
        (["analyze", "ancova", "--study", "ancova", "--on", "id"], "cannot be combined with --on"),
        (["rm", "--empty-bin", "--with-dependents"], "--with-dependents: cannot be combined with --empty-bin"),
        (["rm", "--restore", "3f2a", "--with-dependents"], "--with-dependents: cannot be combined with --restore"),
        (["rm", "3f2a", "--yes"], "--yes: is for --empty-bin"),
        (["report", "--all", "--no-recipe"], "--recipe: cannot be combined with --all"),
        (["report", "--all", "--claims", "--data", "ck48"], "--data: cannot be combined with --all"),
        (["ablate", "--study", "scn-cs", "--plan", "--smoke"], "--plan: cannot be combined with --smoke"),
    ],
)
def test_an_option_without_effect_is_refused(fer: Callable[..., Called], arguments: list[str], words: str) -> None:
    called = fer(*arguments)
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert words in called.err


@pytest.mark.parametrize(
    "environment",
    [{}, {"NO_COLOR": "1"}, pytest.param({"TERM": "dumb"}, marks=pytest.mark.slow)],
    ids=["piped", "NO_COLOR", "dumb"],
)
def test_piped_output_has_no_colours(environment: dict[str, str], tmp_path: Path) -> None:
    for words in (["--help"], ["studies"], ["runs", "--results", str(tmp_path)]):
        done = subprocess.run(
            [sys.executable, "-m", "fer_cli", *words], env={**os.environ, **environment}, capture_output=True, check=False
        )
        assert b"\x1b[" not in done.stdout + done.stderr


@pytest.mark.parametrize("option", ["--results", "--data-root", "FER_DATA"])
def test_a_folder_that_is_not_utf8_is_refused_before_anything_is_done(
    option: str, fer: Callable[..., Called], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parquet files cannot be opened below it: every run would fail at its end, and every build."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    words = ["ablate", "--study", "demo", "--plan"]
    if option == "FER_DATA":
        monkeypatch.setenv(option, str(folder))
    else:
        words += [option, str(folder)]
    done = fer(*words)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "caf\\udce9: a path that is not UTF-8; rename or choose another folder" in done.err
    assert not folder.exists()
