"""Escaping for LaTeX, Markdown (CommonMark with GitHub tables), CSV, MLflow filters, SQLite URIs and the terminal.

Also the rules for valid names, and the truncation of wrong values in messages.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

ECHOED = 80
"""Characters of a value quoted in a message."""
PATH = 300
"""The same for paths."""
LONGEST_NAME = 200
BIDIRECTIONAL = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that make a terminal or editor reorder text."""

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "`": r"\`{}", "|": r"\textbar{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "±": r"$\pm$", "−": "$-$", "–": "--", "×": r"$\times$", "≥": r"$\geq$",
    "·": r"$\cdot$", "→": r"$\to$", "²": "$^2$", "≤": r"$\leq$", "≈": r"$\approx$", "≠": r"$\neq$",
    "†": r"$\dagger$", "‡": r"$\ddagger$", "∞": r"$\infty$", "√": r"$\surd$", "…": r"\dots{}", "—": "---", "°": r"$^\circ$",
    "’": "'", "‘": "`", "“": "``", "”": "''", "•": r"$\bullet$", "Ω": r"$\Omega$", "Δ": r"$\Delta$", "Σ": r"$\Sigma$",
    "α": r"$\alpha$", "β": r"$\beta$", "γ": r"$\gamma$", "δ": r"$\delta$", "ε": r"$\epsilon$", "ζ": r"$\zeta$",
    "η": r"$\eta$", "θ": r"$\theta$", "ι": r"$\iota$", "κ": r"$\kappa$", "λ": r"$\lambda$", "μ": r"$\mu$", "ν": r"$\nu$",
    "ξ": r"$\xi$", "π": r"$\pi$", "ρ": r"$\rho$", "σ": r"$\sigma$", "τ": r"$\tau$", "υ": r"$\upsilon$", "φ": r"$\phi$",
    "χ": r"$\chi$", "ψ": r"$\psi$", "ω": r"$\omega$",
}  # fmt: skip

PUNCTUATION = r"!-/:-@\[-`{-~"
CODE = re.compile(r"`[\w.=+-]+(?: [\w.=+-]+)*`")
"""Words that a report formats as code, e.g. the name of a split."""
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
    """Return whether a character is a control or bidirectional mark, ends a line, or is not encodable as UTF-8."""
    return unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} or character in BIDIRECTIONAL


def cut(value: object, most: int = ECHOED) -> str:
    """Return the first ``most`` characters of a value on one line, with an ellipsis if truncated."""
    try:
        text = str(value)
    except ValueError:  # an integer with more digits than Python prints
        text = "a very long number"
    text = terminal(text[: most + 1], kept="")
    return text if len(text) <= most else f"{text[:most]}…"


def bad_name(name: object) -> str | None:
    """Return why a name of a study, arm, class, data set or grid value is invalid, or None."""
    if not isinstance(name, str):
        return None
    if not name.strip():
        return "a name needs at least one visible character"
    if found := next((character for character in name if is_control(character)), None):
        return f"a name cannot contain the control character U+{ord(found):04X}"
    return f"a name can have at most {LONGEST_NAME} characters" if len(name) > LONGEST_NAME else None


def bad_folder(name: str | None) -> str | None:
    """Return why a data set name cannot be a folder in the data root, or None."""
    is_path = name is not None and (name in {".", ".."} or "/" in name or "\\" in name)
    return "a data set is given by name, not by path" if is_path else None


def one_line(text: str) -> str:
    """Return text on one line: runs of whitespace become one space, other control characters U+FFFD."""
    if text.isprintable():
        return " ".join(text.split())
    return "".join("\ufffd" if is_control(character) else character for character in " ".join(text.split()))


def terminal(text: str, kept: str = "\n\t") -> str:
    """Return text with control characters, except those in ``kept``, as visible escapes."""
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape", "backslashreplace").decode("ascii")
        if is_control(character) and character not in kept
        else character
        for character in text
    )


