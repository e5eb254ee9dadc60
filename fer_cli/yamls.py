"""Strict YAML, and validation errors of pydantic in one line.

Scalars follow the core schema of YAML 1.2 (section 10.3), not PyYAML's 1.1: ``010`` is ten, ``1e-3`` a number, and ``no``,
``1:04`` and ``2024-01-01`` are text. Keys are unique text; ``<<`` merges mappings. File size, depth and number of nodes are
limited, so that a few lines cannot exhaust the memory.
"""

from __future__ import annotations

import math
import re
import unicodedata
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from yaml.constructor import ConstructorError

from fer_cli.errors import FerError, nearest
from fer_cli.escape import PATH, cut
from fer_cli.places import open_regular

MOST_BYTES = 1_000_000
MOST_NODES = 10_000
"""Scalars, lists and mappings; those repeated by aliases and merges count each time."""
MOST_DEPTH = 50
BITS = 63
"""Of an integer."""

TAG = "tag:yaml.org,2002:"
SCALARS = {
    "null": (re.compile(r"(?:~|null|Null|NULL|)\Z"), "~nN"),
    "bool": (re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), "tTfF"),
    "int": (re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z"), "-+0123456789"),
    "float": (
        re.compile(
            r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
        ),
        "-+.0123456789",
    ),
    "merge": (re.compile(r"<<\Z"), "<"),
}
"""Type of a plain scalar -> its pattern and first characters; everything else is text."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the core schema, limits, and no silent duplicate keys."""

    yaml_implicit_resolvers: Any = {}
    yaml_constructors: ClassVar[Any] = {}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = self.nodes = 0
        self.measured: dict[int, tuple[int, int]] = {}
        """Number of nodes and depth below each composed node, including aliases."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Return the next node; raises ConstructorError if a limit is exceeded, before anything is constructed."""
        mark, before = self.peek_event().start_mark, self.nodes  # type: ignore[no-untyped-call]
        self.depth += 1
        self._limit(self.depth, 0, mark)
        alias = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        if node is None:
            return None
        if alias and id(node) not in self.measured:
            raise ConstructorError(None, None, "an alias that contains itself", mark)
        if alias:
            inside, height = self.measured[id(node)]
            self.nodes += inside
            self._limit(self.depth + height, self.nodes, mark)
        else:
            self.nodes += 1
            self._limit(self.depth, self.nodes, mark)
            parts = node.value if isinstance(node, yaml.CollectionNode) else []
            flat = [part for pair in parts for part in (pair if isinstance(pair, tuple) else (pair,))]
            height = 1 + max((self.measured[id(part)][1] for part in flat), default=-1)
            self.measured[id(node)] = (self.nodes - before, height)
        self.depth -= 1
        return node

    def _limit(self, depth: int, nodes: int, mark: yaml.Mark) -> None:
        if depth > MOST_DEPTH:
            raise ConstructorError(None, None, f"nested deeper than the limit of {MOST_DEPTH} levels", mark)
        if nodes > MOST_NODES:
            raise ConstructorError(None, None, f"more than the limit of {MOST_NODES:,} values, aliases included", mark)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Return a mapping; raises ConstructorError for a key that is not text, or a duplicate."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            scalar = isinstance(key, yaml.ScalarNode)
            if not scalar or key.tag not in {f"{TAG}str", f"{TAG}merge"}:
                shown = cut(key.value or "(none)") if scalar else "a list or mapping"
                raise ConstructorError(None, None, f"key {shown} is not a name; put it in quotes", key.start_mark)
            if key.value in seen:
                hint = "; merge several with <<: [*a, *b]" if key.tag == f"{TAG}merge" else ""
                raise ConstructorError(None, None, f"duplicate key '{cut(key.value)}'{hint}", key.start_mark)
            seen.add(key.value)
        return node


def _scalar(loader: _Loader, node: yaml.Node) -> Any:
    """Return a scalar's value by its tag, resolved or explicit; raises ConstructorError if its text is not of that type."""
    kind, text = node.tag.removeprefix(TAG), node.value
    if not isinstance(text, str):
        raise ConstructorError(None, None, f"expected a {kind}, found a list or mapping", node.start_mark)
    if wrong := next((c for c in text if unicodedata.category(c) in {"Cc", "Cs"} and c not in "\n\t"), None):
        raise ConstructorError(None, None, f"the character U+{ord(wrong):04X} is not allowed", node.start_mark)
    if kind in SCALARS and not SCALARS[kind][0].match(text):
        raise ConstructorError(None, None, f"'{cut(text)}' is not of type {kind}", node.start_mark)
    if kind == "int":
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        number = int(text, base) if len(text) < BITS else 1 << BITS
        if abs(number) >> BITS:
            raise ConstructorError(
                None, None, f"{cut(text)} has more than {BITS} bits; quote it if it is text", node.start_mark
            )
        return number
    if kind == "float":
        word = text.lower().lstrip("+-")
        named = {".inf": math.inf, ".nan": math.nan}.get(word)
        return float(text) if named is None else math.copysign(named, -1.0 if text.startswith("-") else 1.0)
    return {"null": None, "bool": text.lower() == "true"}.get(kind, text)


