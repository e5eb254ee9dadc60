"""``fer data lesson``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from fer_cli.cli.build_options import Jobs
from fer_cli.cli.options import expand_path, thread_count
from fer_cli.cli.screen import say, show, with_progress
from fer_cli.commands import write_command


def lesson(
    out: Annotated[
        Path, typer.Option("--out", "-o", callback=expand_path, help="Video to write, .mp4 or .avi; its truth is beside it.")
    ] = Path("lesson.mp4"),
    seconds: Annotated[float, typer.Option("--seconds", help="Duration, at 12 frames per second.")] = 60.0,
    faces: Annotated[int, typer.Option("--faces", help="Number of people, 1 to 12.")] = 2,
    seed: Annotated[int, typer.Option("--seed", help="Random seed for people, classroom and what they do.")] = 0,
    replace: Annotated[bool, typer.Option("--replace", help="Replace existing files.")] = False,
    jobs: Jobs = None,
) -> None:
    """Render a video of embedded people listening to a lesson, 640 x 480 pixels, and its truth per frame and person."""
    from fer_cli.synthetic.lesson import HEIGHT, RATE, WIDTH, Lesson
    from fer_cli.synthetic.recording import write_lesson

    drawn = Lesson(seconds, faces, seed)
    truth = write_lesson(out, drawn, jobs or thread_count(), partial(with_progress, "drawing the lesson: frames"), replace)
    show(str(out))
    show(str(truth))
    say(f"{drawn.frames} frames of {WIDTH} x {HEIGHT} pixels at {RATE} per second, {faces} people")
    other = out.with_stem(f"{out.stem}-{seed + 1}")
    say(f"next: {write_command('fer data lesson', out=other, seconds=seconds, faces=faces, seed=seed + 1)} (other people)")
