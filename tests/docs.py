"""The pages of ``docs/``: commands, and one per study, from the command line, studies, docstrings and written tables.

``python -m tests.docs`` (``make docs``) writes them again.
"""

from __future__ import annotations

import ast
import importlib.util
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import typer
import yaml
from pydantic import BaseModel
from typer.cli import get_docs_for_click
from typer.main import get_command

from fer_cli import escape
from fer_cli.cli import app
from fer_cli.config import RunConfig
from fer_cli.config.analyses import ANALYSES
from fer_cli.config.networks import ATTENTION, BACKBONES
from fer_cli.places import PACKAGE, shipped_folder
from fer_cli.recipes import read_recipe, write_changes
from fer_cli.report.overview import entry_lines, read_tables
from fer_cli.settings import Settings
from fer_cli.study import Study, load_study, study_names

ROOT = PACKAGE.parent
DOCS = ROOT / "docs"
REGISTRIES: dict[str, Any] = {"model.backbone": BACKBONES, "model.attention": ATTENTION}
"""Setting -> registry whose entry of its value names the code."""
CODE = {
    "learning.method": ("models.scn", "learning.losses", "learning.relabel"),
    "learning.confident": ("learning.confident",),
    "learning.center_weight": ("learning.losses",),
    "model.adapt": ("learning.adapt",),
    "model.downsample": ("models.downsample",),
    "model.parts.conv": ("models.bsconv",),
    "model.regions": ("data.regions",),
    "model.convlstm": ("models.convlstm",),
    "model.temporal": ("models.temporal",),
    "model.region.layer": ("models.region_layer",),
    "model.disentangle": ("models.disentangle",),
    "features.blocks": ("features.hog", "features.sift", "features.fuse"),
    "data.noise_kind": ("data.uncertain",),
    "corrupt.noise": ("data.corrupt",),
    "corrupt.occlusion": ("data.corrupt", "data.occlude"),
    "sequences.model": ("interaction.states", "interaction.hmm"),
    "sequences.incentive": ("interaction.incentives", "interaction.ecem"),
    "sequences.factors": ("interaction.incentives",),
    "simulation": ("interaction.ancova", "interaction.planted"),
}
"""Setting -> modules of the package that its values choose between; their docstrings give source and equations."""


def write_commands() -> str:
    """Return the reference of all commands, by Typer's own generator."""
    group = get_command(app)
    text = get_docs_for_click(obj=group, ctx=typer.Context(group), name="fer", title="Commands")
    kept = [line for line in text.splitlines() if "-completion`" not in line]
    return "\n".join(kept).rstrip() + "\n"


@cache
def read_docstring(module: str) -> str:
    """Return a module's docstring without importing it."""
    found = importlib.util.find_spec(module)
    assert found, module
    assert found.origin, module
    return ast.get_docstring(ast.parse(Path(found.origin).read_text())) or ""


@cache
def read_fields(kind: type[BaseModel]) -> dict[str, str]:
    """Return the text below, else behind, each field of a group of settings in its source."""
    texts: dict[str, str] = {}
    for owner in reversed([one for one in kind.__mro__ if one.__module__.startswith("fer_cli.")]):
        source = Path(str(importlib.util.find_spec(owner.__module__).origin)).read_text()  # type: ignore[union-attr]
        tree = next(
            node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == owner.__name__
        )
        for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
            if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
                continue
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                texts[node.target.id] = " ".join(str(after.value.value).split())
            else:
                texts[node.target.id] = source.splitlines()[(node.end_lineno or 1) - 1].partition("  # ")[2]
    return texts


def describe(setting: str) -> str:
    """Return what the code says of a setting such as ``learning.method``; "" where it says nothing."""
    kind: type[BaseModel] = RunConfig
    *groups, name = setting.split(".")
    for group in groups:
        inner = kind.model_fields[group].annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return ""
        kind = inner
    return read_fields(kind).get(name, "")


def list_settings(study: Study) -> Iterator[tuple[str, Any]]:
    """Yield each setting and value that arms, levels and grid of a study vary, and those of its base."""
    for settings in (study.base, *study.arms.values(), *(one for named in study.levels.values() for one in named.values())):
        yield from settings.items()
    for setting, values in study.grid.items():
        yield from ((setting, value) for value in values)


