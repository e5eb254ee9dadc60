"""A video's predictions as one figure: some of its frames with boxes, and the class of each face over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from fer_cli.drawing import PALETTE, Words, page, quiet_glyphs, save, text_width
from fer_cli.escape import one_line
from fer_cli.use.pen import Pen
from fer_cli.use.predict import Seen
from fer_cli.use.sources import Source, read_moments

WIDTH = 6.6
"""Of the figure in inches."""
FRAMES = 4
"""Frames shown."""
KEPT = 2 * FRAMES
"""Most frames in memory; beyond, every second one is dropped."""
FRAME_WIDTH = 400
"""Width in pixels to which frames are reduced."""
WORDS = 22
"""Size of words in them in pixels."""
MOST_FACES = 12
"""Faces with a row: those seen longest."""
GAP_S = 0.5
"""A face that is not seen for longer, and in a frame, leaves a gap."""
TALL = 0.3
"""Height of a row in inches."""


@dataclass
class Span:
    """A time in which a face has one class."""

    start_s: float
    end_s: float
    name: str


class TimelineDrawing:
    """Takes a video's frames in order and draws the figure at the end; memory grows with changes of class alone."""

    def __init__(self, draft: Path, source: Source, classes: Sequence[str]) -> None:
        self.draft, self.source, self.classes = draft, source, classes
        self.spans: dict[int, list[Span]] = {}
        self.frames: list[tuple[float, np.ndarray]] = []
        self._moments = read_moments(source.path)
        self._every, self._end = 1, 0.0

    def add(self, seen: Seen) -> None:
        """Note the faces of the next frame, and keep some frames."""
        moment = next(self._moments)
        gap = max(GAP_S, 1.5 * (moment.time_s - self._end))  # frames may be further apart
        self._end = moment.time_s
        for one in seen.faces:
            name = self.classes[int(one.probabilities.argmax())]
            spans = self.spans.setdefault(one.face, [])
            if spans and moment.time_s - spans[-1].end_s <= gap:
                spans[-1].end_s = moment.time_s
                if spans[-1].name == name:
                    continue
            spans.append(Span(moment.time_s, moment.time_s, name))
        if seen.number % self._every == 0:
            scale = min(1.0, FRAME_WIDTH / moment.image.shape[1])
            small = moment.image
            if scale < 1:
                small = np.asarray(cv2.resize(small, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
            faces = [one.enlarged(scale) for one in seen.faces]
            self.frames.append(
                (moment.time_s, Pen(self.classes, small.shape, WORDS).draw(small, seen._replace(faces=faces)))
            )
            if len(self.frames) > KEPT:
                self.frames, self._every = self.frames[::2], 2 * self._every

    def finish(self) -> None:
        """Write the figure."""
        with quiet_glyphs():
            save(self.figure(), self.draft)

    def figure(self) -> Figure:
        """Return the figure."""
        lengths = {face: sum(span.end_s - span.start_s for span in spans) for face, spans in self.spans.items()}
        shown = sorted(sorted(lengths, key=lambda face: -lengths[face])[:MOST_FACES])
        used = {span.name for face in shown for span in self.spans[face]}
        colours = {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(self.classes)}
        keys = [Patch(color=colours[name], label=one_line(name)) for name in self.classes if name in used]
        notes = [] if len(shown) == len(lengths) else [f"the {MOST_FACES} of {len(lengths)} faces seen longest"]
        picked = [
            self.frames[place] for place in np.unique(np.linspace(0, len(self.frames) - 1, FRAMES).round().astype(int))
        ]
        side = WIDTH / FRAMES * picked[0][1].shape[0] / picked[0][1].shape[1] + 0.2
        below = TALL * max(1, len(shown)) + 0.5
        title = f"{one_line(self.source.path.name)}: class of each face over time"
        figure = page(WIDTH, side + below, Words(title, notes, [keys] if keys else []))
        grid = figure.add_gridspec(2, FRAMES, height_ratios=[side, below])
        for column, (time_s, image) in enumerate(picked):
            axes = figure.add_subplot(grid[0, column])
            axes.imshow(image)
            axes.set_axis_off()
            axes.set_title(f"{time_s:.1f} s", size=8)
        axes = figure.add_subplot(grid[1, :])
        end = max(self._end, 1e-3)
        for row, face in enumerate(shown):
            for span in self.spans[face]:
                wide = max(span.end_s - span.start_s, end / 400)
                axes.broken_barh([(span.start_s, wide)], (row - 0.4, 0.8), facecolors=colours[span.name], linewidth=0)
                if text_width(span.name, 7) < 0.9 * wide / end * (WIDTH - 0.8):
                    light = sum(bytes.fromhex(colours[span.name][1:])) > 420
                    middle = (span.start_s + wide / 2, row)
                    axes.text(*middle, one_line(span.name), size=7, ha="center", va="center", color="k" if light else "w")
        axes.set(xlim=(0, end), ylim=(max(1, len(shown)) - 0.5, -0.5), xlabel="time (s)")
        axes.set_yticks(range(len(shown)), [f"face {face}" for face in shown])
        axes.grid(visible=False, axis="y")
        return figure
