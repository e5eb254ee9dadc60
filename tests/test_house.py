"""The house keeps its shape: imports go one way, the CLI starts light, everything shipped is documented."""

import ast
import re
import resource
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from fer_cli.cli import app
from fer_cli.config import load
from fer_cli.places import PACKAGE
from fer_cli.study import study_names

ROOT = PACKAGE.parent
HEAVY = (
    "torch",
    "pytorch_lightning",
    "mlflow",
    "pandas",
    "cv2",
    "sklearn",
    "scipy",
    "matplotlib",
    "numpy",
    "statsmodels",
    "anny",
    "warp",
)
GUIDE = (ROOT / "CONTRIBUTING.md").read_text()
LINES = GUIDE.split("```")[1].strip().splitlines()
ORDER = [{"__init__"}, *(set(line.split("   ")[0].split()) for line in LINES), {"__main__"}]
"""Rooms by level, as CONTRIBUTING lists them."""
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}
FILES = sorted(PACKAGE.rglob("*.py"))


def module(path: Path) -> str:
    """The dotted name of a file, of a package's for its ``__init__.py``."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module(path): path for path in FILES}


AHEAD = "fer_cli.synthetic.recipe"
"""Says what a set will be that is not drawn yet: the one file of ``synthetic`` that ``data`` asks; else it is above."""


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The modules of the package that a file imports, anywhere in it, for types alone too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative imports hide what is imported"
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in MODULES else str(node.module) for name in full}
    return {name for name in found if name in MODULES} - {"fer_cli", module(path)}


def rooms(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imported(path)}


def test_the_guide_names_every_room_once() -> None:
    named = [name for line in LINES for name in line.split("   ")[0].split()]
    assert sorted(named) == sorted({room(path) for path in FILES} - {"__init__", "__main__"})


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    here = room(path)
    later = {name for name in rooms(path) if LEVEL[name] > LEVEL[here]}
    assert not later, f"{here} imports {later}, which comes after it"
    if here in {"data", "models"}:
        assert not rooms(path) & ({"data", "models"} - {here})


def test_no_file_and_no_room_inside_a_room_imports_itself_by_way_of_others() -> None:
    files = {name: imported(path) for name, path in MODULES.items()}
    assert circle(files) == []
    for deep in (2, 3):  # rooms, and rooms inside rooms: whatever is below is one of them
        folders: dict[str, set[str]] = {}
        for name, used in (files | {"fer_cli.data.manifest": files["fer_cli.data.manifest"] - {AHEAD}}).items():
            here = shortened(name, deep)
            folders.setdefault(here, set()).update({shortened(one, deep) for one in used} - {here})
        assert circle(folders) == []


def shortened(name: str, deep: int) -> str:
    """The folder or file of a module after so many names; of a package's own ``__init__.py`` the file itself."""
    parts = name.split(".")
    whole = len(parts) == deep and MODULES[name].name == "__init__.py" and deep > 2
    return f"{name}.__init__" if whole else ".".join(parts[:deep])


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The names along one circle of a graph, none where there is no circle."""
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return list(error.args[1])
    return []


def test_a_circle_is_seen() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert set(circle({"a": {"b"}, "b": {"a"}})) == {"a", "b"}


def test_the_guide_names_files_and_registries_that_are_there() -> None:
    table = GUIDE.split("## To add ...")[1].split("## Style")[0]
    named = re.findall(r"`([^`]+)`", table)
    files = [name for name in named if name.endswith((".py", "/", ".md")) and "<" not in name]
    lost = [name for name in files if not any((base / name).exists() for base in (ROOT, PACKAGE))]
    assert not lost
    code = {match for path in FILES for match in re.findall(r"^([A-Z][A-Z_]+)\b.* = ", path.read_text(), re.MULTILINE)}
    registries = [name for name in named if re.fullmatch("[A-Z][A-Z_]+", name)]
    assert set(registries) <= code
    assert {"ATTENTION", "BACKBONES", "METRICS", "EXECUTORS", "IMPORTERS", "LABEL_MAPS", "DETECTORS"} <= set(registries)


def test_every_code_that_an_entry_names_is_there() -> None:
    named = {code for path in FILES for code in re.findall(r'"([\w.]+:\w+)"', path.read_text()) if "." in code}
    assert len(named) > 20
    assert all(callable(load(code)) for code in named)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_stay_readable(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name


def test_only_tracking_imports_mlflow_and_report_stays_light() -> None:
    for path in FILES:
        text = path.read_text()
        assert ("import mlflow" not in text and "from mlflow" not in text) or room(path) == "tracking"
        if room(path) == "report":
            assert "import torch" not in text


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    code = f"import sys, fer_cli.cli; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


DRAWING = "import typer, typer.core, typer.main, typer.rich_utils, rich.console, rich.markdown"
"""What typer imports to draw a help text: 0.16 s where ``fer --help`` takes 0.24 s."""


def test_help_answers_in_a_third_of_a_second() -> None:
    """Of processor time, or 1.9 times that of the libraries that draw it: a busy memory bus slows both by half."""
    helps, draws = [], []
    while len(helps) < 10 and min(helps, default=1.0) >= 0.3 and min(helps, default=1.0) >= 1.9 * min(draws, default=0.0):
        helps.append(seconds_of([str(Path(sys.executable).with_name("fer")), "--help"], "ablate"))
        draws.append(seconds_of([sys.executable, "-c", DRAWING]))
    assert min(helps) < 0.3 or min(helps) < 1.9 * min(draws), (helps, draws)


def seconds_of(call: list[str], said: str = "") -> float:
    """Return the processor time of a command, whose output contains ``said``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert said in done.stdout
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def commands(group: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return every command below a group of the command line, as words."""
    below = getattr(group, "commands", None)
    if below is None:
        return [path]
    return [words for name, one in below.items() for words in commands(one, (*path, name))]


COMMANDS = commands(get_command(app))
GUIDES = "\n".join(path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))))
"""What is written for users, without generated pages of studies."""


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_is_in_a_guide_and_has_help_with_an_example(words: tuple[str, ...]) -> None:
    assert f"fer {' '.join(words)}" in " ".join(GUIDES.split())
    shown = CliRunner().invoke(app, [*words, "--help"])
    assert shown.exit_code == 0
    assert "Example" in shown.output


def test_every_study_and_card_is_in_a_guide() -> None:
    papers, recipes = ROOT / "experiments" / "papers", ROOT / "experiments" / "recipes"
    for path in recipes.iterdir():
        assert path.stem.rsplit("-", 2)[0] in study_names() and path.suffix == ".yaml"  # study-data-profile
    for path in [
        *({*(ROOT / "experiments").iterdir()} - {papers, recipes}),
        *papers.iterdir(),
        *(ROOT / "data_cards").iterdir(),
    ]:
        assert f"`{path.stem}`" in GUIDES, path.name
        assert path.suffix in {".yaml", ".md"}


def test_changelog_citation_and_package_agree() -> None:
    from fer_cli import __version__

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    heading = re.findall(r"^## (\S+) \((\S+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]
    assert (cited["version"], str(cited["date-released"])) == heading
    assert cited["version"] == __version__
    assert cited["license"] == project["license"]
    assert cited["authors"] == project["authors"]
    assert cited["keywords"] == project["keywords"]
