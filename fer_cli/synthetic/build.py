"""Building an embedded set from its card, with optional changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fer_cli.data.block import Block
from fer_cli.data.build import describe_set, place_set
from fer_cli.data.cards import Card, Embedded, load_card
from fer_cli.data.manifest import SetInfo
from fer_cli.errors import DataError
from fer_cli.progress import Progress, silent
from fer_cli.synthetic import recipe, sets
from fer_cli.yamls import explain


def build_embedded(
    name: str, data_root: Path, changes: dict[str, Any], jobs: int = 1, progress: Progress = silent
) -> SetInfo:
    """Render data set ``name`` into ``data_root``; ``changes``: options that differ from the card's.

    Raises DataError, leaving nothing behind, for an unknown set, a set read from files, and invalid options.
    """
    card, options = options_of(name, changes)
    data_root.mkdir(parents=True, exist_ok=True)
    manifest, images, truth = sets.render_set(options, card.classes, jobs, progress)
    steps = [{"step": "render", "version": recipe.VERSION, **options.model_dump()}, {"step": "colour", "to": "grey"}]
    identity = recipe.recipe_fingerprint(options, card.classes)
    block = Block(images)
    info = describe_set(card, manifest, block, steps, identity, embedded=options.model_dump())
    return place_set(data_root, info, manifest, block, truth)


def options_of(name: str, changes: dict[str, Any]) -> tuple[Card, Embedded]:
    """Return the card of an embedded set and its options with ``changes``; raises DataError as ``build_embedded`` does."""
    card = load_card(name)
    if card.embedded is None:
        raise DataError(f"data set '{name}' is read from files: fer data build {name} --from FOLDER")
    if isinstance(images := changes.get("images"), int):  # at most as many people as images
        changes = {"subjects": max(1, min(card.embedded.subjects, images))} | changes
    try:
        options = Embedded.model_validate(card.embedded.model_dump() | changes)
    except ValidationError as error:
        raise DataError(f"{name}: --{explain(error, Embedded)}") from None
    sets.check_options(name, options, card.classes)
    return card, options
