"""Every command and block of README and guides works as printed; those of hours, clusters and cameras are parsed."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
import typer
import yaml
from typer.exceptions import TyperException
from typer.main import get_command

from fer_cli.cli import app
from fer_cli.errors import FerError
from fer_cli.expand import expand
from fer_cli.papers.read import read_paper
from fer_cli.study import Choice, load_study
from tests.newcomer import furnish
from tests.readme import KINDS, ROOT, Block, Line, blocks, lines, mentioned, read_marks

FER = get_command(app)
LINES = [line for line in lines() if line.words[0] == "fer"]
OTHERS = [line for line in lines() if line.words[0] != "fer"]
FINDINGS = {"fer data check rafdb": 1, "fer audit-paper my-paper.yaml --fail": 1}
"""Exit codes that mean findings: the set here is smaller than its card says, the example of a paper has errors."""
RUN_ID = re.compile(r"(?<![\w.-])(?=\w*\d)(?:[0-9a-f]{12}|[0-9a-f]{4})(?![\w.-])|^RUN$")


def parse(words: list[str], whole: bool) -> None:
    """Parse ``fer ...`` without calling it: its commands and options exist, and, of a whole one, nothing is missing."""
    context = typer.Context(FER, info_name="fer")
    rest = words[1:]
    while hasattr(context.command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in context.command.commands, f"no command '{rest[0]}'"
        context = typer.Context(context.command.commands[rest[0]], parent=context, info_name=rest.pop(0))
    if whole:
        context.command.make_context(context.info_name, rest, parent=context.parent)
    known = {option for parameter in context.command.get_params(context) for option in parameter.opts}
    unknown = {word.split("=")[0] for word in rest if word.startswith("-")} - known
    assert not unknown, f"no option {unknown}"


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.page} {line.number} {line.text}")
def test_a_command_parses(line: Line) -> None:
    parse(list(line.words), whole=True)


@pytest.mark.parametrize(("place", "text"), list(mentioned()))
def test_a_command_within_the_text_has_the_options_it_is_shown_with(place: str, text: str) -> None:
    parse(text.split(" | ", maxsplit=1)[0].replace("...", "").split(), whole=False)


def test_a_wrong_command_and_a_wrong_option_are_seen() -> None:
    for words in ("fer abate", "fer ablate --studdy x", "fer data bild x"):
        with pytest.raises(AssertionError, match=r"no (command|option)"):
            parse(words.split(), whole=False)
    with pytest.raises(TyperException):
        parse(["fer", "diff", "3f2a"], whole=True)


@pytest.mark.parametrize("line", OTHERS, ids=lambda line: f"{line.page} {line.number} {line.text}")
def test_commands_of_other_programs_name_what_is_there(line: Line) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    match line.words:
        case ("make", *targets):
            known = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            assert targets
            assert set(targets) <= set(known)
        case ("pip", "install", *packages):
            extras = [extra for package in packages for extra in re.findall(r"\[(.+)\]", package)[0].split(",")]
            assert set(extras) <= set(project["optional-dependencies"])
        case ("mlflow", *_):
            assert any(one.startswith("mlflow") for one in project["dependencies"])
        case _:
            assert line.words[0] in {"git", "cd", "."}


@pytest.mark.parametrize("block", blocks(), ids=lambda block: f"{block.page} {block.number} {block.kind}")
def test_a_block_says_what_it_is_and_can_be_read(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert block.kind in KINDS
    begun = {begin for begin in block.skipped if not any(line.text.startswith(begin) for line in block.lines())}
    assert not begun, "no line of the block begins so"
    if block.kind == "json":
        assert all(json.loads(line) for line in block.text.splitlines())
    if block.kind == "python":
        ast.parse(block.text)
    if block.kind == "yaml":
        for other in blocks():
            if other.kind == "python" and other.file:
                (tmp_path / other.file).write_text(other.text)
        monkeypatch.chdir(tmp_path)
        check_yaml(block.text, tmp_path)


def check_yaml(text: str, folder: Path) -> None:
    """Read a study, parts of a study (added to scn-cs), or a paper's tables, as ``fer`` does."""
    tree = yaml.safe_load(text)
    if "tables" in tree:
        read_paper(tree)
        return
    whole = {**yaml.safe_load((ROOT / "experiments" / "scn-cs.yaml").read_text()), **tree} if "name" not in tree else tree
    file = folder / f"{whole['name']}.yaml"
    file.write_text(yaml.safe_dump(whole, sort_keys=False))
    assert expand(load_study(str(file)), Choice())


def test_yaml_that_no_command_would_take_is_seen(tmp_path: Path) -> None:
    check_yaml("seeds: [0, 1]", tmp_path)
    with pytest.raises(FerError, match="unknown key"):
        check_yaml("sedes: [0, 1]", tmp_path)


def test_marks_are_understood_or_refused() -> None:
    marks = '<!-- test: skip because it runs\nfor hours -->\n<!-- test: skip "fer a" because it needs a camera -->'
    assert read_marks(marks) == {"": "it runs for hours", "fer a": "it needs a camera"}
    with pytest.raises(ValueError, match="not understood"):
        read_marks("<!-- test: skip -->")


def test_most_commands_run() -> None:
    skipped = [line for line in LINES if line.skipped]
    assert len(skipped) < len(LINES) / 4
    assert all(len(line.skipped or "") > 10 for line in skipped)


def call(words: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """Call ``fer`` in this process; return exit code and what it printed."""
    from fer_cli.cli import main

    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0), out.getvalue(), err.getvalue()
    raise AssertionError("main always exits")


class Shell:
    """Runs lines as a shell would: ``~``, ``>``, and, for the ids of runs in the README, those of runs that are there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.ids: dict[str, str] = {}

    def run(self, line: Line) -> str:
        """Run a line and return what went wrong, or nothing."""
        words = [RUN_ID.sub(self.find_run, word) for word in line.smaller()]
        code, out, err = call([str(Path(word).expanduser()) if word[0] == "~" else word for word in words], self.monkeypatch)
        if line.output:
            Path(line.output).write_text(out)
        expected = next((code for begin, code in FINDINGS.items() if line.text.startswith(begin)), 0)
        return "" if code == expected else f"{line.page} {line.number}: {' '.join(words)}: exit code {code}\n{err}"

    def find_run(self, shown: re.Match[str]) -> str:
        """Return the id of a finished run: the same for ids that begin alike, runs on the study's own set first."""
        done = sorted(Path("results/runs").glob("*/result.json"), key=lambda path: "ck48" in path.read_text())
        free = [path.parent.name for path in done if path.parent.name not in self.ids.values()]
        return self.ids.setdefault(shown[0][:4], free[0])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_command_runs_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    furnish(work, home)
    (work / "events.jsonl").write_text("".join(block.text for block in blocks() if block.kind == "json"))
    monkeypatch.chdir(work)
    monkeypatch.syspath_prepend(work)
    monkeypatch.setenv("HOME", str(home))
    for name in ("FER_DATA", "FER_RESULTS", "FER_CACHE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    shell, wrong = Shell(monkeypatch), []
    for block in blocks():
        if block.file:
            (work / block.file).write_text(block.text)
        wrong += [shell.run(line) for line in block.lines() if line in LINES and not line.skipped]
    assert not any(wrong), "\n".join(filter(None, wrong))
