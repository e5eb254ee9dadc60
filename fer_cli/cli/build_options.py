"""The options of ``fer data build``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fer_cli.cli.options import expand_path

OWN = "Your own data"
FACES = "Finding faces"
EMBEDDED = "Embedded sets"

Source = Annotated[
    Path | None,
    typer.Option(
        "--from", callback=expand_path, help="Folder, .zip or table that holds the data set; embedded sets need none."
    ),
]
AllowIncomplete = Annotated[
    bool, typer.Option("--allow-incomplete", help="Build although images are missing or unreadable.")
]
DropDuplicates = Annotated[bool, typer.Option("--drop-duplicates", help="Keep the first of files with identical content.")]
Replace = Annotated[bool, typer.Option("--replace", help="Let the new set take the place of a larger one.")]
Size = Annotated[int | None, typer.Option("--size", help="Side of the packed images in pixels.", show_default="the card's")]
Colour = Annotated[str | None, typer.Option("--colour", help="grey or rgb.", show_default="grey")]
Interpolation = Annotated[
    str | None, typer.Option("--interpolation", help="area, linear, cubic or lanczos.", show_default="area")
]
Jobs = Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Processes or threads.", show_default="one per core")]

OwnLayout = Annotated[
    str | None,
    typer.Option("--layout", help="folder (a folder per class) or csv (a table of files or pixels).", rich_help_panel=OWN),
]
LabelPattern = Annotated[
    str | None,
    typer.Option(
        "--label",
        help="Labels from file names: expression with a group (?P<label>...), others: subject, sequence, frame.",
        rich_help_panel=OWN,
    ),
]
Codes = Annotated[
    str | None,
    typer.Option("--codes", help="What numbers and short words mean as labels: 1=angry,2=disgust.", rich_help_panel=OWN),
]
SubjectPattern = Annotated[
    str | None,
    typer.Option(
        "--subject", help="Regular expression with a group (?P<subject>...), searched in each path.", rich_help_panel=OWN
    ),
]

Detect = Annotated[
    str | None, typer.Option("--detect", help="centerface, lbp or yunet: find the face, cut it.", rich_help_panel=FACES)
]
DetectorModel = Annotated[
    Path | None,
    typer.Option("--detector-model", callback=expand_path, help="ONNX file of the yunet detector.", rich_help_panel=FACES),
]
Margin = Annotated[float | None, typer.Option("--margin", help="Room around the face, in its sides.", rich_help_panel=FACES)]
Align = Annotated[
    str | None,
    typer.Option(
        "--align",
        help="none, eyes or five: turn faces by their landmarks.",
        show_default="five; none for lbp",
        rich_help_panel=FACES,
    ),
]
NoFace = Annotated[
    str | None,
    typer.Option(
        "--no-face",
        help="keep images without a face, marked, or drop and list them.",
        show_default="keep",
        rich_help_panel=FACES,
    ),
]

Images = Annotated[
    int | None,
    typer.Option("--images", help="Number of images; of clips, where the set is one of clips.", rich_help_panel=EMBEDDED),
]
Subjects = Annotated[int | None, typer.Option("--subjects", help="Number of people.", rich_help_panel=EMBEDDED)]
Difficulty = Annotated[
    float | None, typer.Option("--difficulty", help="0 strong and clean to 1 weak and noisy.", rich_help_panel=EMBEDDED)
]
Seed = Annotated[int | None, typer.Option("--seed", help="Other people and pictures.", rich_help_panel=EMBEDDED)]