def list_modules(pairs: list[tuple[str, Any]]) -> list[str]:
    """Return the modules that the values of settings choose, in order."""
    found: dict[str, None] = {}
    for setting, value in pairs:
        registry = REGISTRIES.get(setting)
        if registry is not None and value in registry:
            found[registry[value].code.partition(":")[0]] = None
        if value not in (None, "ce", "none") or setting not in {"learning.method", "learning.confident"}:
            found |= dict.fromkeys(f"fer_cli.{name}" for name in CODE.get(setting, ()))
    return list(found)


def show(value: object) -> str:
    """Return a value as YAML has it, as code of Markdown."""
    return f"`{yaml.safe_dump(value, default_flow_style=True, width=10_000).strip().removesuffix('...').strip()}`"


def setting_table(settings: Settings) -> Iterator[str]:
    """Yield the lines of a table of settings with what the code says of each."""
    yield from ("| setting | value | meaning |", "|---|---|---|")
    for key, value in settings.items():
        text = escape.markdown(describe(key).replace("``", "`")).replace("\\`", "`")
        yield f"| `{key}` | {show(value).replace('|', chr(92) + '|')} | {text} |"
    yield ""


def arm_lines(study: Study) -> Iterator[str]:
    """Yield the lines of arms, levels, grid, and of what data sets and profiles change."""
    yield from ("## Arms", "", "| arm | settings |", "|---|---|")
    for arm, settings in study.arms.items():
        words = ", ".join(f"`{key}` = {show(value)}" for key, value in settings.items()) or "those of the base"
        yield f"| {escape.markdown(arm)} | {words} |"
    yield ""
    for factor, named in study.levels.items():
        yield from (f"Each arm is trained at every level of *{factor}*:", "")
        for level, settings in named.items():
            words = ", ".join(f"`{key}` = {show(value)}" for key, value in settings.items()) or "nothing changed"
            yield f"- {escape.markdown(level)}: {words}"
        yield ""
    for setting, values in study.grid.items():
        yield from (f"Each arm is trained with `{setting}` = {', '.join(map(show, values))}.", "")
    varied = dict.fromkeys(key for arm in study.arms.values() for key in arm)
    if told := [f"- `{key}`: {describe(key).replace('``', '`')}" for key in varied if describe(key)]:
        yield from ("What these settings mean:", "", *told, "")
    added = {f"On `{data}`": settings for data, settings in study.with_data.items()}
    added |= {f"Profile `{profile}`": settings for profile, settings in study.profiles.items()}
    for profile, arms in study.profile_arms.items():
        added |= {f"Profile `{profile}`, arm {escape.markdown(arm)}": settings for arm, settings in arms.items()}
    for where, settings in added.items():
        if settings:
            yield f"{where}: {', '.join(f'`{key}` = {show(value)}' for key, value in settings.items())}."
            yield ""


def claim_lines(study: Study) -> Iterator[str]:
    """Yield the lines of the claims."""
    if study.claims:
        yield from ("## Claims", "", f"Judged by `fer report --claims --study {study.name}`.", "")
        yield from (f"- {escape.markdown(claim.text)} ({escape.markdown(claim.source)})" for claim in study.claims)
        yield ""


def method_lines(modules: list[str]) -> Iterator[str]:
    """Yield the docstrings of modules."""
    yield from ("## Method", "", "As the modules say, with the equations of the papers and where we differ:", "")
    for module in modules:
        path = f"{module.replace('.', '/')}.py"
        yield from (f"[`{path}`](../../{path})", "", "```text", read_docstring(module), "```", "")


