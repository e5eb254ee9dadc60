"""``fer data build``: render an embedded set, or check a source folder and pack it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fer_cli.cli import build_options as o
from fer_cli.cli.advice import study_command
from fer_cli.cli.audit import audit, audit_built
from fer_cli.cli.drawn import draw_set
from fer_cli.cli.lesson import lesson
from fer_cli.cli.options import DataRoot, data_root_or_default, thread_count
from fer_cli.cli.screen import print_table, say, with_progress
from fer_cli.cli.sets import check, combine, list_sets, peek, print_replaced
from fer_cli.commands import write_command

if TYPE_CHECKING:
    from fer_cli.data.build import Choices
    from fer_cli.data.manifest import SetInfo

data_app = typer.Typer(
    help="Build data sets (embedded, or from your own copies); check, audit and preview them.", no_args_is_help=True
)


@data_app.command(
    epilog="Examples: fer data build synth-basic --images 20000 --size 64 --jobs 2 · fer data build ck48 --from ~/CK+48 · "
    "fer data build mine --from ~/photos --layout folder --subject '(?P<subject>p[0-9]+)_' · "
    "fer data build lab --from lab.zip --label '(?P<subject>p[0-9]+)_(?P<label>[0-9])_' --codes 1=happy,2=sad · "
    "fer data build web --from pixels.csv --layout csv --codes 0=angry,1=happy"
)
def build(
    name: Annotated[
        str, typer.Argument(help="Name of a data card (see fer data list), or of your own set (with --layout or --label).")
    ],
    source: o.Source = None,
    data_root: DataRoot = None,
    layout: o.OwnLayout = None,
    subject: o.SubjectPattern = None,
    label: o.LabelPattern = None,
    codes: o.Codes = None,
    allow_incomplete: o.AllowIncomplete = False,
    drop_duplicates: o.DropDuplicates = False,
    replace: o.Replace = False,
    frames: o.Frames = None,
    size: o.Size = None,
    colour: o.Colour = None,
    interpolation: o.Interpolation = None,
    detect: o.Detect = None,
    detector_model: o.DetectorModel = None,
    margin: o.Margin = None,
    align: o.Align = None,
    no_face: o.NoFace = None,
    images: o.Images = None,
    subjects: o.Subjects = None,
    difficulty: o.Difficulty = None,
    seed: o.Seed = None,
    jobs: o.Jobs = None,
) -> None:
    """Render an embedded set, or check a source folder against its data card and pack it for training."""
    from fer_cli.data.build import Choices, previous_info
    from fer_cli.errors import DataError

    root = data_root_or_default(data_root)
    drawn = given_options(images=images, subjects=subjects, difficulty=difficulty, seed=seed)
    read = given_options(colour=colour, interpolation=interpolation, no_face=no_face)
    faces = given_options(detect=detect, detector_model=detector_model, margin=margin, align=align)
    own = given_options(layout=layout, subject=subject, label=label, codes=codes)
    flags = given_options(
        allow_incomplete=allow_incomplete or None,
        drop_duplicates=drop_duplicates or None,
        replace=replace or None,
        frames=frames,
    )
    before = previous_info(root, name)
    if source is None:
        if without := [option for option in {**own, **flags, **read, **faces} if option != "replace"]:
            raise DataError(f"--{without[0].replace('_', '-')} requires --from FOLDER; embedded sets do not take it")
        info = draw_set(name, root, drawn | given_options(size=size), jobs, replace)
    else:
        for option in drawn:
            raise DataError(f"--{option} is for embedded sets; it cannot be combined with --from")
        choices = Choices(
            preparation(read | given_options(size=size), faces), drop_duplicates, replace, jobs or thread_count(), frames
        )
        info = pack_source(name, source, root, own, allow_incomplete, choices)
    print_replaced(before)
    print_built(info, root, data_root)


def given_options(**options: Any) -> dict[str, Any]:
    """Return the options that were given."""
    return {key: value for key, value in options.items() if value is not None}


def preparation(read: dict[str, Any], faces: dict[str, Any]) -> dict[str, Any]:
    """Return the preparation settings of the given options; raises DataError for one without effect."""
    from fer_cli.errors import DataError

    if "detect" not in faces:
        for option in [*faces, *(key for key in read if key == "no_face")]:
            raise DataError(f"--{option.replace('_', '-')} has no effect without --detect centerface, lbp or yunet")
        return read
    crop = {"detector": faces["detect"]} | {key: faces[key] for key in ("margin", "align") if key in faces}
    if faces["detect"] == "lbp":  # gives no landmarks
        crop.setdefault("align", "none")
    if "detector_model" in faces:
        crop["model"] = str(faces["detector_model"])
    return read | {"crop": crop}


def pack_source(
    name: str, source: Path, root: Path, own: dict[str, Any], allow_incomplete: bool, choices: Choices
) -> SetInfo:
    """Pack a source folder under a progress bar and return what was built."""
    from fer_cli.data.build import build_own, build_set
    from fer_cli.errors import DataError

    bar = partial(with_progress, f"reading {name}")
    if "layout" in own or "label" in own:
        how = (own.get("layout"), own.get("subject"))
        return build_own(name, source, *how, root, allow_incomplete, choices, bar, own.get("label"), own.get("codes"))
    if "subject" in own:
        raise DataError("--subject requires --layout folder; the importers of data cards find subjects themselves")
    if "codes" in own:
        raise DataError("--codes requires --layout or --label; data cards define their own codes")
    return build_set(name, source, root, allow_incomplete, choices, bar)


def print_notes(info: SetInfo) -> None:
    """Print how many images are kept with which remark."""
    for note, number in info.notes.items():
        say(f"  kept, {note}: {number}")


def print_built(info: SetInfo, root: Path, data_root: Path | None) -> None:
    """Print a summary of a built set: counts per class to stdout, everything else to stderr."""
    from fer_cli.data.archive import SUFFIX
    from fer_cli.data.cards import has_card, load_card
    from fer_cli.data.check import left_out_table
    from fer_cli.data.compare import verdict
    from fer_cli.data.files import shorten
    from fer_cli.data.importers.hints import few
    from fer_cli.data.own import unused_codes

    table = left_out_table(info)
    print_table(list(table.columns), [[str(cell) for cell in row] for row in table.itertuples(index=False)])
    total = table.iloc[-1]
    if info.layout:
        say(f"layout: {info.layout}")
    if info.clips is not None:
        say(f"{info.amount}; the table counts frames")
    say("; ".join([", ".join(f"{name} {total[name]}" for name in table.columns[1:]), f"{info.subjects} subjects"]))
    if info.undetected:
        say(f"no face detected in {info.undetected} of the kept images; they are flagged in the manifest")
    print_notes(info)
    for reason, files in info.skipped.items():
        say(f"  left out, {reason}: {len(files)}, e.g. {shorten(files[0])}" if files else f"  left out, {reason}: 0")
    if info.others:
        say("  other files: " + ", ".join(f"{n} {kind}" for kind, n in info.others.items()))
    if SUFFIX in info.others:
        say(f"  {SUFFIX} files inside the source are not opened; to read one, pass it directly: --from PATH{SUFFIX}")
    if empty := unused_codes(info):
        say(f"  no images with code {', '.join(empty)}")
    unreadable = [f"{shorten(file)} ({why})" for file, why in info.unreadable.items()]
    for reason, gone in (("unreadable", unreadable), ("no face", info.no_face), ("duplicate", info.duplicates)):
        for file in gone[:20]:
            say(f"  left out, {reason}: {file}")
        if len(gone) > 20:
            say(f"  left out, {reason}: and {len(gone) - 20} more; full list: {root / info.name / 'left_out.csv'}")
    if info.differences:
        say(f"  differs from the card: {few(info.differences, 10)}")
    if info.layout and not info.differences and has_card(info.name):
        say(verdict(load_card(info.name), info.expected))
    say(f"built {root / info.name}, fingerprint {info.fingerprint}")
    audited = audit_built(info.name, root)
    hints = [write_command("fer data audit", info.name, data_root=data_root)] if audited != "clean" else []
    hints.append(write_command("fer data peek", info.name, data_root=data_root))
    say("next: " + " · ".join([*hints, study_command(info.name, root, data_root)]))


data_app.command(name="list", epilog="Example: fer data list")(list_sets)
data_app.command(epilog="Example: fer data check ck48 --from ~/CK+48")(check)
data_app.command(epilog="Example: fer data peek synth-basic --out peek.png")(peek)
data_app.command(
    epilog="Examples: fer data combine lab --of ck48,jaffe --map basic-7 · "
    "fer data combine cross --of rafdb,jaffe --map basic-7 --part rafdb=train --part jaffe=test"
)(combine)
data_app.command(epilog="Example: fer data lesson --seconds 60 --faces 2 --out lesson.mp4")(lesson)
data_app.command(epilog="Examples: fer data audit ck48 --split random · fer data audit synth-basic --labels scn-cs")(audit)
