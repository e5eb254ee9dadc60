"""Suggested next commands, built from the given options and quoted for a shell."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_cli.errors import FerError

if TYPE_CHECKING:
    from fer_cli.plan import Plan
    from fer_cli.study import Choice

STUDY = "scn-cs"
"""Study suggested for a data set of labelled faces."""
CLIP_STUDIES = {"basic": "temporal-attention", "gesture": "region-layer", "order": "order"}
"""Recipe of an embedded set of clips -> study suggested for it."""


def write_command(words: str, *arguments: str | Path, **options: Any) -> str:
    """Return a shell-quoted command. Options that are None, False or empty are left out; True is a flag, a list repeats."""
    parts = words.split() + [str(argument) for argument in arguments]
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        for item in value if isinstance(value, list | tuple) else [value]:
            if item is True:
                parts.append(option)
            elif item is not None and item is not False:
                parts += [option, str(item)]
    return shlex.join(parts)


def given_results(results: Path) -> Path | None:
    """Return the results folder unless it is the default one."""
    return None if results == Path(os.environ.get("FER_RESULTS", "results")) else results


def choice_options(choice: Choice) -> dict[str, Any]:
    """Return the options that reproduce a choice of data, profile, seeds, split, epochs, recipe and settings."""
    from fer_cli.study import DEFAULT_PROFILE

    return {
        "data": choice.data,
        "profile": None if choice.profile == DEFAULT_PROFILE else choice.profile,
        "seeds": None if choice.seeds is None else write_seeds(choice.seeds),
        "split": choice.split,
        "epochs": choice.epochs,
        "recipe": choice.recipe,
        "set": choice.settings,
    }


def report_options(plan: Plan) -> dict[str, Any]:
    """Return the options of ``fer report`` that name the runs of a plan, whichever ran last: what is left out is as then."""
    choice = replace(plan.choice, seeds=tuple(sorted({item.run.seed for item in plan.items})))
    named = {"profile": choice.profile, "no_recipe": not choice.recipe, "set": choice.settings or ["none"]}
    return {**choice_options(choice), **named}


def write_seeds(seeds: tuple[int, ...]) -> str:
    """Return seeds as ``--seeds`` takes them, the inverse of ``parse_seeds``."""
    return str(len(seeds)) if seeds == tuple(range(len(seeds))) else ",".join(map(str, seeds)) + "," * (len(seeds) == 1)


def study_command(name: str, root: Path, data_root: Path | None) -> str:
    """Return the command that runs a study on a built set (its first split is tested), or why none can."""
    from fer_cli.data.identity import clip_codes
    from fer_cli.data.manifest import load_info, read_manifest
    from fer_cli.data.splits import known_of, make_split
    from fer_cli.expand import expand
    from fer_cli.study import Choice, load_study

    study = STUDY
    try:
        info = load_info(root, name)
        manifest = read_manifest(root / name, info)
        if info.clips:
            study = CLIP_STUDIES.get(str((info.embedded or {}).get("recipes")), STUDY)
            manifest = manifest.groupby(clip_codes(manifest)).head(1)
        run = expand(load_study(study), Choice(data=name, seeds=(0,)), lambda _: known_of(manifest))[0]
        if manifest["label"].nunique() < 2:
            return f"study {study} needs samples of two classes or more"
        make_split(manifest, run.config.data)
    except FerError as error:
        return f"study {study} cannot run on it ({error})"
    return write_command("fer ablate", study=study, data=name, data_root=data_root)