def search_lines(name: str) -> Iterator[str]:
    """Yield what was tried for the arms of a study, and chosen on validation parts, from its recipes."""
    folder = shipped_folder("experiments") / "recipes"
    recipes = [recipe for path in sorted(folder.glob("*.yaml")) if (recipe := read_recipe(path)).study == name]
    if recipes:
        yield from ("## Search", "")
    for recipe in recipes:
        counts = sorted({len(tuned.tried) for tuned in recipe.arms.values()})
        seeds = f"seed{'s' * (len(recipe.seeds) > 1)} {', '.join(map(str, recipe.seeds))}"
        where = f", at {write_changes(recipe.at)}" if recipe.at else ""
        yield (
            f"On `{recipe.data}` ([recipe](../../experiments/recipes/{recipe.name}.yaml)): {' to '.join(map(str, counts))} "
            f"settings per arm, {seeds}, {recipe.epochs:g} x epochs{where}; the best on validation images is chosen, test "
            "images are not read. The results below are of the arms' own settings unless they name a recipe."
        )
        yield from ("", "| arm | own settings | best | chosen | by |", "|---|---|---|---|---|")
        for arm, tuned in recipe.arms.items():
            own = next(one.score for one in tuned.tried if not one.settings)
            best = next(one.score for one in tuned.tried if one.settings == tuned.chosen)
            scores = ["diverged" if score is None else f"{score:.3f}" for score in (own, best)]
            cells = [escape.markdown(arm), *scores, escape.markdown(write_changes(tuned.chosen)), f"`{tuned.select_on}`"]
            yield f"| {' | '.join(cells)} |"
        yield ""


def result_lines(name: str) -> Iterator[str]:
    """Yield the answers of the study's written tables."""
    tables = [table for table in read_tables(ROOT / "results") if table.values("study")[0] == name]
    if tables:
        yield from ("## Results", "")
    for table in tables:
        title, _, _, *answer = entry_lines(table, "")
        yield from (
            f"#{title}",
            "",
            *(
                line.replace("](tables/", "](../../results/tables/").replace("](figures/", "](../../results/figures/")
                for line in answer
            ),
        )


def head_lines(name: str, question: str, paper: dict[str, Any]) -> Iterator[str]:
    """Yield title, question and source."""
    yield from (f"# {name}", "", question, "")
    if paper:
        cite = paper["cite"]
        known = (shipped_folder("experiments") / "papers" / f"{cite}.yaml").exists()
        source = f"[{cite}](../../experiments/papers/{cite}.yaml)" if known else cite
        yield from (f"Source: {', '.join(filter(None, [source, escape.markdown(paper.get('figure') or '')]))}.", "")
    yield from (f"The study is [`experiments/{name}.yaml`](../../experiments/{name}.yaml).", "")
    if paper.get("left_out"):
        yield from (
            "Not specified in the paper, and our choices: " + escape.markdown(" ".join(paper["left_out"].split())),
            "",
        )


def write_study(name: str) -> str:
    """Return the page of a study."""
    study = load_study(name)
    lines = [*head_lines(name, study.question, study.paper.model_dump() if study.paper else {}), "## Protocol", ""]
    lines += [f"Seeds {', '.join(map(str, study.seeds))}; every arm starts from:", "", *setting_table(study.base)]
    analyses = [ANALYSES[one].partition(":")[0] for one in study.report.analyses]
    modules = list(dict.fromkeys([*list_modules(list(list_settings(study))), *analyses]))
    lines += [*arm_lines(study), *claim_lines(study), *method_lines(modules)]
    lines += [*search_lines(name), *result_lines(name)]
    return "\n".join(lines).rstrip() + "\n"


def write_simulation(path: Path) -> str:
    """Return the page of a simulation that trains nothing."""
    tree = yaml.safe_load(path.read_text())
    modules = list_modules([("simulation", tree["simulation"])])
    return "\n".join([*head_lines(path.stem, tree["question"], tree["paper"]), *method_lines(modules)]).rstrip() + "\n"


def write_pages() -> dict[str, str]:
    """Return every page: path below ``docs/`` -> text."""
    pages = {"commands.md": write_commands()}
    for path in sorted((ROOT / "experiments").glob("*.yaml")):
        page = write_study(path.stem) if path.stem in study_names() else write_simulation(path)
        pages[f"studies/{path.stem}.md"] = page
    return pages


if __name__ == "__main__":
    shutil.rmtree(DOCS / "studies", ignore_errors=True)  # guides beside it are written by hand
    for page, text in write_pages().items():
        (DOCS / page).parent.mkdir(parents=True, exist_ok=True)
        (DOCS / page).write_text(text)
