"""Text put into another language: one function per target, used for every string that goes there.

LaTeX, Markdown (CommonMark with GitHub's tables), CSV (against formulas), MLflow's filters, the address of a SQLite file,
and the terminal. Also what a name may hold, and how much of a wrong value a message repeats.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from urllib.parse import quote

ECHOED = 80
"""Characters of a value that a message repeats."""
PATH = 300
"""The same of a path, whose end says most."""
LONGEST_NAME = 200
BIDIRECTIONAL = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that make a terminal or an editor show text in another order than it has."""

LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "`": r"\`{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "α": r"$\alpha$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "·": r"$\cdot$",
    "→": r"$\to$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}

PUNCTUATION = r"!-/:-@\[-`{-~"
CODE = re.compile(r"`[\w.=+-]+(?: [\w.=+-]+)*`")
"""Words that a report itself sets as code, e.g. the name of a split."""
MARKDOWN = re.compile(
    rf"""
      \\(?=[{PUNCTUATION}]|$)                     # a backslash that would escape what follows
    | `                                           # code
    | (?<!\s)\*|\*(?!\s)|^\*                      # emphasis, a list
    | (?<![^\W_])(?<!_)_+ | _+(?![^\W_])(?!_)     # emphasis, unless inside a word
    | ~(?=~)|(?<=\S)~                             # struck out
    | ^\[(?=[ xX]\])|\[(?=\^)|\](?=[(\[:])        # a box to tick, a footnote, a link, its definition
    | <(?=[A-Za-z/!?])                            # HTML, an address
    | &(?=\#|\w+;)                                # an entity
    | \$                                          # a formula
    | \|                                          # the end of a cell
    | ^\#(?=\#*(?:\s|$)) | (?<=\s)\#(?=\#*$)     # a heading, its end
    | ^> | ^[+-](?=\s|$) | ^-(?=-*$)              # a quotation, a list, a rule
    """,
    re.VERBOSE,
)


def is_control(character: str) -> bool:
    """Return whether a character steers a terminal or an editor, ends a line, or cannot be written as UTF-8."""
    return unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} or character in BIDIRECTIONAL


def cut(value: object, most: int = ECHOED) -> str:
    """Return a value as messages repeat it, in one line: its first ``most`` characters, with an ellipsis for more."""
    try:
        text = str(value)
    except ValueError:  # a whole number of more digits than Python prints
        text = "a very long number"
    text = terminal(text[: most + 1], kept="")
    return text if len(text) <= most else f"{text[:most]}…"


def bad_name(name: object) -> str | None:
    """Return what is wrong with a name of a study, arm, class, data set or grid value, or None."""
    if not isinstance(name, str):
        return None
    if not name.strip():
        return "a name needs at least one visible character"
    if found := next((character for character in name if is_control(character)), None):
        return f"a name cannot hold the control character U+{ord(found):04X}"
    return f"a name has at most {LONGEST_NAME} characters" if len(name) > LONGEST_NAME else None


def bad_folder(name: str | None) -> str | None:
    """Return what is wrong with a name of a data set, which names a folder in the data root, too; or None."""
    leads_out = name is not None and (name in {".", ".."} or "/" in name or "\\" in name)
    return "the name of a data set is a name, not a path" if leads_out else None


def one_line(text: str) -> str:
    """Return text in one line: runs of blanks and line breaks become one blank, other control characters U+FFFD."""
    if text.isprintable():
        return " ".join(text.split())
    return "".join("\ufffd" if is_control(character) else character for character in " ".join(text.split()))


def terminal(text: str, kept: str = "\n\t") -> str:
    """Return text that cannot steer a terminal: control characters become visible escapes, but for those ``kept``."""
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape", "backslashreplace").decode("ascii")
        if is_control(character) and character not in kept
        else character
        for character in text
    )


def latex(text: str) -> str:
    """Return text safe anywhere in LaTeX but at the start of a table's row: see ``latex_row``."""
    apart = re.sub("-(?=-)", "-\0", one_line(text))  # two in a row would become a dash
    return "".join(LATEX.get(character, character) for character in apart).replace("\0", "{}")


def latex_row(cells: list[str]) -> str:
    r"""Return a row of a table of cells that are LaTeX already; after ``\\`` and rules, ``[`` and ``*`` are options."""
    row = " & ".join(cells)
    return ("{}" if row.lstrip().startswith(("[", "*")) else "") + row + r" \\"


def latex_comment(text: str) -> str:
    """Return text as a comment of one line."""
    return f"% {one_line(text)}".rstrip()


def markdown(text: str) -> str:
    """Return text that reads the same in Markdown, as a heading, an item of a list or a cell; ordinary text is unchanged.

    Only words in backticks stay code: reports name settings so.
    """
    text = one_line(text)
    parts, place = [], 0
    for code in CODE.finditer(text):
        parts += [text[place : code.start()], code.group()]
        place = code.end()
    parts.append(text[place:])
    return "".join(_plain_markdown(part, text, index == 0) if index % 2 == 0 else part for index, part in enumerate(parts))


def _plain_markdown(part: str, whole: str, first: bool) -> str:
    """Return one part of a text between words set as code."""
    if not first:  # its beginning is not that of the line
        return MARKDOWN.sub(lambda found: _escape(found.group()), f"){part}")[1:]
    numbered = re.match(r"\d{1,9}(?=[.)](?:\s|$))", part)
    head = f"{numbered.group()}\\" if numbered else ""
    rest = part[numbered.end() :] if numbered else part
    return head + MARKDOWN.sub(lambda found: _escape(found.group()), rest)


def _escape(characters: str) -> str:
    return "".join(f"\\{character}" for character in characters)


def csv_cell(value: object) -> object:
    """Return a value for a CSV: text in one line, with an apostrophe where a spreadsheet would compute it; numbers as is."""
    if not isinstance(value, str):
        return value
    text = one_line(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) or value.startswith(("\t", "\r")) else text


def mlflow_pattern(text: str) -> str:
    """Return a quoted pattern for LIKE in an MLflow filter that ``text`` matches, and other text of that shape may, too.

    MLflow knows no escapes, so whatever could end or change the pattern becomes ``_``, any one character: compare exactly
    what is found.
    """
    return "'" + re.sub(r"[^A-Za-z0-9 .:/+(),=-]", "_", text) + "'"


def sqlite_uri(path: Path) -> str:
    """Return the address by which SQLAlchemy and MLflow open the SQLite file ``path`` and nothing else.

    Raises OSError for a path that is not UTF-8. Where something is quoted the driver is named, too: else MLflow would make
    folders of the quoted names.
    """
    plain = str(path.absolute())
    quoted = "".join(quote(character) if character in "%?#" else character for character in plain)
    if any("\ud800" <= character <= "\udfff" for character in plain):
        raise OSError(f"{terminal(plain)}: a path that is not UTF-8 cannot be the address of a store")
    return f"sqlite{'' if quoted == plain else '+pysqlite'}:///{quoted}"


def hide_secrets(text: str) -> str:
    """Return text with no user and password in any address, and no password or token among its options."""
    text = re.sub(r"(\w://)(?!/)\S*@", r"\1***@", text)
    return re.sub(r"(?i)((?:password|passwd|pwd|token|secret|key)=)[^&\s]+", r"\1***", text)