class _PrintedLoader(_Loader):
    """The same with numbers left as the text that is written: 0.10 keeps its two digits."""


def _refuse(loader: _Loader, node: yaml.Node) -> Any:
    raise ConstructorError(None, None, f"tag {cut(node.tag.replace(TAG, '!!'))} is not supported", node.start_mark)


for _kind, (_pattern, _first) in SCALARS.items():
    for _character in [*_first, *([""] if _kind == "null" else [])]:
        _Loader.yaml_implicit_resolvers.setdefault(_character, []).append((f"{TAG}{_kind}", _pattern))
for _kind in ("null", "bool", "int", "float", "str", "merge"):
    _Loader.yaml_constructors[f"{TAG}{_kind}"] = _scalar
_Loader.yaml_constructors[f"{TAG}seq"] = yaml.SafeLoader.construct_yaml_seq
_Loader.yaml_constructors[f"{TAG}map"] = yaml.SafeLoader.construct_yaml_map
_Loader.yaml_constructors[None] = _refuse
_PrintedLoader.yaml_constructors = {
    **_Loader.yaml_constructors,
    **dict.fromkeys([f"{TAG}int", f"{TAG}float"], yaml.SafeLoader.construct_yaml_str),
}


def read_text(path: Path, error: type[FerError]) -> str:
    """Return the text of a regular UTF-8 file of at most a megabyte; raises ``error`` otherwise."""
    try:
        with open_regular(path) as stream:
            content = stream.read(MOST_BYTES + 1)
    except (OSError, ValueError) as problem:
        raise error(f"{cut(path, PATH)}: cannot be read ({getattr(problem, 'strerror', None) or problem})") from None
    if len(content) > MOST_BYTES:
        raise error(f"{cut(path, PATH)}: larger than the limit of {MOST_BYTES // 1_000_000} MB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = content[: problem.start].count(b"\n") + 1
        raise error(f"{cut(path, PATH)}, line {line}: not UTF-8; save it as a UTF-8 text file") from None


def parse_yaml(text: str, where: str, error: type[FerError], printed: bool = False) -> dict[str, Any]:
    """Return the mapping in ``text``; raises ``error`` with ``where`` and the line if it is not one.

    ``printed``: numbers are left as text, with the digits that are written.
    """
    try:
        tree = yaml.load(text, Loader=_PrintedLoader if printed else _Loader)  # noqa: S506 (a SafeLoader)
    except Exception as problem:  # odd text makes the loader raise anything, RecursionError included
        raise error(f"{cut(where)}{_complaint(problem, text)}") from None
    if not isinstance(tree, dict):
        raise error(f"{cut(where)}: expected a mapping of settings, found {type(tree).__name__}")
    return tree


def _complaint(problem: Exception, text: str) -> str:
    """Return line and reason of a loader error."""
    if isinstance(problem, yaml.reader.ReaderError):
        number = text[: problem.position].count("\n") + 1
        return f", line {number}: not valid YAML: the character U+{problem.character:04X} is not allowed"
    mark = getattr(problem, "problem_mark", None) or getattr(problem, "context_mark", None)
    line = "" if mark is None else f", line {mark.line + 1}"
    reason = getattr(problem, "problem", None) or f"{type(problem).__name__}: {cut(problem)}"
    return f"{line}: not valid YAML: {cut(reason, PATH)}"


def explain(error: ValidationError, model: type[BaseModel], prefix: str = "") -> str:
    """Return one error as ``dotted.path: problem``, with the nearest key for an unknown one.

    Unknown keys come before missing ones: a misspelt key is both.
    """
    first = min(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
    path = [str(part) for part in first["loc"]]
    dotted = cut(".".join([prefix, *path] if prefix else path))
    if first["type"] == "extra_forbidden":
        parent, known = ".".join(path[:-1]), known_keys(model, path[:-1])
        full = [f"{parent}.{key}" if parent else key for key in known]
        return f"{dotted}: unknown key{nearest('.'.join(path), full)}"
    if first["type"] == "missing":
        return f"{dotted}: missing"
    message = first["msg"].removeprefix("Value error, ")
    given = "" if first["type"] == "value_error" else f" (given: {cut(repr(first['input']))})"
    return f"{dotted}: {message}{given}" if dotted else f"{message}{given}"


def known_keys(model: type[BaseModel], path: list[str]) -> list[str]:
    """Return the field names of the (sub)model at ``path``, which may lead through mappings and lists of models."""
    here: Any = model
    for part in path:
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(part)
            here = field.annotation if field else None
        else:
            here = (get_args(here) or (None,))[-1]  # a mapping's values, a list's items
        if get_origin(here) in {Union, UnionType}:
            here = next((one for one in get_args(here) if one is not type(None)), None)
    return list(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []
