"""Copies of studies for a user to edit: the source's YAML with its comments, a new name, and what each part is for.

The paper, its published values and the claims are left out: they are about the source's arms and data, and beside another
study's results they would look like a comparison with the paper.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

from fer_cli import __version__
from fer_cli.errors import FerError, StudyError
from fer_cli.escape import PATH, bad_name, cut, one_line
from fer_cli.places import write_text
from fer_cli.study import SIMULATIONS, Study, find_study_file, is_file_name, load_study, study_names
from fer_cli.yamls import parse_yaml, read_text

LEFT_OUT = ("paper", "claims")
MEANING = {
    "question": "Printed above the tables.",
    "base": "Settings of every run (all: fer show RUN --config). Your own network: model.backbone: module:name.",
    "with_data": "Settings added on a data set.",
    "seeds": "Runs of each arm; a seed determines the split, the initial weights and the order of batches.",
    "arms": "Rows of the table: what each arm changes in the base.",
    "grid": "Values that are crossed with every arm.",
    "levels": "Named levels that are crossed with every arm, like the grid.",
    "profiles": "Size presets, chosen by --profile; small is the default.",
    "profile_arms": "Settings added to an arm in a profile.",
    "search": "What fer search tries for each arm.",
    "report": "Columns, scores and the arm that others are compared with.",
}
"""Part of a study -> comment above it."""
BLOCK = re.compile(r"([A-Za-z_]\w*)[ \t]*:")


def copy_study(name: str, source: str) -> Path:
    """Write ``NAME.yaml`` in the current folder, a copy of a study by name or path, and return its path.

    Raises StudyError for an invalid or taken name, an unknown source, an existing file, and a source that cannot be copied.
    """
    path = Path(f"{check_new_name(name)}.yaml")
    study = load_study(source)
    text = copy_text(name, study, read_text(find_study_file(source), StudyError))
    try:
        copied = Study.model_validate(parse_yaml(text, path.name, StudyError))
    except (FerError, ValueError):
        copied = None
    if copied != study.model_copy(update={"name": name, "paper": None, "claims": []}):
        raise StudyError(f"--from {cut(source, PATH)}: its YAML is written in a way that cannot be copied part by part")
    if os.path.lexists(path):
        raise StudyError(f"{cut(path, PATH)}: already there; give another name, or remove it first")
    write_text(path, text)
    return path


def check_new_name(name: str) -> str:
    """Return the name of a new study; raises StudyError if it is not one, or that of a shipped study."""
    if is_file_name(name):
        raise StudyError(f"{cut(name, PATH)}: give the name without .yaml; the file is named after it")
    wrong = bad_name(name)
    if wrong is None and ("/" in name or "\\" in name or name.startswith((".", "-")) or name != name.strip()):
        wrong = "a new study is written to the current folder: no path, no leading . or - and no spaces around it"
    if wrong is None and name in {*study_names(), *SIMULATIONS}:
        wrong = "a shipped study has this name, and their results would be mixed"
    if wrong is not None:
        raise StudyError(f"{cut(name, PATH)}: {wrong}")
    return name


def copy_text(name: str, study: Study, text: str) -> str:
    """Return the text of a study's file under another name, with comments, without what is about the paper."""
    parts: list[str] = []
    for key, comment, block in split_blocks(text):
        if key in LEFT_OUT:
            continue
        if key == "name":
            parts.append(f"{comment}name: {write_name(name)}\n")
        else:
            meaning = f"# {MEANING[key]}\n" if key in MEANING else ""
            parts.append(f"{meaning}{comment}{block.rstrip()}\n")
    left = " and ".join(word for word, there in (("paper", study.paper), ("claims", study.claims)) if there)
    note = f"# Left out: {left}, which are about the arms and data of {study.name}.\n" if left else ""
    command = shlex.join(["fer", "ablate", "--study", f"{name}.yaml"])
    head = (
        f"# A copy of the study {one_line(study.name)} (fer {__version__}), to change; run it with: {one_line(command)}\n"
        "# Unknown keys, settings without effect and arms that change nothing are refused with the reason.\n"
        f"{note}"
    )
    return head + "\n" + "\n".join(parts)


def write_name(name: str) -> str:
    """Return a name as YAML, in quotes if it would be read as something else."""
    try:
        plain = parse_yaml(f"name: {name}\n", "name", StudyError) == {"name": name}
    except FerError:
        plain = False
    return name if plain else json.dumps(name, ensure_ascii=False)


def split_blocks(text: str) -> list[tuple[str, str, str]]:
    """Return the top-level parts of a YAML file: key, the comments directly above it, and its lines."""
    blocks: list[tuple[str, list[str], list[str]]] = []
    above: list[str] = []
    for line in text.splitlines(keepends=True):
        if found := BLOCK.match(line):
            blocks.append((found[1], [one for one in above if one.strip()], [line]))
            above = []
        elif line.startswith("#") or (above and not line.strip()):
            above.append(line)
        elif blocks:
            blocks[-1][2].extend([*above, line])
            above = []
    return [(key, "".join(comment), "".join(lines)) for key, comment, lines in blocks]
