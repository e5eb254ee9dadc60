"""What a paper prints, as data: the schema of ``fer audit-paper FILE.yaml``.

A paper has test sets, tables by id, and claims of its text about their cells. Numbers are written with their printed digits
(0.10 and 0.1 differ), with bounds as printed (``<0.001``), and ``null`` for an empty cell. A table's ``kind`` is a key of
``KINDS``; its ``unit`` is that of its shares: ``%`` (the default), ``share`` (0 to 1) or ``plain`` (no shares: FLOPs,
seconds). A value that ends in ``%`` is a percentage in any table. ``experiments/papers/example.yaml`` has one of every kind.

Where a number is a mean over repetitions on the same test images, ``runs`` says how many: rates over n images are then
multiples of 1/(runs x n). Means over folds have no such test set: leave ``set`` out. Numbers count as rounded, not as cut
off.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, PlainValidator, field_validator, model_validator

from fer_cli.config import Section
from fer_cli.papers.printed import Cell, Count, OptionalCount, OptionalPositive, Positive, Printed, Span

Unit = Literal["%", "share", "plain"]
CellPath = Annotated[list[str], Field(min_length=2, max_length=4)]
"""A cell: the id of its table, then its keys below ``rows``, e.g. ``[table 2, ECEM, accuracy]``."""


def as_share(cell: Printed, unit: Unit) -> Span:
    """Return the interval of a cell, in [0, 1] for shares."""
    return cell.span * 0.01 if cell.percent or unit == "%" else cell.span


def as_list(given: Any) -> Any:
    """Return a single value as a list."""
    return given if isinstance(given, list) else [given]


class ImageSet(Section):
    """Images that models are tested on: their number, or alternatives if the paper states several, and that of each class.

    ``counts``: id of a table of counts, and its part that holds the classes.
    """

    n: Annotated[list[Positive], BeforeValidator(as_list)] = []
    classes: dict[str, Count] = {}
    counts: Annotated[list[str], Field(min_length=2, max_length=2)] | None = None


class Table(Section):
    """A table, figure or passage with numbers; ``place``: where it is, as the findings name it."""

    place: str
    unit: Unit = "%"
    note: str = ""

    def cells(self) -> dict[tuple[str, ...], Printed]:
        """Return printed cells by their keys below ``rows``."""
        found: dict[tuple[str, ...], Printed] = {}
        walk(getattr(self, "rows"), (), found)  # noqa: B009 (each kind has its own)
        return found


def walk(tree: Any, path: tuple[str, ...], found: dict[tuple[str, ...], Printed]) -> None:
    """Add the printed cells below ``tree`` to ``found``."""
    if isinstance(tree, Printed):
        found[path] = tree
    elif isinstance(tree, Section):
        walk({name: getattr(tree, name) for name in type(tree).model_fields}, path, found)
    elif isinstance(tree, dict):
        for name, value in tree.items():
            walk(value, (*path, name), found)


class Column(Section):
    """A column of scores: its metric and test set, and its unit where it differs from the table's."""

    metric: str = "accuracy"
    set: str | None = None
    unit: Unit | None = None


class Scores(Table):
    """Values of models (rows) by column: accuracy by test set unless ``columns`` says otherwise.

    ``models``: row -> model, where one model has several names; ``mean``, ``sd``: printed mean and standard deviation of
    each column; ``classes``: number of classes of a ``probability``; ``stated_rows``: the number of rows that the text
    states; ``cited``: rows copied from other papers, which need not have used this paper's test sets.
    """

    kind: Literal["scores"]
    rows: dict[str, dict[str, Cell]] = Field(min_length=1)
    columns: dict[str, Column] = {}
    metric: str = "accuracy"
    models: dict[str, str] = {}
    cited: list[str] = []
    mean: dict[str, Cell] = {}
    sd: dict[str, Cell] = {}
    runs: Positive = 1
    classes: OptionalPositive = None
    stated_rows: OptionalCount = None

    def column(self, name: str) -> Column:
        """Return what a column holds; by default the table's metric on the test set of that name."""
        return self.columns.get(name) or Column(metric=self.metric, set=name)

    def share(self, name: str, cell: Printed) -> Span:
        """Return a cell of a column, in [0, 1] for shares."""
        return as_share(cell, self.column(name).unit or self.unit)


