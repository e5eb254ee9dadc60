"""The index of the pages in a folder: a row per page, from the summary that each page holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from fer_cli import __version__
from fer_cli.page.markup import render
from fer_cli.page.study import VERDICTS, Summary
from fer_cli.places import open_regular, write_text

HEAD_BYTES = 200_000
"""Bytes of a page that are searched for its summary."""
SUMMARY = re.compile(r'<script type="application/json" id="summary">(.*?)</script>', re.DOTALL)
KNOWN: TypeAdapter[Summary] = TypeAdapter(Summary)


def write_index(folder: Path, unwritten: Iterable[str] = ()) -> Path:
    """Write ``index.html`` over all pages of a folder; ``unwritten``: studies without a page, which it names."""
    found = [(path, read_summary(path)) for path in sorted(folder.glob("*.html")) if path.name != "index.html"]
    pages = [(path, summary) for path, summary in found if summary is not None]
    pages.sort(key=lambda pair: pair[1].changed, reverse=True)
    rows = [
        {
            "file": quote(path.name),
            "study": one.study,
            "answer": one.answer,
            "claims": [
                (VERDICTS[name][1], VERDICTS[name][0], name, n) for name, n in one.claims.items() if name in VERDICTS
            ],
            "data": one.data,
            "profile": one.profile,
            "n": one.n,
            "changed": one.changed,
        }
        for path, one in pages
    ]
    lost = sorted(set(unwritten) - {one.study for _, one in pages})
    notes = [f"without a finished run or a page: {', '.join(lost)}; fer ablate --study NAME trains a study"] if lost else []
    notes += [f"{path.name}: not a page of this suite" for path, summary in found if summary is None]
    count = f"{len(rows)} page{'s' * (len(rows) != 1)}."
    path = folder / "index.html"
    write_text(path, render("index.html", title="Studies", rows=rows, notes=notes, count_text=count, version=__version__))
    return path


def read_summary(path: Path) -> Summary | None:
    """Return the summary that a page holds; None if it holds none."""
    try:
        with open_regular(path) as stream:
            text = stream.read(HEAD_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return None
    found = SUMMARY.search(text)
    if found is None:
        return None
    try:
        return KNOWN.validate_python(json.loads(found.group(1)))
    except (ValueError, ValidationError, RecursionError):
        return None