def latex(text: str) -> str:
    """Return text escaped for LaTeX; at the start of a table row, use ``latex_row``."""
    apart = re.sub("-(?=-)", "-\0", one_line(text))  # two hyphens would become a dash
    return "".join(LATEX.get(character, character) for character in apart).replace("\0", "{}")


def latex_row(cells: list[str]) -> str:
    r"""Return a table row of LaTeX cells, protecting a leading ``[`` or ``*``, which is an option after ``\\`` and rules."""
    row = " & ".join(cells)
    return ("{}" if row.lstrip().startswith(("[", "*")) else "") + row + r" \\"


def latex_comment(text: str) -> str:
    """Return text as a one-line comment."""
    return f"% {one_line(text)}".rstrip()


def markdown(text: str) -> str:
    """Return text escaped for Markdown headings, list items and table cells; words in backticks stay code."""
    text = one_line(text)
    parts, place = [], 0
    for code in CODE.finditer(text):
        parts += [text[place : code.start()], code.group()]
        place = code.end()
    parts.append(text[place:])
    return "".join(_plain_markdown(part, index == 0) if index % 2 == 0 else part for index, part in enumerate(parts))


def _plain_markdown(part: str, first: bool) -> str:
    """Escape the text between two code spans."""
    if not first:  # not at the start of the line
        return MARKDOWN.sub(lambda found: _escape(found.group()), f"){part}")[1:]
    numbered = re.match(r"\d{1,9}(?=[.)](?:\s|$))", part)
    head = f"{numbered.group()}\\" if numbered else ""
    rest = part[numbered.end() :] if numbered else part
    return head + MARKDOWN.sub(lambda found: _escape(found.group()), rest)


def _escape(characters: str) -> str:
    return "".join(f"\\{character}" for character in characters)


def csv_cell(value: object) -> object:
    """Return a CSV cell: text on one line, an apostrophe before what a spreadsheet takes for a formula; numbers as is."""
    return csv_text(value) if isinstance(value, str) else value


@lru_cache(maxsize=4096)
def csv_text(value: str) -> str:
    """Return text as a CSV cell; a long table repeats most of its cells."""
    text = one_line(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) or value.startswith(("\t", "\r")) else text


def mlflow_pattern(text: str) -> str:
    """Return a quoted LIKE pattern for an MLflow filter that matches ``text``, and possibly other text: check the hits.

    MLflow has no escapes, so special characters become ``_``, which matches any character.
    """
    return "'" + re.sub(r"[^A-Za-z0-9 .:/+(),=-]", "_", text) + "'"


def sqlite_uri(path: Path, base: Path | None = None) -> str:
    """Return the URI of the SQLite file ``path`` for SQLAlchemy and MLflow; raises OSError for a path that is not UTF-8.

    ``base``: a folder other than the root; a path below it is given from there. A quoted path names the driver as well:
    otherwise MLflow creates folders with the quoted names.
    """
    whole = path.absolute()
    below = base is not None and base.parent != base and whole.is_relative_to(base)
    plain = str(whole.relative_to(base) if base is not None and below else whole)
    quoted = "".join(quote(character) if character in "%?#" else character for character in plain)
    if any("\ud800" <= character <= "\udfff" for character in plain):
        raise OSError(f"{terminal(plain)}: a path that is not UTF-8 cannot be the URI of a store")
    return f"sqlite{'' if quoted == plain else '+pysqlite'}:///{quoted}"


def quote_error(error: BaseException, most: int = 200) -> str:
    """Return what another library says went wrong: one line without secrets, at most ``most`` characters; else the type.

    Texts of MLflow, Ray and databases name the address that failed, with its password.
    """
    text = hide_secrets(" ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= most else f"{text[:most]}…"


def hide_secrets(text: str) -> str:
    """Return text with credentials in URLs, and passwords and tokens in options, masked."""
    text = re.sub(r"(\w://)(?!/)\S*@", r"\1***@", text)
    return re.sub(r"(?i)((?:password|passwd|pwd|token|secret|key)=)[^&\s]+", r"\1***", text)
