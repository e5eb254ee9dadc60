"""``fer data ...``: build data sets and look at them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fer_cli.cli.options import DataRoot, data_root_or_default, thread_count
from fer_cli.cli.screen import say, with_progress

if TYPE_CHECKING:
    from fer_cli.data.manifest import SetInfo

data_app = typer.Typer(
    help="Build data sets, embedded ones or from folders you have, and look at them.", no_args_is_help=True
)


@data_app.command(
    epilog="Examples: fer data build synth-basic --images 20000 --size 64 --jobs 2 · fer data build ck48 --from ~/CK+48"
)
def build(
    name: Annotated[str, typer.Argument(help="Name of a data card, e.g. synth-basic or ck48.")],
    source: Annotated[
        Path | None, typer.Option("--from", help="Folder that holds the data set's files; embedded sets need none.")
    ] = None,
    data_root: DataRoot = None,
    allow_incomplete: Annotated[
        bool, typer.Option("--allow-incomplete", help="Build although images are missing, surplus or unreadable.")
    ] = False,
    images: Annotated[int | None, typer.Option("--images", help="Embedded sets: number of images.")] = None,
    subjects: Annotated[int | None, typer.Option("--subjects", help="Embedded sets: number of people.")] = None,
    size: Annotated[int | None, typer.Option("--size", help="Embedded sets: side in pixels.")] = None,
    difficulty: Annotated[
        float | None, typer.Option("--difficulty", help="Embedded sets: 0 strong and clean to 1 weak and noisy.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Embedded sets: other people and pictures.")] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Processes. [default: one per core]")] = None,
) -> None:
    """Draw an embedded set, or check a source folder against its card and pack it for training."""
    from fer_cli.data.build import build_set
    from fer_cli.errors import DataError

    root = data_root_or_default(data_root)
    asked = {"images": images, "subjects": subjects, "size": size, "difficulty": difficulty, "seed": seed}
    changes = {key: value for key, value in asked.items() if value is not None}
    if source is None:
        if allow_incomplete:
            raise DataError("--allow-incomplete goes with --from: an embedded set is always complete")
        info = draw(name, root, changes, jobs)
    else:
        if changes:
            raise DataError(f"--{next(iter(changes))} is for embedded sets; it does not go with --from")
        info = build_set(name, source, root, allow_incomplete, lambda items, n: with_progress("decoding", items, n))
    for label in info.classes:
        typer.echo(f"{label:<12}{info.counts[label]:>8}")
    typer.echo(f"{'all':<12}{info.kept:>8}")
    say(f"in {info.found}, kept {info.kept}, unreadable {len(info.unreadable)}; {info.subjects} subjects")
    for file in info.unreadable:
        say(f"  left out, unreadable: {file}")
    for difference in info.differences:
        say(f"  differs from the card: {difference}")
    if source is not None and not info.differences:
        say("counts agree with the card")
    say(f"built {root / name}, fingerprint {info.fingerprint}")
    place = f" --data-root {data_root}" if data_root else ""
    say(f"next: fer data peek {name}{place} · fer ablate --study scn-cs --data {name}{place}")


@data_app.command(epilog="Example: fer data peek synth-basic --out peek.png")
def peek(
    name: Annotated[str, typer.Argument(help="Name of a built data set.")],
    out: Annotated[Path | None, typer.Option("--out", help="PNG to write. [default: NAME.png]")] = None,
    columns: Annotated[int, typer.Option("--columns", min=1, max=100, help="Images per class.")] = 12,
    data_root: DataRoot = None,
) -> None:
    """Write a contact sheet: a row of images per class, each of another person where there are enough."""
    from fer_cli.data.peek import contact_sheet

    path = out or Path(f"{name}.png")
    contact_sheet(data_root_or_default(data_root), name, path, columns)
    typer.echo(str(path))
    say(f"next: fer ablate --study scn-cs --data {name}")


def draw(name: str, root: Path, changes: dict[str, Any], jobs: int | None) -> SetInfo:
    """Draw an embedded set under a progress bar and return what was built."""
    from fer_cli.synthetic.build import build_embedded
    from fer_cli.synthetic.mesh import cached_head

    workers = jobs or thread_count()
    if not cached_head().is_file():  # the body's arrays come with a set of gestures, and take as long
        say("preparing the human model; once on this machine, about a minute")
    return build_embedded(name, root, changes, workers, lambda items, n: with_progress(f"drawing {name}: people", items, n))


def build_if_embedded(name: str, root: Path) -> None:
    """Draw data set ``name`` with its card's options if the suite can and it is not there."""
    from fer_cli.data.cards import card_names, load_card

    if (root / name / "set.json").is_file() or name not in card_names() or load_card(name).embedded is None:
        return
    say(f"data set {name} is not built under {root}; drawing it")
    draw(name, root, {}, None)
