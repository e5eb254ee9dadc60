"""Embedded sets on disk: begun with all labels and no picture, drawn as pictures are needed.

A set's labels and people come from its recipe alone, so splits need no pixels. ``images.npy`` and ``truth.parquet`` hold the
pictures drawn so far, in the order of the manifest, whose ``sha256`` is empty for the others.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from fer_cli.data.block import Block
from fer_cli.data.build import describe_set, move_into_place
from fer_cli.data.cards import Card, Embedded, load_card
from fer_cli.data.manifest import INFO, TRUTH, FaceSet, SetInfo, load_info, load_set, read_set, write_set
from fer_cli.data.pack import draft_folder
from fer_cli.errors import DataError
from fer_cli.progress import Progress, silent
from fer_cli.synthetic import recipe, sets
from fer_cli.synthetic.deal import list_samples
from fer_cli.yamls import explain


def build_embedded(
    name: str, data_root: Path, changes: dict[str, Any], jobs: int = 1, progress: Progress = silent
) -> SetInfo:
    """Draw all of data set ``name`` into ``data_root``; ``changes``: options that differ from the card's.

    Pictures of a set that differs only in the number of images are kept. Raises DataError, leaving nothing behind, for an
    unknown set, a set read from files, and invalid options.
    """
    card, options = options_of(name, changes)
    with empty_draft(data_root, name) as draft:
        manifest = list_samples(options, card.classes)
        held = Pictures.held(data_root / name, held_pictures(data_root, name, options), options)
        pictures = held.extended(options, card.classes, manifest, None, jobs, progress)
        return write_pictures(data_root, draft, card, options, manifest, pictures)


def begin_embedded(name: str, data_root: Path) -> SetInfo:
    """Write the manifest of an embedded set with its card's options, without pictures; a set that is there is left alone.

    Raises DataError if that one is damaged.
    """
    card, options = options_of(name, {})
    with empty_draft(data_root, name, wait=True) as draft:
        if os.path.lexists(data_root / name / INFO):
            return load_info(data_root, name)
        return write_pictures(data_root, draft, card, options, list_samples(options, card.classes), Pictures.none(options))


def draw_pictures(
    name: str, data_root: Path, positions: np.ndarray | None, jobs: int = 1, progress: Progress = silent
) -> SetInfo:
    """Draw those of an embedded set's pictures at ``positions`` in its manifest (default: all) that are not drawn yet.

    Another process that draws the same set is waited for. An interruption leaves the set as it was.
    """
    faces = load_set(data_root, name)
    if not len(faces.undrawn(positions)):
        return faces.info
    with empty_draft(data_root, name, wait=True) as draft:
        faces = read_set(data_root, name)  # another process may have drawn some
        if not len(faces.undrawn(positions)):
            return faces.info
        card, options = load_card(name), Embedded.model_validate(faces.info.embedded)
        held = Pictures.held(data_root / name, faces, options)
        manifest = list_samples(options, card.classes)
        pictures = held.extended(options, card.classes, manifest, positions, jobs, progress)
        return write_pictures(data_root, draft, card, options, manifest, pictures)


@contextmanager
def empty_draft(data_root: Path, name: str, wait: bool = False) -> Iterator[Path]:
    """Lock and yield the draft folder of a set, as ``draft_folder``, but empty, and deleted also on an interruption."""
    with draft_folder(data_root, name, wait) as draft:
        try:
            for left in draft.iterdir():  # by a killed process
                left.unlink()
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def options_of(name: str, changes: dict[str, Any]) -> tuple[Card, Embedded]:
    """Return the card of an embedded set and its options with ``changes``; raises DataError as ``build_embedded`` does."""
    card = load_card(name)
    if card.embedded is None:
        raise DataError(f"data set '{name}' is read from files: fer data build {name} --from FOLDER")
    try:
        options = Embedded.model_validate(card.embedded.model_dump() | changes)
    except ValidationError as error:
        raise DataError(f"{name}: --{explain(error, Embedded)}") from None
    sets.check_options(name, options, card.classes)
    return card, options


def held_pictures(data_root: Path, name: str, options: Embedded) -> FaceSet | None:
    """Return the set under ``data_root`` if its pictures are also those of ``options``: it differs at most in ``images``."""
    with suppress(DataError):
        faces = read_set(data_root, name)  # no other process can replace it: the caller holds its lock
        same = options.model_copy(update={"images": (faces.info.embedded or {}).get("images")})
        if faces.info.embedded == same.model_dump():
            return faces
    return None


def write_pictures(
    data_root: Path, draft: Path, card: Card, options: Embedded, manifest: pd.DataFrame, pictures: Pictures
) -> SetInfo:
    """Write a set with this ``manifest``, of which ``pictures`` are drawn, into ``draft``, and move it into place."""
    block = Block(pictures.images)
    held = manifest["sample"].isin(pictures.truth["sample"])
    manifest.loc[held, "sha256"] = sets.hash_images(pictures.images)
    if len(pictures.truth):
        pictures.truth.to_parquet(draft / TRUTH, index=False)
    steps = [{"step": "render", "version": recipe.VERSION, **options.model_dump()}, {"step": "colour", "to": "grey"}]
    identity = recipe.recipe_fingerprint(options, card.classes)
    info = describe_set(card, manifest, block, steps, identity, embedded=options.model_dump())
    drawn = None if held.all() else int(held.sum())
    info = write_set(draft, info.model_copy(update={"drawn": drawn}), manifest, block)
    move_into_place(draft, data_root / card.name)
    return info


@dataclass(frozen=True)
class Pictures:
    """Drawn pictures in the order of their set's manifest: images (n, S, S) uint8 and rows of ground truth."""

    images: np.ndarray
    truth: pd.DataFrame

    @classmethod
    def none(cls, options: Embedded) -> Pictures:
        """Return no pictures."""
        return cls(np.zeros((0, options.size, options.size), np.uint8), pd.DataFrame({"sample": [], "sequence": []}))

    @classmethod
    def held(cls, folder: Path, faces: FaceSet | None, options: Embedded) -> Pictures:
        """Return the pictures that the set ``faces`` in ``folder`` holds."""
        if faces is None or faces.info.drawn == 0:
            return cls.none(options)
        drawn = np.setdiff1d(np.arange(len(faces.images)), faces.undrawn())
        return cls(faces.images[drawn][:, 0, 0], pd.read_parquet(folder / TRUTH))

    def extended(
        self,
        options: Embedded,
        classes: list[str],
        manifest: pd.DataFrame,
        positions: np.ndarray | None,
        jobs: int,
        progress: Progress,
    ) -> Pictures:
        """Return these and those at ``positions`` in the manifest (default: all) of a set, which are drawn if missing."""
        wanted = manifest["sequence"] if positions is None else manifest["sequence"].iloc[positions]
        missing = set(wanted) - set(self.truth["sequence"])
        tasks = sets.make_tasks(options, classes, missing) if missing else []
        images, truth = self.images, self.truth
        if tasks:
            drawn, rows = sets.render_tasks(tasks, jobs, progress)
            images, truth = np.concatenate([images, drawn]), rows if truth.empty else pd.concat([truth, rows])
        places = pd.Series(np.arange(len(manifest)), index=manifest["sample"]).reindex(truth["sample"])
        order = np.argsort(places.to_numpy(), kind="stable")[: int(places.notna().sum())]  # NaN, of a larger set, is last
        return Pictures(images[order], truth.iloc[order].reset_index(drop=True))
