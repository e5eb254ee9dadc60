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
    typer.Option("--from", callback=expand_path, help="Source folder, .zip or table; not needed for embedded sets."),
]
AllowIncomplete = Annotated[bool, typer.Option("--allow-incomplete", help="Build even if images are missing or unreadable.")]
DropDuplicates = Annotated[
    bool, typer.Option("--drop-duplicates", help="Keep only the first of identical files, or of identical faces in them.")
]
Replace = Annotated[bool, typer.Option("--replace", help="Allow replacing a larger set.")]
Frames = Annotated[
    int | None,
    typer.Option(
        "--frames",
        min=1,
        max=1000,
        help="For clips: this many evenly spaced frames of each sequence or video.",
        show_default="the importer's frames for stills",
    ),
]
Size = Annotated[int | None, typer.Option("--size", help="Side of the stored images in pixels.", show_default="the card's")]
Colour = Annotated[str | None, typer.Option("--colour", help="grey or rgb.", show_default="grey")]
Interpolation = Annotated[
    str | None, typer.Option("--interpolation", help="area, linear, cubic or lanczos.", show_default="area")
]
Jobs = Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Processes or threads.", show_default="one per core")]

OwnLayout = Annotated[
    str | None,
    typer.Option("--layout", help="folder (one folder per class) or csv (table of files or pixels).", rich_help_panel=OWN),
]
LabelPattern = Annotated[
    str | None,
    typer.Option(
        "--label",
        help="Regular expression for labels in paths: (?P<label>...); optional groups: subject, sequence, frame.",
        rich_help_panel=OWN,
    ),
]
Codes = Annotated[
    str | None,
    typer.Option("--codes", help="Label names of numbers and short words: 1=angry,2=disgust.", rich_help_panel=OWN),
]
SubjectPattern = Annotated[
    str | None,
    typer.Option("--subject", help="Regular expression for subjects in paths: (?P<subject>...).", rich_help_panel=OWN),
]

Detect = Annotated[
    str | None, typer.Option("--detect", help="Detect and crop faces: centerface, lbp or yunet.", rich_help_panel=FACES)
]
DetectorModel = Annotated[
    Path | None,
    typer.Option("--detector-model", callback=expand_path, help="ONNX file of the yunet detector.", rich_help_panel=FACES),
]
Margin = Annotated[
    float | None, typer.Option("--margin", help="Margin around the face, as a fraction of its box.", rich_help_panel=FACES)
]
Align = Annotated[
    str | None,
    typer.Option(
        "--align",
        help="Align faces by landmarks: none, eyes or five.",
        show_default="five; none for lbp",
        rich_help_panel=FACES,
    ),
]
NoFace = Annotated[
    str | None,
    typer.Option(
        "--no-face",
        help="Images without a face: keep (flagged) or drop (listed).",
        show_default="keep",
        rich_help_panel=FACES,
    ),
]

Images = Annotated[
    int | None, typer.Option("--images", help="Number of images, or of clips for sets of clips.", rich_help_panel=EMBEDDED)
]
Subjects = Annotated[int | None, typer.Option("--subjects", help="Number of people.", rich_help_panel=EMBEDDED)]
Difficulty = Annotated[
    float | None, typer.Option("--difficulty", help="From 0 (strong, clean) to 1 (weak, noisy).", rich_help_panel=EMBEDDED)
]
Seed = Annotated[int | None, typer.Option("--seed", help="Random seed for identities and images.", rich_help_panel=EMBEDDED)]
