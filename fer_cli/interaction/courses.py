"""A catalogue of courses, from which preferred ones are recommended (Aly 2023, section IV-C, rule 5)."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from fer_cli.errors import FerError, nearest
from fer_cli.escape import PATH, cut
from fer_cli.places import read_text

COLUMNS = ("name", "instructor", "category")


@dataclass(frozen=True)
class Course:
    """A course, whose instructor and category may be unknown (empty)."""

    name: str
    instructor: str = ""
    category: str = ""

    def likeness(self, other: Course) -> int:
        """Return 1 for the same instructor plus 1 for the same category; unknown ones never match."""
        return self._same(other).count(True)

    def reason(self, other: Course) -> str:
        """Return in which respects two courses are alike."""
        return " and ".join(word for word, same in zip(COLUMNS[1:], self._same(other), strict=True) if same)

    def _same(self, other: Course) -> list[bool]:
        pairs = ((self.instructor, other.instructor), (self.category, other.category))
        return [bool(mine) and mine == theirs for mine, theirs in pairs]


def read_courses(path: Path) -> list[Course]:
    """Return the courses in a CSV with columns name, instructor, category; raises FerError with the line of a fault."""
    where = cut(path, PATH)
    try:
        rows = csv.reader(io.StringIO(read_text(path).removeprefix("\ufeff"), newline=""), strict=True)
        header = next(rows, [])
        for name in COLUMNS:
            if name not in header:
                raise FerError(f"{where}: no column '{name}'{nearest(name, header)}")
        if twice := next((name for name in header if name and header.count(name) > 1), None):
            raise FerError(f"{where}: two columns named '{cut(twice)}'; rename or remove one of them")
        found: dict[str, Course] = {}
        for row in filter(None, rows):
            if len(row) != len(header):
                raise FerError(f"{where}, line {rows.line_num}: {len(row)} cells where the header has {len(header)}")
            cells = {name: cell.strip() for name, cell in zip(header, row, strict=True)}
            course = Course(*(cells[name] for name in COLUMNS))
            if not course.name or course.name in found:
                fault = "a course without a name" if not course.name else f"a second course '{cut(course.name)}'"
                raise FerError(f"{where}, line {rows.line_num}: {fault}")
            found[course.name] = course
    except OSError as error:
        raise FerError(f"{where}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise FerError(f"{where}: not a CSV in UTF-8 ({cut(error)})") from None
    return list(found.values())