class ClassRow(Section):
    """Precision, recall and F1 of one class, and its number of test images if the test set does not give it."""

    precision: Cell = None
    recall: Cell = None
    f1: Cell = None
    n: OptionalCount = None


class ClassScores(Table):
    """Precision, recall and F1 of one model by class, with its accuracy and averages as printed."""

    kind: Literal["per_class"]
    model: str
    set: str | None = None
    rows: dict[str, ClassRow] = Field(min_length=1)
    accuracy: Cell = None
    macro: ClassRow = ClassRow()
    weighted: ClassRow = ClassRow()
    runs: Positive = 1


class Confusion(Table):
    """A confusion matrix: truth -> answer -> count, or share of the row (``normalised``).

    A cell that is left out is one that the paper does not print, as ``null`` is.
    """

    kind: Literal["confusion"]
    model: str
    set: str | None = None
    rows: dict[str, dict[str, Cell]] = Field(min_length=2)
    normalised: bool = False
    accuracy: Cell = None
    runs: Positive = 1

    def whole_row(self, name: str) -> list[Printed] | None:
        """Return the cells of a row; None if that of any class is not printed."""
        given = [cell for cell in self.rows[name].values() if cell is not None]
        return given if len(given) == len(self.rows) else None


class Total(Section):
    """A printed total over parts of a table of counts; ``place``: where it is printed."""

    place: str
    parts: list[str] = Field(min_length=1)
    printed: Count


class Ratio(Section):
    """A stated ratio of two parts, e.g. ``4:1``."""

    place: str
    parts: Annotated[list[str], Field(min_length=2, max_length=2)]
    printed: Annotated[str, Field(pattern=r"^[0-9]{1,4}(\.[0-9]{1,4})?:[0-9]{1,4}(\.[0-9]{1,4})?$")]


class Counts(Table):
    """Numbers of images: class -> part -> count, with printed totals and ratios."""

    kind: Literal["counts"]
    rows: dict[str, dict[str, OptionalCount]] = Field(min_length=1)
    row_totals: dict[str, Count] = {}
    totals: list[Total] = []
    ratios: list[Ratio] = []

    def part(self, name: str) -> dict[str, int]:
        """Return the counts of a part by class."""
        return {row: cells[name] for row, cells in self.rows.items() if cells.get(name) is not None}  # type: ignore[misc]


class Hit(Section):
    """Accuracy of a model and its number of correct images."""

    accuracy: Cell = None
    correct: OptionalCount = None


class Hits(Table):
    """Accuracies beside numbers of correct images, all on one test set of ``n`` images (null: not stated)."""

    kind: Literal["hits"]
    set: str | None = None
    n: OptionalCount = None
    rows: dict[str, Hit] = Field(min_length=1)


class Effect(Section):
    """A row of an analysis of variance; ``eta2``: partial eta squared."""

    df: Positive = 1
    ms: Cell = None
    f: Cell = None
    p: Cell = None
    eta2: Cell = None


class Anova(Table):
    """Analyses of (co)variance: outcome -> effect -> row; ``df_error``: of all outcomes (null: not stated)."""

    kind: Literal["anova"]
    rows: dict[str, dict[str, Effect]] = Field(min_length=1)
    df_error: OptionalPositive = None


class Information(Table):
    """Mutual information or entropy: row -> column -> value; ``labels``: number of classes by row."""

    kind: Literal["information"]
    rows: dict[str, dict[str, Cell]] = Field(min_length=1)
    labels: dict[str, Positive] = Field(min_length=1)
    scale: Literal["bits", "nats"] | None = None


class Time(Section):
    """Run time of a model over ``n`` images, its images per second and milliseconds per image."""

    seconds: Cell = None
    fps: Cell = None
    ms: Cell = None
    n: OptionalPositive = None


class Runtime(Table):
    """Run times of models, all over ``n`` images unless a row says otherwise."""

    kind: Literal["runtime"]
    n: OptionalPositive = None
    rows: dict[str, Time] = Field(min_length=1)


