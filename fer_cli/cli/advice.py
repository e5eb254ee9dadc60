"""What to type after a set was built, combined, looked at or audited."""

from __future__ import annotations

from pathlib import Path

from fer_cli.errors import FerError

STUDY = "scn-cs"
"""The study that is proposed for any set of labelled images."""


def study_command(name: str, root: Path, place: str) -> str:
    """Return the command that runs a study on a built set, or why the study cannot run on it.

    ``place``: the option for the data root, where one was given. Its first fold is made, so that a set that is too small
    is not sent into an error.
    """
    from fer_cli.data.manifest import known_about, load_info, read_manifest
    from fer_cli.data.splits import make_split
    from fer_cli.study import Choice, expand, load_study

    try:
        info = load_info(root, name)
        run = expand(load_study(STUDY), Choice(data=name, seeds=(0,)), lambda _: known_about(root, name))[0]
        manifest = read_manifest(root / name, info)
        if manifest["label"].nunique() < 2:
            return f"study {STUDY} needs images of two classes or more"
        make_split(manifest, run.config.data)
    except FerError as error:
        return f"study {STUDY} cannot run on it ({error})"
    return f"fer ablate --study {STUDY} --data {name}{place}"
