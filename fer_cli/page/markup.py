"""Templates, styles and script of the pages. Every text is escaped; the content security policy allows nothing remote."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from fer_cli.escape import CODE, one_line

HERE = Path(__file__).resolve().parent
DATE = "%Y-%m-%d %H:%M UTC"


def render(template: str, **values: Any) -> str:
    """Return a page from a template in ``templates/``, with styles and script inlined."""
    css, script = read_asset("page.css"), read_asset("page.js")
    return environment().get_template(template).render(css=css, script=script, policy=make_policy(css, script), **values)


@cache
def environment() -> Environment:
    """Return the templates: all values are escaped and put on one line, and an unknown name is an error."""
    found = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=flatten_text,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters["prose"] = mark_code
    return found


def flatten_text(value: Any) -> Any:
    """Return a text on one line without control characters; markup and numbers as they are."""
    return one_line(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def mark_code(text: str) -> Markup:
    """Return a sentence as HTML, with the words in backticks as code."""
    parts, place, text = [], 0, one_line(text)
    for code in CODE.finditer(text):
        parts += [escape(text[place : code.start()]), Markup("<code>{}</code>").format(code.group().strip("`"))]
        place = code.end()
    return Markup("").join([*parts, escape(text[place:])])


@cache
def read_asset(name: str) -> Markup:
    """Return a style sheet or script without indentation and blank lines."""
    lines = (HERE / "templates" / name).read_text(encoding="utf-8").splitlines()
    return Markup("\n".join(line.strip() for line in lines if line.strip()) + "\n")  # noqa: S704 (a shipped file)


def make_policy(css: str, script: str) -> str:
    """Return the content security policy: this style sheet, this script and embedded images, nothing else."""
    style, code = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (css, script))
    return (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{code}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def write_json(value: Any) -> Markup:
    """Return JSON that can stand in a script element of type ``application/json``."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028"))  # noqa: S704 (no element can begin)