class Shares(Table):
    """Rows of shares that add up to a whole, such as the pieces of a pie."""

    kind: Literal["shares"]
    rows: dict[str, dict[str, Cell]] = Field(min_length=1)


Kind = TypeVar("Kind", bound=Table)
AnyTable = Scores | ClassScores | Confusion | Counts | Hits | Anova | Information | Runtime | Shares
KINDS: dict[str, type[AnyTable]] = {
    "scores": Scores,
    "per_class": ClassScores,
    "confusion": Confusion,
    "counts": Counts,
    "hits": Hits,
    "anova": Anova,
    "information": Information,
    "runtime": Runtime,
    "shares": Shares,
}
"""``kind`` of a table -> its schema."""


def read_base(given: Any) -> Any:
    """Return what a gain is over: a cell, or the words of a value; raises ValueError for anything else."""
    keys = given if isinstance(given, list) else []
    if given is None or isinstance(given, str) or (2 <= len(keys) <= 4 and all(isinstance(key, str) for key in keys)):
        return given
    raise ValueError("expected a cell [table, row, column], or words for a value that the paper does not print")


class Claim(Section):
    """A sentence: cell ``of`` exceeds cell ``over``, and if ``by`` is given, by how much.

    ``over`` is a text where the paper prints no such cell. ``pairs``: the largest gain of several pairs [of, over].
    ``unit``: how ``by`` is meant, in points (a difference) or in percent (of the second value or, as of a fall, of the
    first); null: either.
    """

    place: str
    of: CellPath | None = None
    over: Annotated[list[str] | str | None, PlainValidator(read_base)] = None
    pairs: list[Annotated[list[CellPath], Field(min_length=2, max_length=2)]] = []
    by: Cell = None
    unit: Literal["points", "percent"] | None = None

    @model_validator(mode="after")
    def _two_cells(self) -> Claim:
        for one, other in [(self.of, self.over), *self.pairs]:
            if one is not None and one == other:
                raise ValueError(f"{', '.join(one)} is compared with itself")
        return self


class Head(Section):
    """The top of a paper's file; ``tables`` are validated one by one, by their kind."""

    cite: str
    title: str = ""
    note: str = ""
    sets: dict[str, ImageSet] = {}
    claims: list[Claim] = []
    differ: list[Annotated[list[CellPath], Field(min_length=2, max_length=2)]] = []
    """Pairs of cells from different experiments, whose values should not be equal to the last digit."""

    @field_validator("differ", mode="after")
    @classmethod
    def _two_cells(cls, pairs: list[list[CellPath]]) -> list[list[CellPath]]:
        if same := [one for one, other in pairs if one == other]:
            raise ValueError(f"{', '.join(same[0])} is paired with itself")
        return pairs


class Paper(Head):
    """A paper: its head, and its tables by id."""

    tables: dict[str, AnyTable] = Field(min_length=1)

    def of_kind(self, kind: type[Kind]) -> list[Kind]:
        """Return the tables of a kind."""
        return [table for table in self.tables.values() if isinstance(table, kind)]

    def cell(self, path: list[str]) -> Printed | None:
        """Return the cell at a path, or None if it is empty; raises KeyError for an unknown path."""
        here: Any = self.tables[path[0]].rows
        for key in path[1:]:
            fields = {name: getattr(here, name) for name in type(here).model_fields} if isinstance(here, Section) else here
            here = fields[key]
        if here is not None and not isinstance(here, Printed):
            raise KeyError(path[-1])
        return here

    def support(self, name: str | None) -> dict[str, int]:
        """Return the images of a test set by class, empty if not known."""
        given = self.sets.get(name or "")
        if given is None:
            return {}
        if given.counts is not None:
            table = self.tables[given.counts[0]]
            return table.part(given.counts[1]) if isinstance(table, Counts) else {}
        return given.classes

    def sizes(self, name: str | None) -> list[int]:
        """Return the possible sizes of a test set, none if not known."""
        given, support = self.sets.get(name or ""), self.support(name)
        stated = given.n if given else []
        return sorted({*stated, *([sum(support.values())] if support else [])} - {0})
