"""A finished run by what a user types: its id, a unique beginning of it, its folder, or ``study:arm``."""

from __future__ import annotations

import os
from pathlib import Path

from fer_cli.config import Compute
from fer_cli.errors import FerError, ResultsError, StudyError, nearest
from fer_cli.escape import PATH, cut
from fer_cli.inventory.find import match_id
from fer_cli.outputs import RESULT
from fer_cli.places import user_path
from fer_cli.results import Result
from fer_cli.runs import RunFolder


def find_run(text: str, compute: Compute) -> tuple[RunFolder, Result, str]:
    """Return a finished run with a network, its result, and a phrase on why it was chosen ("" if it was named).

    Raises ResultsError for an unknown, ambiguous, unfinished or damaged run and for one without a network, StudyError for an
    unknown study or arm.
    """
    if is_folder(text):
        path = Path(os.path.abspath(user_path(text)))  # noqa: PTH100 (links stay as given)
        folder = RunFolder(path.parent.parent, path.name)
        folder.path = path
        return folder, finished(folder), ""
    if ":" in text:
        study, _, arm = text.rpartition(":")
        return choose_seed(study, arm, compute)
    folder = RunFolder(compute.results, find_id(text, compute.results))
    return folder, finished(folder), ""


def is_folder(text: str) -> bool:
    """Return whether a name is the path of a run folder."""
    path = user_path(text)
    named = "/" in text or text in {".", ".."}
    try:
        return path.is_dir() and (named or (path / RESULT).is_file() or (path / "config.json").is_file())
    except (OSError, ValueError):
        return False


def find_id(text: str, results: Path) -> str:
    """Return the id of the one run under ``results`` that begins with ``text``; raises ResultsError for none or several."""
    try:
        known = sorted(entry.name for entry in os.scandir(results / "runs") if entry.is_dir())
    except OSError:
        known = []
    if not known:
        raise ResultsError(f"{results}: has no runs; train some with fer ablate, or give the folder with --results")
    if "/" in text:
        raise ResultsError(f"{cut(text, PATH)}: no such run folder; give a run's id, its folder, or STUDY:ARM")
    return match_id(text, known, f"under {results / 'runs'} (a run is an id, a folder or STUDY:ARM)")


def finished(folder: RunFolder) -> Result:
    """Return the result of a run; raises ResultsError unless it is finished, undamaged and has a network for pictures."""
    if not folder.path.is_dir():
        raise ResultsError(f"{cut(folder.path, PATH)}: no such run folder")
    if folder.damage is not None:
        raise folder.damage
    if (status := folder.status) != "done":
        also = f" ({cut(folder.error_line())})" if status == "failed" else ""
        raise ResultsError(f"{folder.path}: not a finished run (its state is {status}{also}); finish it with fer ablate")
    result = folder.result()
    if result.config.trial:
        raise ResultsError(f"run {folder.run_id}: a trial of fer search, which is not tested; use a run of fer ablate")
    features = result.config.features
    if features.fitted:
        raise ResultsError(
            f"run {folder.run_id}: fits {features.classifier} on features ({', '.join(features.blocks)}) and has no network "
            "that recognises pictures; use a run of a network"
        )
    if result.config.sequences.simulation is not None:
        used = f"; use the run of its recogniser, {result.pretrained_by}" if result.pretrained_by else ""
        raise ResultsError(f"run {folder.run_id}: decodes simulated sequences and has no network{used}")
    if features.joined:
        raise ResultsError(
            f"run {folder.run_id}: its network also takes features ({', '.join(features.blocks)}), which only its set's "
            "pictures have; use a run without features.blocks"
        )
    return result


def choose_seed(study: str, arm: str, compute: Compute) -> tuple[RunFolder, Result, str]:
    """Return the finished run of an arm with the best value on the validation part, among all seeds and grid points.

    Data and profile are those that the study was last run with. Raises StudyError for an unknown arm, and if no run can be
    used, what is wrong with the first that is finished (see ``finished``), or ResultsError if none is.
    """
    from fer_cli.choices import last_choice
    from fer_cli.plan import make_plan
    from fer_cli.study import load_study

    loaded = load_study(study)
    if arm not in loaded.arms:
        raise StudyError(f"{cut(study)}: no arm '{cut(arm)}'{nearest(arm, loaded.arms)}")
    plan = make_plan(study, last_choice(loaded, compute.results), compute)
    found, refused = [], None
    for item in (item for item in plan.items if item.run.arm == arm):
        try:
            result = finished(item.folder)
        except FerError as error:
            if item.folder.damage is not None or item.folder.status == "done":
                refused = refused or error
            continue
        value, rule = result.selection.value, result.selection.rule
        worth = -float("inf") if value is None else -value if rule == "val/loss" else value
        found.append((worth, item, result))
    if not found:
        if refused is not None:
            raise refused
        raise ResultsError(f"{cut(study)}:{cut(arm)}: none of its runs under {compute.results} is finished; run fer ablate")
    worth, item, result = max(found, key=lambda one: (one[0], -one[1].run.seed))
    why = f"{item.run.title}: the best of {len(found)} finished runs by {result.selection.rule} ({abs(worth):.3f})"
    return item.folder, result, why
