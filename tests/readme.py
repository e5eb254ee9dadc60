"""README and guides as a program: their fenced blocks, the commands in them, and how they are made small.

Blocks of ``sh`` hold commands, which run in order in one folder; blocks of ``json`` are its ``events.jsonl``. A block
of ``yaml`` or ``python`` that begins with ``# NAME.yaml`` or ``# NAME.py`` is written to that file when its turn comes.
Comments before a block say what cannot run here, and why::

    <!-- test: skip because it runs for hours -->
    <!-- test: skip "fer monitor scn-cs:SCN-CS --camera" because it needs a camera -->

The first is about the whole block, the second about its lines that begin so. Lines that run get the options of ``SMALLER``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

from fer_cli.places import PACKAGE

ROOT = PACKAGE.parent
GUIDES = ("running", "data", "reports", "audit", "features", "interaction", "use", "runs", "cluster")
PAGES = ("README.md", *(f"docs/{name}.md" for name in GUIDES))
"""What is read, in the order in which its commands run."""
KINDS = ("sh", "yaml", "python", "json", "text")
"""What a fence may say of its block; ``text`` is not a command, such as what one prints."""
MARK = re.compile(r'<!-- test: skip(?: "(?P<begin>[^"]+)")? because (?P<reason>.+?) -->', re.DOTALL)
NAMED = re.compile(r"# (?P<name>[\w./-]+\.(?:yaml|py))\b")
SMALLER = {
    "fer ablate": "--profile smoke --seeds 1",
    "fer ablate --study scn-cs": "--only SCN-CS",
    "fer search": "--profile smoke",
    "fer ablate --study demo": "--jobs 1",
    "fer ablate --study my-study.yaml": "--jobs 1 --only ResNet",
    "fer report --study": "--profile smoke",
    "fer rm --empty-bin": "--yes",
    "fer data build ck48": "--allow-incomplete",
    "fer data build rafdb": "--allow-incomplete",
    "fer data build synth-basic": "--images 96 --subjects 32 --size 24",
    "fer data lesson": "--seconds 1",
    "fer extract-features": "--profile smoke --out results/features/synth-learning-auto-0-cnn+hog+sift.parquet",
}
"""Options for lines that begin so."""


@dataclass(frozen=True)
class Line:
    """A command: its page and line, its words, the file that its output goes to, and why it is not run."""

    page: str
    number: int
    words: tuple[str, ...]
    output: str | None = None
    skipped: str | None = None

    @property
    def text(self) -> str:
        """The command as it could be typed."""
        return shlex.join(self.words)

    def smaller(self) -> list[str]:
        """Return the words with the options that make the command small; given twice, the last counts."""
        added = [shlex.split(options) for begin, options in SMALLER.items() if self.text.startswith(begin)]
        return [*self.words, *(word for options in added for word in options)]


@dataclass(frozen=True)
class Block:
    """A fenced block: its page and line, its kind, its text, and what is skipped of it (beginning -> reason)."""

    page: str
    number: int
    kind: str
    text: str
    skipped: dict[str, str]

    @property
    def file(self) -> str | None:
        """The name of the file that holds the block."""
        found = NAMED.match(self.text)
        return found["name"] if found else None

    def lines(self) -> Iterator[Line]:
        """Yield the commands of a block of ``sh``, without comments; ``&&`` parts them, ``>`` names a file."""
        number = self.number
        for text in re.split(r"(?<!\\)\n", self.text) if self.kind == "sh" else ():
            words = shlex.split(text, comments=True)
            reason = next((why for begin, why in self.skipped.items() if shlex.join(words).startswith(begin)), None)
            while words:
                end = words.index("&&") if "&&" in words else len(words)
                command, words = words[:end], words[end + 1 :]
                output = command.pop() if ">" in command[-2:-1] else None
                yield Line(self.page, number, tuple(word for word in command if word != ">"), output, reason)
            number += 1 + text.count("\n")


@cache
def tokens(page: str) -> list[Token]:
    """Return a page as markdown-it reads it."""
    return MarkdownIt().enable("table").parse((ROOT / page).read_text())


def read_marks(text: str) -> dict[str, str]:
    """Return what the comments before a block skip (beginning -> reason); raises ValueError for others with "test:"."""
    marks = {found["begin"] or "": " ".join(found["reason"].split()) for found in MARK.finditer(text)}
    if len(marks) != text.count("test:"):
        raise ValueError(f"not understood, or twice: {text}")
    return marks


@cache
def blocks() -> list[Block]:
    """Return every fenced block."""
    found = []
    for page in PAGES:
        comments = ""
        for token in tokens(page):
            if token.type == "fence":
                assert token.map
                found.append(Block(page, token.map[0] + 2, token.info, token.content, read_marks(comments)))
            comments = comments + token.content if token.type == "html_block" else ""
    return found


@cache
def lines() -> list[Line]:
    """Return every command, in order."""
    return [line for block in blocks() for line in block.lines()]


def mentioned() -> Iterator[tuple[str, str]]:
    """Yield the place and the text of every command ``fer ...`` in running text and tables."""
    for page in PAGES:
        for token in tokens(page):
            for child in token.children or []:
                if child.type == "code_inline" and child.content.startswith("fer "):
                    assert token.map
                    yield f"{page} {token.map[0] + 1}", child.content
