"""Suggested next commands of studies and their reports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_cli.commands import choice_options, write_command
from fer_cli.errors import FerError

if TYPE_CHECKING:
    from fer_cli.plan import Plan

STUDY = "scn-cs"
"""Study suggested for a data set of labelled faces."""
CLIP_STUDIES = {"basic": "temporal-attention", "gesture": "region-layer", "order": "order"}
"""Recipe of an embedded set of clips -> study suggested for it."""


def report_options(plan: Plan) -> dict[str, Any]:
    """Return the options of ``fer report`` that name the runs of a plan, whichever ran last: what is left out is as then."""
    choice = replace(plan.choice, seeds=tuple(sorted({item.run.seed for item in plan.items})))
    named = {"profile": choice.profile, "no_recipe": not choice.recipe, "set": choice.settings or ["none"]}
    return {**choice_options(choice), **named}


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
