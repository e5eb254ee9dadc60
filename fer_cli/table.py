"""A table as rows of text: what reports and analyses make, and what is rendered as Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Text:
    """A table cell."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Table:
    """A titled table; ``rows`` hold the row's label and one text per column."""

    title: str
    columns: list[str]
    rows: list[tuple[str, list[Text]]]
    notes: list[str] = field(default_factory=list)

    @classmethod
    def plain(
        cls, title: str, columns: list[str], rows: Sequence[tuple[str, Sequence[str]]], notes: Sequence[str] = ()
    ) -> Table:
        """Return a table in which nothing is bold."""
        return cls(title, columns, [(label, [Text(text) for text in texts]) for label, texts in rows], list(notes))
