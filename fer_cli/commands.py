"""Commands as typed, built from options and quoted for a shell."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fer_cli.config import Compute
    from fer_cli.study import Choice


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


def write_seeds(seeds: tuple[int, ...]) -> str:
    """Return seeds as ``--seeds`` takes them, the inverse of ``parse_seeds``."""
    return str(len(seeds)) if seeds == tuple(range(len(seeds))) else ",".join(map(str, seeds)) + "," * (len(seeds) == 1)


def train_command(study: str, choice: Choice, compute: Compute) -> str:
    """Return the command that trains a choice of a study where ``compute`` says."""
    from fer_cli.config import default_data_root

    root = None if compute.data_root == default_data_root() else compute.data_root
    return write_command(
        "fer ablate", study=study, **choice_options(choice), results=given_results(compute.results), data_root=root
    )
