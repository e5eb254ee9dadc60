"""Reading a paper's tables: a YAML of ``schema``, by path or by the name of a shipped one (``experiments/papers``)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from fer_cli.errors import PaperError, nearest
from fer_cli.escape import PATH, bad_name, cut
from fer_cli.papers.schema import KINDS, AnyTable, Claim, Confusion, Counts, Head, Paper, Scores, Table
from fer_cli.places import shipped_folder, user_path
from fer_cli.yamls import explain, parse_yaml, read_text

EXAMPLE = "example"
"""The worked file for a user's own paper; its errors are made up."""


def paper_names() -> list[str]:
    """Return the names of the shipped papers, without the worked example."""
    found = (path.stem for path in (shipped_folder("experiments") / "papers").glob("*.yaml"))
    return sorted(name for name in found if name != EXAMPLE)


def choose_papers(name: str | None, every: bool) -> list[str]:
    """Return the papers to audit: one, or all that are shipped; raises PaperError for neither or both."""
    if (name is None) == (not every):
        known = f"FILE.yaml, --all, or one of {', '.join([*paper_names(), EXAMPLE])}"
        raise PaperError(f"give {known}{', not two of them' if every else ''}")
    return paper_names() if name is None else [name]


def load_paper(name: str) -> Paper:
    """Return a paper by name or path; raises PaperError with the place of the first error."""
    given = name.endswith((".yaml", ".yml")) or os.sep in name
    known = [*paper_names(), EXAMPLE]
    if not given and name not in known:
        raise PaperError(f"no paper named '{cut(name)}'; for one of your own, give its path FILE.yaml{nearest(name, known)}")
    path = user_path(name) if given else shipped_folder("experiments") / "papers" / f"{name}.yaml"
    if not os.path.lexists(path):
        raise PaperError(f"{cut(path, PATH)}: no such file{nearest(name, known)}")
    text = read_text(path, PaperError)
    if not text.strip():
        raise PaperError(f"{cut(path, PATH)}: empty; experiments/papers/{EXAMPLE}.yaml shows what belongs in it")
    try:
        return read_paper(parse_yaml(text, path.name, PaperError, printed=True))
    except ValueError as error:
        raise PaperError(f"{cut(path.name)}: {error}") from None


def read_paper(tree: dict[str, Any]) -> Paper:
    """Return the paper of a parsed file; raises ValueError with the dotted path of the first error."""
    given = tree.get("tables")
    if "tables" not in tree:
        if wrong := sorted(set(tree) - {*Head.model_fields}):
            raise ValueError(f"{cut(wrong[0])}: unknown key{nearest(wrong[0], [*Head.model_fields, 'tables'])}")
        raise ValueError("tables: missing")
    if not isinstance(given, dict) or not given:
        raise ValueError("tables: expected a mapping of at least one table")
    try:
        head = Head.model_validate({key: value for key, value in tree.items() if key != "tables"})
    except ValidationError as error:
        raise ValueError(explain(error, Paper)) from None
    tables = {name: read_table(name, table) for name, table in given.items()}
    paper = Paper.model_construct(**{name: getattr(head, name) for name in Head.model_fields}, tables=tables)
    check_references(paper)
    return paper


def read_table(name: str, given: Any) -> AnyTable:
    """Return one table, validated by its kind; raises ValueError."""
    where = f"tables.{cut(name)}"
    if wrong := bad_name(name):
        raise ValueError(f"{where}: {wrong}")
    if not isinstance(given, dict):
        raise ValueError(f"{where}: expected a mapping with a kind, one of {', '.join(KINDS)}")
    kind = given.get("kind")
    if kind is None:
        raise ValueError(f"{where}.kind: missing; known: {', '.join(KINDS)}")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"{where}.kind: unknown kind '{cut(kind)}'{nearest(str(kind), KINDS)}")
    try:
        table = KINDS[kind].model_validate(given)
    except ValidationError as error:
        raise ValueError(explain(error, KINDS[kind], where)) from None
    check_table(where, table)
    return table


def check_table(where: str, table: AnyTable) -> None:
    """Raise ValueError for a name that a table refers to and does not have."""
    rows = list(table.rows)
    if isinstance(table, Confusion):
        for row, cells in table.rows.items():
            require(f"{where}.rows.{cut(row)}", "class", cells, rows)
    if isinstance(table, Scores):
        columns = list(dict.fromkeys(name for cells in table.rows.values() for name in cells))
        require(f"{where}.models", "row", table.models, rows)
        require(f"{where}.cited", "row", table.cited, rows)
        for part in ("columns", "mean", "sd"):
            require(f"{where}.{part}", "column", getattr(table, part), columns)
    if isinstance(table, Counts):
        parts = list(dict.fromkeys(name for cells in table.rows.values() for name in cells))
        require(f"{where}.row_totals", "row", table.row_totals, rows)
        for total in table.totals:
            require(f"{where}.totals", "part", total.parts, parts)
        for ratio in table.ratios:
            require(f"{where}.ratios", "part", ratio.parts, parts)
    if table.kind == "information":
        require(f"{where}.labels", "row", table.labels, rows)


def require(where: str, what: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raise ValueError for the first of ``names`` that is not known."""
    for name in names:
        if name not in known:
            raise ValueError(f"{where}: no {what} '{cut(name)}'{nearest(name, known)}")


def check_references(paper: Paper) -> None:
    """Raise ValueError for a test set or cell that the paper refers to and does not have."""
    for name, given in paper.sets.items():
        if given.counts is not None:
            require(f"sets.{cut(name)}.counts", "table", given.counts[:1], paper.tables)
            table = paper.tables[given.counts[0]]
            if not isinstance(table, Counts):
                raise ValueError(f"sets.{cut(name)}.counts: '{cut(given.counts[0])}' is not a table of kind counts")
            require(
                f"sets.{cut(name)}.counts", "part", given.counts[1:], {key for row in table.rows.values() for key in row}
            )
    for name, table in paper.tables.items():
        used = getattr(table, "set", None)
        require(f"tables.{cut(name)}.set", "test set", [] if used is None else [used], paper.sets)
        for column, entry in table.columns.items() if isinstance(table, Scores) else ():
            require(
                f"tables.{cut(name)}.columns.{cut(column)}.set", "test set", [entry.set] if entry.set else [], paper.sets
            )
    for index, claim in enumerate(paper.claims):
        check_claim(paper, f"claims.{index}", claim)
    for index, pair in enumerate(paper.differ):
        for path in pair:
            check_cell(paper, f"differ.{index}", path)


def check_claim(paper: Paper, where: str, claim: Claim) -> None:
    """Raise ValueError for a claim without cells, or with both a pair and pairs."""
    if bool(claim.pairs) == (claim.of is not None) or (claim.of is None) != (claim.over is None):
        raise ValueError(f"{where}: needs of and over, or pairs")
    for path in [claim.of, claim.over, *(path for pair in claim.pairs for path in pair)]:
        if isinstance(path, list):
            check_cell(paper, where, path)


def check_cell(paper: Paper, where: str, path: list[str]) -> None:
    """Raise ValueError for a path to no cell."""
    require(where, "table", path[:1], paper.tables)
    try:
        paper.cell(path)
    except (KeyError, TypeError, AttributeError):
        table: Table = paper.tables[path[0]]
        known = [" / ".join(keys) for keys in table.cells()]
        raise ValueError(f"{where}: no cell '{cut(' / '.join(path[1:]))}'{nearest(' / '.join(path[1:]), known)}") from None
