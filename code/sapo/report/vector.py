"""SVG as matplotlib writes it, into the same drawing in less than half of the bytes.

Styles that repeat become classes, only names that are referred to stay (as letters and digits), groups that say nothing
go, and places are given to a hundredth of a point. Words stay beside their outlines, as comments.
"""

import re
from collections.abc import Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_PLACES = ("x", "y", "width", "height", "cx", "cy", "r")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def small_svg(content: bytes) -> bytes:
    """The same picture, one element a line; the same input gives the same bytes."""
    builder = ElementTree.TreeBuilder(insert_comments=True)
    root = ElementTree.fromstring(content, ElementTree.XMLParser(target=builder))
    for metadata in root.findall(f"{SVG}metadata"):
        root.remove(metadata)
    names = {name: f"i{number}" for number, name in enumerate(dict.fromkeys(_references(root)))}
    classes: dict[str, str] = {}
    for element in root.iter():
        if isinstance(element.tag, str):
            _rename(element, names)
            _place(element)
            _classify(element, classes)
    _unwrap(root)
    sheet = next(root.iter(f"{SVG}style"))
    sheet.text = (sheet.text or "") + "".join(f"\n.{name}{{{style}}}" for style, name in classes.items())
    for element in root.iter():
        element.tail = "\n"
        if element.tag != sheet.tag and isinstance(element.tag, str):
            element.text = "\n" if len(element) else None
    ElementTree.register_namespace("", SVG.strip("{}"))
    ElementTree.register_namespace("xlink", XLINK.strip("{}"))
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def rounded(number: str) -> str:
    """A number to a hundredth, without what says nothing.

    >>> rounded("12.3456"), rounded("-0.001"), rounded("3.0"), rounded("0.5")
    ('12.35', '0', '3', '.5')
    """
    text = f"{float(number):.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "0") else re.sub(r"^(-?)0\.", r"\1.", text)


def _references(root: Element) -> Iterator[str]:
    for element in root.iter():
        for key, value in element.attrib.items():
            if key in (f"{XLINK}href", "href"):
                yield value.removeprefix("#")
            else:
                yield from _REFERENCE.findall(value)


def _rename(element: Element, names: dict[str, str]) -> None:
    """Short names; those that nobody refers to go."""
    for key, value in list(element.attrib.items()):
        if key == "id" and value not in names:
            del element.attrib[key]
        elif key == "id":
            element.set(key, names[value])
        elif key in (f"{XLINK}href", "href"):
            element.set(key, f"#{names[value.removeprefix('#')]}")
        else:
            element.set(key, _REFERENCE.sub(lambda found: f"url(#{names[found[1]]})", value))


def _place(element: Element) -> None:
    """Coordinates to a hundredth; a moved `use` says where by x and y."""
    for key in _PLACES:
        if re.fullmatch(r"-?[\d.]+", element.get(key, "")):
            element.set(key, rounded(element.attrib[key]))
    if path := element.get("d"):
        element.set("d", _path(path))
    moved = re.sub(r"translate\(([^)]*)\)", lambda at: f"translate({_numbers(at[1])})", element.get("transform", ""))
    alone = re.fullmatch(r"translate\((\S+) (\S+)\)", moved)
    if alone and element.tag == f"{SVG}use" and "x" not in element.attrib:
        del element.attrib["transform"]
        element.attrib |= {name: value for name, value in zip("xy", alone.groups(), strict=True) if value != "0"}
    elif moved:
        element.set("transform", moved)


def _path(path: str) -> str:
    """Commands and their numbers with no more blanks than are needed."""
    parts = re.findall(r"([A-Za-z])([^A-Za-z]*)", path)
    return "".join(command + _numbers(numbers) for command, numbers in parts)


def _numbers(text: str) -> str:
    return " ".join(map(rounded, re.findall(r"-?[\d.]+(?:e-?\d+)?", text)))


def _classify(element: Element, classes: dict[str, str]) -> None:
    """A style as a class, which is named by the order in which styles come; `classes`: names by style."""
    if style := element.attrib.pop("style", ""):
        tight = ";".join(re.sub(r"\s*:\s*", ":", part.strip()) for part in style.split(";") if part.strip())
        element.set("class", classes.setdefault(tight, f"c{len(classes)}"))


def _unwrap(element: Element) -> None:
    """What groups without any attribute hold takes their place."""
    kept: list[Element] = []
    for child in element:
        _unwrap(child)
        kept += list(child) if child.tag == f"{SVG}g" and not child.attrib else [child]
    element[:] = kept
