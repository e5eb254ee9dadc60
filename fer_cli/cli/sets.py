"""``fer data list``, ``check``, ``peek`` and ``combine``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fer_cli.cli.advice import study_command
from fer_cli.cli.audit import audit_built
from fer_cli.cli.build_options import Replace
from fer_cli.cli.drawn import draw_if_needed
from fer_cli.cli.options import DataRoot, data_root_or_default, expand_path
from fer_cli.cli.screen import print_table, say, show, with_progress
from fer_cli.commands import write_command

if TYPE_CHECKING:
    from fer_cli.data.check import Count
    from fer_cli.data.manifest import SetInfo


def list_sets(data_root: DataRoot = None) -> None:
    """List all data cards and all sets built under the data root."""
    from fer_cli.data.cards import card_names, has_card, load_card
    from fer_cli.data.manifest import built_sets

    root = data_root_or_default(data_root)
    built, unusable = built_sets(root)
    rows = []
    for name in sorted({*card_names(), *built, *unusable}, key=lambda name: (name not in card_names(), name)):
        info = built.get(name)
        card = load_card(name) if has_card(name) else None
        images = f"{info.state}, {info.fingerprint}" if info else "unusable" if name in unusable else "not built"
        title = card.pretty_name if card else info.title if info else ""
        licence = card.licence if card else info.licence if info else "unknown"
        kind = "embedded" if card and card.embedded else "real" if card else "own"
        rows.append([name, kind, images, title, licence])
    print_table(["name", "kind", "built", "description", "licence"], rows)
    for problem in unusable.values():
        say(f"unusable: {problem}")
    say(f"data root: {root}")
    say("next: fer data build NAME (embedded) · fer data build NAME --from FOLDER (real)")


def check(
    name: Annotated[str, typer.Argument(help="Name of a built data set.")],
    source: Annotated[
        Path | None, typer.Option("--from", callback=expand_path, help="Also compare with this folder, table or .zip.")
    ] = None,
    data_root: DataRoot = None,
) -> None:
    """Compare a built set with its card, its checksums and (with --from) its source; exit 1 if anything differs."""
    from fer_cli.data.check import check_set
    from fer_cli.data.rebuild import build_command

    root = data_root_or_default(data_root)
    checked = check_set(root, name, source, partial(with_progress, "comparing files"))
    rows = [
        [c.split, c.label, *amounts(c), "-" if c.card is None else str(c.card), "" if c.agrees else "differs"]
        for c in checked.counts
    ]
    what = ["images"] if checked.info.clips is None else ["clips", "frames"]
    print_table(["split", "class", *what, "card", ""], rows)
    say(f"{checked.info.title}; fingerprint {checked.info.fingerprint}")
    for problem in checked.problems:
        say(f"  {problem}")
    if checked.problems or not all(c.agrees for c in checked.counts):
        say(f"next: fix the source, then {build_command(name, checked.info.model_dump(), root)}")
        raise typer.Exit(1)
    look = write_command("fer data audit", name, data_root=data_root)
    say(f"{checked.against}; all files are unchanged since the build; next: {look}")


def amounts(count: Count) -> list[str]:
    """Return the number of images of a class, or of clips and frames."""
    return [str(number) for number in (count.clips, count.images) if number is not None]


def peek(
    name: Annotated[str, typer.Argument(help="Name of a built data set.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", callback=expand_path, help="PNG to write.", show_default="NAME.png")
    ] = None,
    columns: Annotated[int, typer.Option("--columns", min=1, max=100, help="Images per row.")] = 12,
    strips: Annotated[bool, typer.Option("--strips", help="One row of frames per clip, two clips per class.")] = False,
    data_root: DataRoot = None,
) -> None:
    """Write a contact sheet: one row of images per class, of different people where possible."""
    import numpy as np

    from fer_cli.data.peek import choose_rows, contact_sheet
    from fer_cli.marks import check_picture

    path, root = out or Path(f"{name}.png"), data_root_or_default(data_root)
    check_picture(path)
    draw_if_needed(name, root, lambda faces: np.concatenate([row for _, row in choose_rows(faces, columns, strips)]))
    contact_sheet(root, name, path, columns, strips)
    show(str(path))
    say(f"next: {study_command(name, root, data_root)}")


def print_replaced(before: SetInfo | None) -> None:
    """Print which set was replaced, if any."""
    if before is not None:
        say(f"replaced a set of {before.amount}, fingerprint {before.fingerprint}")


def combine(
    name: Annotated[str, typer.Argument(help="Name of the new set.")],
    of: Annotated[str, typer.Option("--of", help="Built sets, separated by commas.")],
    label_map: Annotated[str, typer.Option("--map", help="Common classes: basic-6, basic-7, basic-8 or learning-6.")],
    size: Annotated[
        int | None, typer.Option("--size", min=8, max=1024, help="Side in pixels.", show_default="the smallest")
    ] = None,
    part: Annotated[
        list[str],
        typer.Option(
            "--part",
            metavar="NAME=PART",
            help="Assign all images of a set to one official part: train, val or test.",
            show_default="the set's own parts",
        ),
    ] = [],  # noqa: B006
    replace: Replace = False,
    data_root: DataRoot = None,
) -> None:
    """Combine several built sets through a named class map; dropped images are counted."""
    from fer_cli.data.build import previous_info
    from fer_cli.data.combine import combine_sets, parse_parts, parts_line
    from fer_cli.data.manifest import load_set

    root = data_root_or_default(data_root)
    sets = [one.strip() for one in of.split(",") if one.strip()]
    given, before = parse_parts(part), previous_info(root, name)
    for one in sets:
        draw_if_needed(one, root)
    info = combine_sets(name, sets, label_map, root, size, given, replace)
    side = info.image_size
    print_table(
        ["class", "images"], [[label, str(info.counts[label])] for label in info.classes] + [["all", str(info.kept)]]
    )
    for label, count in info.dropped.items():
        say(f"  left out, not in {label_map}: {label} {count}")
    if line := parts_line(load_set(root, name).manifest):
        say(line)
    print_replaced(before)
    say(f"built {root / name}, {info.subjects} subjects, {side} x {side} pixels, grey, fingerprint {info.fingerprint}")
    audit_built(name, root)
    look = write_command("fer data peek", name, data_root=data_root)
    say(f"next: {look} · {study_command(name, root, data_root)}")
