"""Figures as inline SVG: matplotlib's files without styles, metadata and unused ids, so that a strict policy allows them.

Ids are renamed, so that no two figures of a page share one and the same figure always has the same; text stays text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from markupsafe import Markup, escape

MOST_BYTES = 200_000
"""Larger figures stay out of the page, which names their file."""
LINK = "{http://www.w3.org/1999/xlink}href"
NUMBER = re.compile(r"-?\d+\.\d{3,}")
USED = re.compile(r"url\(#([^)]+)\)")
GEOMETRY = {"d", "points", "transform", "x", "y", "width", "height", "cx", "cy", "r", "x1", "x2", "y1", "y2", "viewBox"}
FONT = re.compile(r"(?:(?P<style>italic|oblique) )?(?:(?P<weight>bold|\d{3}) )?(?P<size>[\d.]+)px (?P<family>.+)")
TEXT = "'DejaVu Sans', Verdana, sans-serif"


def inline_svg(path: Path, prefix: str, title: str) -> Markup:
    """Return an SVG file of matplotlib as an element; ``prefix``: of its ids, ``title``: its name for screen readers.

    Raises OSError if the file cannot be read, ElementTree.ParseError if it is no SVG.
    """
    root = ElementTree.fromstring(path.read_bytes())  # noqa: S314 (a file that this suite has just drawn)
    tidy(root)
    rename(root, prefix)
    for name in ("width", "height"):
        root.set(name, f"{float(root.get(name, '0').removesuffix('pt')) * 4 / 3:.0f}")  # points to CSS pixels
    root.attrib.pop("version", None)
    root.set("role", "img")
    root.set("aria-label", title)
    root.set("stroke-linejoin", "round")
    root.set("stroke-linecap", "butt")
    return Markup("".join(write(root)))  # noqa: S704 (written by write, which escapes)


def tidy(root: ElementTree.Element) -> None:
    """Remove metadata and style sheets, turn style attributes into presentation attributes, and shorten numbers."""
    for parent in list(root.iter()):
        for child in list(parent):
            if short(child.tag) in {"metadata", "style"} or (short(child.tag) == "defs" and not len(child)):
                parent.remove(child)
    for element in root.iter():
        for part in filter(None, map(str.strip, element.attrib.pop("style", "").split(";"))):
            name, _, value = (text.strip() for text in part.partition(":"))
            if name == "font" and (font := FONT.fullmatch(value)):
                element.set("font-size", font["size"])
                element.attrib.update({f"font-{key}": font[key] for key in ("style", "weight") if font[key]})
            elif name == "font-size":
                element.set(name, value.removesuffix("px"))
            elif name not in {"font", "font-family", "-inkscape-stroke"}:
                element.set(name, value)
        if short(element.tag) == "text":
            element.set("font-family", TEXT)
        for name in GEOMETRY & element.attrib.keys():
            element.set(name, NUMBER.sub(shorten, element.attrib[name]).replace("\n", " ").strip())


def shorten(found: re.Match[str]) -> str:
    """Return a number with two decimals, without trailing zeros."""
    return f"{float(found.group()):.2f}".rstrip("0").rstrip(".")


def rename(root: ElementTree.Element, prefix: str) -> None:
    """Replace by numbers the ids that are used, in their order, and remove the others."""
    used: set[str] = set()
    for element in root.iter():
        if LINK in element.attrib:
            element.set("href", element.attrib.pop(LINK))
        for value in element.attrib.values():
            used.update(USED.findall(value))
        if (link := element.get("href", "")).startswith("#"):
            used.add(link[1:])
    names: dict[str, str] = {}
    for element in root.iter():
        name = element.attrib.pop("id", None)
        if name in used:
            element.set("id", names.setdefault(str(name), f"{prefix}-{len(names)}"))
    for element in root.iter():
        if (link := element.get("href", "")).startswith("#"):
            element.set("href", f"#{names.get(link[1:], link[1:])}")
        for key, value in element.attrib.items():
            element.set(key, USED.sub(lambda found: f"url(#{names.get(found[1], found[1])})", value))


def write(element: ElementTree.Element) -> Iterator[str]:
    """Yield an element and those in it as HTML; links to anything but ids and embedded pictures are left out."""
    tag = short(element.tag)
    if tag == "script":
        return
    yield f"<{tag}"
    for name, value in element.attrib.items():
        key = short(name)
        if key.startswith("on") or (key == "href" and not value.startswith(("#", "data:image/png;base64,"))):
            continue
        yield f' {key}="{escape(value)}"'
    inside = list(element)
    text = (element.text or "").strip() if tag not in {"text", "tspan"} else element.text or ""
    if not inside and not text:
        yield "/>"
        return
    yield f">{escape(text)}"
    for child in inside:
        yield from write(child)
        if child.tail and child.tail.strip():
            yield str(escape(child.tail))
    yield f"</{tag}>"


def short(tag: str) -> str:
    """Return the name of an element or attribute without its namespace."""
    return str(tag).rpartition("}")[2]


def has_raster(svg: str) -> bool:
    """Return whether a figure holds a picture of pixels."""
    return "<image" in svg
