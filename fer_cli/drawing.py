"""Shared by all figures: style, files, page layout, and common panels.

A page has a heading, legends, panels and a grey footer; heading and footer have fixed heights that panels cannot overlap.
Figures of reports are ``COLUMN`` wide, a column of a journal, with letters of at least ``SMALL`` points. The same figure
gives the same bytes: files have no dates, and the ids in SVG are hashes of what they name.
"""

from __future__ import annotations

import io
import math
import shutil
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from fer_cli.formats import figure_files, used_formats
from fer_cli.marks import png_text
from fer_cli.places import whole_file

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#882255")
"""Okabe and Ito (2008), with dark red instead of yellow, which is too pale on white."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # one fewer than colours, so that markers differ where colours repeat
COLUMN = 84 / 25.4
"""Width of a column of a journal in inches."""
DPI = 200
SD_BAND = "band: mean ± one sample standard deviation over seeds (none for one seed)"
SD_BARS = "bars: ± one sample standard deviation over seeds (none for one seed)"
GREY = "0.5"
STYLE: dict[Any, Any] = {
    **dict.fromkeys(("font.size", "axes.titlesize", "axes.labelsize"), 8),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize"), 7),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
    "axes.edgecolor": "0.4",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "text.parse_math": False,  # a dollar sign in a name is not a formula
    "pdf.fonttype": 42,  # TrueType: journals refuse Type 3 fonts
    "svg.hashsalt": "fer",  # otherwise ids are random
    "svg.fonttype": "none",  # text stays text: smaller, searchable, editable
}
rcParams.update(STYLE)
KEY = dict[str, Any](fontsize=7.5, frameon=False, borderpad=0.2, borderaxespad=0, labelspacing=0.35, columnspacing=1.4)
"""Legend style."""
MARGIN, LINE, SMALL = 0.08, 1.3, 7.0  # page margin in inches; line height in font sizes; least font size in points
HEADING, NOTE = 9.0, 7.5  # font sizes of a page's title and of the notes below it
COLOURS, KEPT = 256, 16
"""Most colours of a PNG, which has a palette, and how many of the most frequent are exact."""
QUANTITIES = {"accuracy": 100.0, "loss": 1.0}  # quantity plotted by epoch -> factor of its values; accuracy is in %


@dataclass(frozen=True)
class Words:
    """The text around the panels of a page; ``keys``: rows of legend entries."""

    title: str
    notes: Sequence[str] = ()
    keys: Sequence[Sequence[Artist]] = ()
    foot: Sequence[str] = ()


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG, and beside it the other formats in use (``use_formats``), each atomically; return the PNG's path."""
    from PIL import Image

    with quiet_glyphs():
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", dpi=DPI)
        with Image.open(drawn) as image, whole_file(path) as draft:
            reduce_colours(image.convert("RGB")).save(draft, format="png", optimize=True, dpi=(DPI, DPI), pnginfo=png_text())
        if len(used_formats()) > 1:
            figure.set_layout_engine("none")  # placed once, the same in every format
        for name in used_formats()[1:]:
            dates = {"pdf": "CreationDate", "svg": "Date"}
            with whole_file(path.with_suffix(f".{name}")) as draft:
                figure.savefig(draft, format=name, dpi=2 * DPI, metadata={dates[name]: None})
    return path


def reduce_colours(image: Any) -> Any:
    """Return an RGB image of Pillow with a palette: of its own colours if they suffice, else of the nearest ``COLOURS``.

    Colours count by the square root of their pixels, so that the rare ones at the end of a colour bar keep a place; the most
    frequent, such as the paper, are kept exactly.
    """
    from PIL import Image

    pixels = np.asarray(image, dtype=np.uint32)
    codes = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
    used, places, counts = np.unique(codes, return_inverse=True, return_counts=True)
    colours = palette = np.stack([used >> 16, used >> 8 & 255, used & 255], axis=1).astype(np.uint8)
    if len(used) > COLOURS:
        kept = colours[np.argsort(-counts, kind="stable")[:KEPT]]
        weighted = np.repeat(colours, np.ceil(np.sqrt(counts)).astype(int), axis=0)[None]
        means = Image.fromarray(weighted).quantize(COLOURS - KEPT, method=Image.Quantize.MEDIANCUT, kmeans=3)
        palette = np.concatenate([kept, np.array(means.getpalette(), np.uint8).reshape(-1, 3)])[:COLOURS]
        ours, theirs = colours.astype(np.float32), palette.astype(np.float32)
        apart = (theirs**2).sum(1) - 2 * ours @ theirs.T  # squared distance but for a term of ours; exact
        places = apart.argmin(1)[places]
    reduced = Image.fromarray(places.reshape(codes.shape).astype(np.uint8))
    reduced.putpalette(palette.tobytes())
    return reduced


def copy_figure(source: Path, target: Path) -> None:
    """Copy a figure's files of the formats in use."""
    for old, new in zip(figure_files(source), figure_files(target), strict=True):
        with whole_file(new) as draft:
            shutil.copyfile(old, draft)


@contextmanager
def quiet_glyphs() -> Iterator[None]:
    """Suppress warnings for characters missing from the font, which are drawn as boxes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def class_styles(classes: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the colour and marker of each name, by position."""
    return {name: (PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(classes)}


def text_width(text: str, size: float) -> float:
    """Return the width of a line in inches at a font size in points."""
    font = get_font(findfont(FontProperties()))
    font.set_size(size, 72)
    with quiet_glyphs():
        font.set_text(text)
    return float(font.get_width_height()[0]) / 64 / 72


def wrap_text(text: str, width: float, size: float, hyphens: bool = False) -> list[str]:
    """Return text wrapped to ``width`` inches at a font size in points; ``hyphens``: lines may end at one, too."""
    full = text_width(text, size)
    if full <= width:
        return [text] if text else []
    return textwrap.wrap(text, max(10, int(0.97 * len(text) * width / full)), break_on_hyphens=hyphens)


def page(width: float, height: float, words: Words) -> Figure:
    """Return a figure whose panels will fill ``width`` x ``height`` inches between heading and footer."""
    room = width - 2 * MARGIN
    head = [(line, HEADING, "black", "bold") for line in wrap_text(words.title, 0.86 * room, HEADING)]
    head += [(line, NOTE, "0.3", "normal") for note in words.notes for line in wrap_text(note, room, NOTE)]
    foot = [line for note in words.foot for line in wrap_text(note, room, SMALL)]
    counts, keys = zip(*(place_keys(row, room) for row in words.keys), strict=True) if words.keys else ((), ())
    above = 1.7 * MARGIN + sum(size * LINE / 72 for _, size, _, _ in head) + sum(keys)
    below = 2 * MARGIN + len(foot) * SMALL * LINE / 72
    total = above + height + below
    layout = ConstrainedLayoutEngine(rect=(0, below / total, 1, height / total), w_pad=0.05, h_pad=0.05)
    figure = Figure(figsize=(width, total), layout=layout)
    down = MARGIN
    for line, size, colour, weight in head:
        figure.text(MARGIN / width, 1 - down / total, line, size=size, color=colour, weight=weight, va="top")
        down += size * LINE / 72
    for row, columns, tall in zip(words.keys, counts, keys, strict=True):
        corner = (MARGIN / width, 1 - down / total)
        figure.legend(handles=list(row), ncols=columns, loc="upper left", bbox_to_anchor=corner, **KEY)
        down += tall
    for place, line in enumerate(reversed(foot)):
        up = MARGIN + place * SMALL * LINE / 72
        figure.text(MARGIN / width, up / total, line, size=SMALL, color="0.45", va="bottom")
    return figure


def place_keys(entries: Sequence[Artist], room: float) -> tuple[int, float]:
    """Return columns and height in inches of a row of legend entries, whose labels are wrapped to ``room`` inches."""
    labels = [str(entry.get_label()) for entry in entries]
    columns = key_columns(labels, room)
    lines = [wrap_text(label, room - 4.5 * KEY["fontsize"] / 72, KEY["fontsize"]) for label in labels]
    for entry, wrapped in zip(entries, lines, strict=True):
        if columns == 1:
            entry.set_label("\n".join(wrapped))
    rows = math.ceil(len(labels) / columns) if columns > 1 else sum(max(1, len(wrapped)) for wrapped in lines)
    return columns, 0.148 * rows + 0.04


def key_columns(labels: Sequence[str], room: float) -> int:
    """Return the number of legend columns that fit ``room`` inches; entries fill columns from the top."""
    wide = [text_width(label, KEY["fontsize"]) + 4.5 * KEY["fontsize"] / 72 for label in labels]
    for rows in range(1, len(wide)):
        columns = math.ceil(len(wide) / rows)
        if sum(max(column) for column in np.array_split(wide, columns)) <= room:
            return columns
    return 1


def draw_matrix(axes: Axes, counts: np.ndarray, classes: list[str], left: bool = True, bottom: bool = True) -> None:
    """Draw a confusion matrix (K, K) in % of each row (truth), with class names if ``left`` and ``bottom``."""
    shares = row_shares(counts)
    # "auto": cells are as wide as the page allows; "equal" would let titles and labels overlap
    axes.imshow(np.nan_to_num(shares), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_xticks(range(len(classes)), classes if bottom else [""] * len(classes))
    axes.set_yticks(range(len(classes)), classes if left else [""] * len(classes))
    for label in axes.get_xticklabels():
        label.set(rotation=45, ha="right", rotation_mode="anchor")
    for set_ticks in (axes.set_xticks, axes.set_yticks):
        set_ticks(np.arange(len(classes) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="0.85", linewidth=0.5)
    axes.tick_params(which="both", length=0)
    axes.set_xlabel("predicted" if bottom else "")
    axes.set_ylabel("true" if left else "")
    for (row, column), share in np.ndenumerate(shares):
        colour = "white" if share > 0.55 else "black"
        axes.text(column, row, share_text(share), ha="center", va="center", fontsize=SMALL, color=colour)


def row_shares(counts: np.ndarray) -> np.ndarray:
    """Return row-normalised counts (K, K); NaN in empty rows."""
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.full(counts.shape, np.nan)
    np.divide(counts, totals, out=shares, where=totals > 0)
    return shares


def share_text(share: float) -> str:
    """Return a share as whole percent; "<1" and ">99" instead of a rounded 0 or 100."""
    if math.isnan(share):
        return "–"
    if share == 0:
        return ""
    return "<1" if share < 0.005 else ">99" if 0.995 <= share < 1 else f"{100 * share:.0f}"


def draw_curve(
    axes: Axes, histories: Mapping[str, Sequence[np.ndarray]], quantity: str, chosen: float, colour: str, pale: str
) -> None:
    """Draw mean ± sd over seeds of series by column: validation solid, training dashed, a dot at the selected epoch."""
    scale = QUANTITIES[quantity]
    for part, paint, line, width, strength, shade in (
        ("train", pale, (0, (4, 2)), 1.0, 0.8, 0.08),
        ("val", colour, "-", 1.4, 1.0, 0.18),
    ):
        mean, sd = band(histories[f"{part}/{quantity}"])
        epochs = np.arange(1, len(mean) + 1)
        if sd is not None:
            axes.fill_between(epochs, scale * (mean - sd), scale * (mean + sd), color=paint, alpha=shade, lw=0)
        axes.plot(epochs, scale * mean, color=paint, lw=width, ls=line, alpha=strength)
    height = float(np.interp(chosen, np.arange(1, len(mean) + 1), scale * mean))
    axes.plot([chosen], [height], color=colour, marker="o", ms=4, mec="white", mew=0.6, lw=0, zorder=4)


def band(series: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    """Return mean and sample sd over seeds (None for one), (epochs,) each, of series cut to the shortest."""
    shortest = min(len(values) for values in series)
    stack = np.stack([values[:shortest] for values in series])
    return stack.mean(axis=0), stack.std(axis=0, ddof=1) if len(stack) > 1 else None


def finish_curves(axes: Axes, quantity: str, epochs: Sequence[int]) -> None:
    """Set a panel's limits, ticks and label; limits stay within [0, 100 %], which bands may exceed."""
    axes.set_xlim(1, max(2, *epochs))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_ylabel("accuracy (%)" if quantity == "accuracy" else "loss")
    if quantity == "accuracy":
        axes.set_ylim(top=min(axes.get_ylim()[1], 101))
    axes.set_ylim(bottom=max(axes.get_ylim()[0], 0))


def seed_count(n: int, planned: int) -> str:
    """Return ``n = 5 seeds``, or ``n = 2 of 5 seeds`` where some are missing."""
    return f"n = {n} seed{'s' * (n != 1)}" if n == planned else f"n = {n} of {planned} seeds"


def format_seeds(seeds: Sequence[int]) -> str:
    """Return ``seeds 0, 2``, or ``seeds 0–4`` for more than two consecutive ones."""
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"seeds {seeds[0]}–{seeds[-1]}"
    return f"seed{'s' * (len(seeds) != 1)} {', '.join(map(str, seeds))}"


def split_evenly(entries: Sequence[Any], most: int) -> list[list[Any]]:
    """Return entries in order in the fewest lists of at most ``most``, of about equal length."""
    count = math.ceil(len(entries) / most)
    size = math.ceil(len(entries) / max(1, count))
    return [list(entries[start : start + size]) for start in range(0, len(entries), max(1, size))]
