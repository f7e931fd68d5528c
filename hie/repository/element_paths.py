"""Paths to elements of a resource: the part of FHIRPath that a patch needs (FHIR R4 fhirpatch.html).

Understood are element names, indexes, first(), last(), single(), extension(url), ofType(type) and where()
with comparisons joined by `and`: `Patient.identifier.where(system = 'urn:x' and use = 'official').value`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from itertools import islice
from typing import Any

from esb.errors import Issue
from esb.fhir.definitions import load
from hie.errors import Rejected

MOST_CHARACTERS = 1000
TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*')|(?P<number>-?\d+(?:\.\d+)?)|@(?P<date>[0-9T:.Z+-]+)"
    r"|(?P<name>`[^`]+`|%?[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>[.()\[\]=]))"
)
ESCAPE = re.compile(r"\\(.)", re.DOTALL)
CONSTANTS = {"true": True, "false": False}
# A place in a resource: the keys and indexes that lead there.
Place = tuple[str | int, ...]


class WrongPath(Rejected):
    """A patch names what is not there, or says it in a way that is not understood."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: an element's `name`, or a function `name` with what stands in its brackets."""

    name: str
    is_function: bool = False
    index: int | None = None
    url: str = ""
    conditions: tuple[tuple[tuple[str, ...], Any], ...] = ()

    def __str__(self) -> str:
        """Show the step without the values it compares with."""
        if self.name == "[]":
            return f"[{self.index}]"
        brackets = "(...)" if self.name in TAKING else "()"
        return self.name + brackets if self.is_function else self.name


@dataclass(frozen=True, slots=True)
class Path:
    """A path as understood; `shown` holds element names and no values."""

    type: str
    steps: tuple[Step, ...]

    @property
    def shown(self) -> str:
        """Return the path as messages name it."""
        text = self.type
        for step in self.steps:
            text += str(step) if step.name == "[]" else f".{step}"
        return text

    def parent(self) -> tuple[Path, str]:
        """Return the path of what holds the element that is named last, and its name. Raises: WrongPath."""
        if not self.steps or self.steps[-1].is_function:
            raise wrong(self.shown, "ends with no element's name")
        return Path(self.type, self.steps[:-1]), self.steps[-1].name


@dataclass(frozen=True, slots=True)
class Found:
    """An element that a path leads to: where it stands, its type, what is there, the type it stands in."""

    place: Place
    type: str
    value: Any
    within: str = ""


@dataclass(frozen=True, slots=True)
class Shape:
    """An element of a type as R4 defines it: its JSON keys with the type of each, and whether it repeats."""

    keys: dict[str, str]
    many: bool


def wrong(shown: str, text: str) -> WrongPath:
    """Return the error that names an element."""
    return WrongPath(f"{shown} {text}", issues=[Issue(shown, f"{shown} {text}", "processing")])


@cache
def shape_of(type_: str, name: str) -> Shape | None:
    """Return an element of a type or backbone, such as ("Observation", "value"); None if there is none."""
    properties = load("schema").get(type_, {}).get("properties", {})
    if name in properties and not name.startswith("_"):
        one = properties[name]
        many = one.get("type") == "array"
        return Shape({name: _type_of(one["items"] if many else one)}, many)
    stem = re.compile(re.escape(name) + "[A-Z]")
    keys = {key: _type_of(one) for key, one in properties.items() if stem.match(key)}
    return Shape(keys, many=False) if keys else None


def _type_of(schema: dict[str, Any]) -> str:
    return str(schema.get("$ref", "")).removeprefix("#/$defs/")


def parse(text: Any, shown: str) -> Path:
    """Return a path. Args: shown: where it stands, for messages. Raises: WrongPath."""
    if not isinstance(text, str) or len(text) > MOST_CHARACTERS:
        raise wrong(shown, f"is no path of at most {MOST_CHARACTERS} characters")
    return _Parser(text, shown).path()


class _Parser:
    """Reads one path, token by token."""

    def __init__(self, text: str, shown: str) -> None:
        self._shown = shown
        self._tokens: list[tuple[str, str]] = []
        at = 0
        text = text.rstrip()
        while at < len(text):
            found = TOKEN.match(text, at)
            if found is None or found.lastgroup is None:
                raise self._unclear()
            self._tokens.append((found.lastgroup, found[found.lastgroup]))
            at = found.end()

    def path(self) -> Path:
        """Return the path."""
        type_ = self._name()
        steps = []
        while self._tokens:
            if self._takes("["):
                steps.append(Step("[]", True, index=self._index()))
                self._expect("]")
                continue
            self._expect(".")
            steps.append(self._step())
        return Path(type_, tuple(steps))

    def _step(self) -> Step:
        name = self._name()
        if not self._takes("("):
            return Step(name)
        if name not in FUNCTIONS:
            raise self._unclear()
        step = Step(name, True)
        if name == "where":
            step = Step(name, True, conditions=self._conditions())
        elif name in TAKING:
            step = Step(name, True, url=str(self._literal(bare=True)))
        self._expect(")")
        return step

    def _conditions(self) -> tuple[tuple[tuple[str, ...], Any], ...]:
        conditions = []
        while True:
            names = [self._name()]
            while self._takes("."):
                names.append(self._name())
            self._expect("=")
            conditions.append((tuple(names), self._literal()))
            if self._tokens[:1] != [("name", "and")]:
                return tuple(conditions)
            self._tokens.pop(0)

    def _literal(self, *, bare: bool = False) -> Any:
        kind, text = self._tokens.pop(0) if self._tokens else ("", "")
        if kind == "text":
            return ESCAPE.sub(r"\1", text[1:-1])
        if kind == "date":
            return text
        if kind == "number":
            return Decimal(text)
        if kind == "name" and (bare or text in CONSTANTS):
            return text if bare else CONSTANTS[text]
        raise self._unclear()

    def _index(self) -> int:
        kind, text = self._tokens.pop(0) if self._tokens else ("", "")
        if kind != "number" or not text.isdigit() or len(text) > 6:
            raise self._unclear()
        return int(text)

    def _name(self) -> str:
        kind, text = self._tokens.pop(0) if self._tokens else ("", "")
        if kind != "name":
            raise self._unclear()
        return text.strip("`")

    def _takes(self, sign: str) -> bool:
        if self._tokens[:1] == [("sign", sign)]:
            self._tokens.pop(0)
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._takes(sign):
            raise self._unclear()

    def _unclear(self) -> WrongPath:
        known = "names, [n], first(), last(), single(), extension(url), ofType(type), where(a = 'b' and ...)"
        return wrong(self._shown, f"is no path that is understood here: {known}")


def find(resource: dict[str, Any], path: Path) -> list[Found]:
    """Return the elements that a path leads to. Raises: WrongPath for an element that R4 does not know."""
    if path.type not in (resource["resourceType"], "Resource", "DomainResource"):
        raise wrong(path.shown, f"does not begin with {resource['resourceType']}")
    found = [Found((), resource["resourceType"], resource)]
    for number, step in enumerate(path.steps):
        if step.is_function:
            found = FUNCTIONS[step.name](found, step)
        else:
            so_far = Path(path.type, path.steps[: number + 1]).shown
            following = path.steps[number + 1 : number + 2]
            most = following[0].index if following and following[0].name == "[]" else None
            found = [inner for one in found for inner in children(one, step.name, so_far, most)]
    return found


def children(of: Found, name: str, shown: str, most: int | None = None) -> list[Found]:
    """Return what stands under a name, of a list no more than up to an index.

    Raises: WrongPath if the type has no such element.
    """
    shape = shape_of(of.type, name)
    if shape is None:
        raise wrong(shown, "is no element of R4")
    if not isinstance(of.value, dict):
        return []
    listed = []
    for key, type_ in shape.keys.items():
        if key not in of.value:
            continue
        value = of.value[key]
        listed_up_to = None if most is None else most + 1
        is_list = shape.many and isinstance(value, list)
        items = enumerate(islice(value, listed_up_to)) if is_list else [(None, value)]
        for index, item in items:
            place = (*of.place, key) if index is None else (*of.place, key, index)
            listed.append(Found(place, _own_type(type_, item), item, of.type))
    return listed


def _own_type(type_: str, value: Any) -> str:
    """Return the type of what stands there: a contained resource says itself what it is."""
    own = value.get("resourceType") if type_ in ("", "Contained") and isinstance(value, dict) else None
    return own if isinstance(own, str) else type_


def _where(found: list[Found], step: Step) -> list[Found]:
    return [one for one in found if all(_holds(one.value, *condition) for condition in step.conditions)]


def _holds(value: Any, names: Sequence[str], wanted: Any) -> bool:
    values = [value]
    for name in names:
        inner = [one[name] for one in values if isinstance(one, dict) and name in one]
        values = [item for one in inner for item in (one if isinstance(one, list) else [one])]
    return any(_is_same(one, wanted) for one in values)


def _is_same(value: Any, wanted: Any) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    return bool(value == wanted)


def _of_type(found: list[Found], step: Step) -> list[Found]:
    wanted = step.url.rpartition(".")[2]
    return [one for one in found if one.type == wanted]


def _extension(found: list[Found], step: Step) -> list[Found]:
    inner = [item for one in found for item in children(one, "extension", "extension")]
    return [one for one in inner if isinstance(one.value, dict) and one.value.get("url") == step.url]


# Functions of a path: what is left of the elements found so far.
FUNCTIONS: dict[str, Callable[[list[Found], Step], list[Found]]] = {
    "[]": lambda found, step: found[step.index : (step.index or 0) + 1],
    "first": lambda found, _: found[:1],
    "last": lambda found, _: found[-1:],
    "single": lambda found, _: found,
    "where": _where,
    "ofType": _of_type,
    "extension": _extension,
}
TAKING = frozenset({"where", "ofType", "extension"})
