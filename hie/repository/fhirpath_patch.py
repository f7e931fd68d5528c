"""FHIRPath Patch: add, insert, delete, replace and move in a Parameters (FHIR R4 fhirpatch.html)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hie.repository.element_paths import Found, Path, Place, Shape, find, parse, shape_of, wrong

MOST_OPERATIONS = 1000
MOST_PARTS = 20  # levels of a value given in parts

Operation = dict[str, Any]


def apply(resource: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Change a resource in place, operation by operation, and return it.

    Args:
        patch: a Parameters, valid in R4.

    Raises: WrongPath naming the operation or the element.
    """
    parameters = patch.get("parameter", [])
    if len(parameters) > MOST_OPERATIONS:
        raise wrong("Parameters.parameter", f"holds more than {MOST_OPERATIONS} operations")
    for number, parameter in enumerate(parameters):
        where = f"Parameters.parameter[{number}]"
        if parameter.get("name") != "operation":
            raise wrong(f"{where}.name", "must be operation")
        operation = _parts_of(parameter, where)
        kind = operation.get("type", {}).get("valueCode") or operation.get("type", {}).get("valueString")
        if kind not in OPERATIONS:
            raise wrong(f"{where}.part", "has no type of add, insert, delete, replace or move")
        path = parse(operation.get("path", {}).get("valueString"), f"{where}.part.where(name='path')")
        OPERATIONS[kind](resource, path, operation, where)
    _prune(resource)
    return resource


def _parts_of(parameter: dict[str, Any], where: str) -> Operation:
    parts: Operation = {}
    for part in parameter.get("part", []):
        if part["name"] in parts or part["name"] not in PARTS:
            raise wrong(f"{where}.part", f"takes each of {', '.join(PARTS)} once")
        parts[part["name"]] = part
    return parts


def _add(resource: dict[str, Any], path: Path, operation: Operation, where: str) -> None:
    """Append to a list, or set an element that is not there."""
    holder = _one(resource, path)
    name = operation.get("name", {}).get("valueString")
    shape = _shape(holder, name, path) if isinstance(name, str) else None
    if shape is None:
        raise wrong(f"{where}.part", "has no name of an element to add")
    value, key = _value(operation, shape, str(name), where)
    if shape.many:
        holder.value.setdefault(key, []).append(value)
        _beside(holder.value, key)
    elif any(one in holder.value for one in shape.keys):
        raise wrong(f"{path.shown}.{name}", "is there already and does not repeat; use replace")
    else:
        holder.value[key] = value


def _insert(resource: dict[str, Any], path: Path, operation: Operation, where: str) -> None:
    holder, name, shape, items = _list(resource, path)
    index = _number(operation, "index", len(items), where)
    value, key = _value(operation, shape, name, where)
    if not items:
        holder.value[key] = items
    beside = _beside(holder.value, key)
    items.insert(index, value)
    beside.insert(index, None)


def _delete(resource: dict[str, Any], path: Path, operation: Operation, where: str) -> None:
    """Delete what is there; deleting what is not is no error."""
    found = find(resource, path)
    if len(found) > 1:
        raise wrong(path.shown, "names several elements; name one, as in [0]")
    if found:
        _remove(resource, found[0].place, path)


def _replace(resource: dict[str, Any], path: Path, operation: Operation, where: str) -> None:
    found = _one(resource, path)
    if not found.place:
        raise wrong(path.shown, "is the resource itself; use an update")
    holder = _at(resource, found.place[:-1])
    last = found.place[-1]
    if isinstance(last, int):
        name = str(found.place[-2])
        outer = _at(resource, found.place[:-2])
        holder[last] = _value(operation, Shape({name: found.type}, many=True), name, where)[0]
        _beside(outer, name)[last] = None
        _drop_if_empty(outer, name)
        return
    name = str(last) if path.steps[-1].is_function else path.steps[-1].name
    shape = shape_of(found.within, name) or Shape({str(last): found.type}, many=False)
    value, key = _value(operation, shape, name, where)
    if key != last:
        del holder[last]
        holder.pop(f"_{last}", None)
    holder[key] = value


def _move(resource: dict[str, Any], path: Path, operation: Operation, where: str) -> None:
    holder, name, _, items = _list(resource, path)
    source = _number(operation, "source", len(items) - 1, where)
    destination = _number(operation, "destination", len(items) - 1, where)
    beside = _beside(holder.value, name)
    for one in (items, beside):
        one.insert(destination, one.pop(source))


OPERATIONS: dict[str, Callable[[dict[str, Any], Path, Operation, str], None]] = {
    "add": _add,
    "insert": _insert,
    "delete": _delete,
    "replace": _replace,
    "move": _move,
}
PARTS = ("type", "path", "name", "value", "index", "source", "destination")


def _one(resource: dict[str, Any], path: Path) -> Found:
    found = find(resource, path)
    if len(found) != 1:
        raise wrong(path.shown, "names several elements; name one" if found else "is not there")
    return found[0]


def _shape(holder: Found, name: str, path: Path) -> Shape:
    shape = shape_of(holder.type, name) if name.isascii() and name.isidentifier() else None
    if shape is None or not isinstance(holder.value, dict):
        raise wrong(path.shown, "has no such element in R4")
    return shape


def _list(resource: dict[str, Any], path: Path) -> tuple[Found, str, Shape, list[Any]]:
    outer, name = path.parent()
    holder = _one(resource, outer)
    shape = _shape(holder, name, path)
    if not shape.many:
        raise wrong(path.shown, "does not repeat")
    return holder, name, shape, holder.value.get(name, [])


def _number(operation: Operation, name: str, most: int, where: str) -> int:
    value = operation.get(name, {}).get("valueInteger")
    if not isinstance(value, int) or not 0 <= value <= most:
        raise wrong(f"{where}.part.where(name='{name}')", "is no index of the list")
    return value


def _value(operation: Operation, shape: Shape, name: str, where: str) -> tuple[Any, str]:
    """Return the value given and the JSON key it is written under."""
    part = operation.get("value")
    if part is None:
        raise wrong(f"{where}.part", "has no value")
    return _made(part, shape, name, f"{where}.part.where(name='value')", 0)


def _made(part: dict[str, Any], shape: Shape, name: str, where: str, depth: int) -> tuple[Any, str]:
    given = [(key, value) for key, value in part.items() if key.startswith("value")]
    if given:
        kind = given[0][0].removeprefix("value")
        key = name if name in shape.keys else f"{name}{kind}"
        if key not in shape.keys:
            raise wrong(where, "is of a type that the element does not take")
        return given[0][1], key
    if "resource" in part:
        return part["resource"], name
    if "part" not in part or depth >= MOST_PARTS or name not in shape.keys:
        raise wrong(where, "has neither value[x] nor parts")
    holder = Found((), shape.keys[name], {})
    for number, inner in enumerate(part["part"]):
        below = f"{where}.part[{number}]"
        inner_shape = shape_of(holder.type, inner["name"])
        if inner_shape is None:
            raise wrong(below, "is no element of the type it stands in")
        value, key = _made(inner, inner_shape, inner["name"], below, depth + 1)
        if inner_shape.many:
            holder.value.setdefault(key, []).append(value)
        else:
            holder.value[key] = value
    return holder.value, name


def _remove(resource: dict[str, Any], place: Place, path: Path) -> None:
    if not place:
        raise wrong(path.shown, "is the resource itself; use a delete")
    holder, last = _at(resource, place[:-1]), place[-1]
    if isinstance(last, str):
        del holder[last]
        holder.pop(f"_{last}", None)
        return
    outer, key = _at(resource, place[:-2]), str(place[-2])
    beside = _beside(outer, key)
    del holder[last], beside[last]
    if not holder:
        del outer[key]
    _drop_if_empty(outer, key)


def _prune(node: Any) -> None:
    """Take away what deletions left empty: an element has a value or children (element.html, ele-1)."""
    if isinstance(node, list):
        for one in node:
            _prune(one)
    if not isinstance(node, dict):
        return
    for key, value in list(node.items()):
        _prune(value)
        if isinstance(value, list) and key.startswith("_"):
            value[:] = [one or None for one in value]
            _drop_if_empty(node, key)
        elif isinstance(value, list):
            value[:] = [one for one in value if one != {}]
        if value in ({}, []):
            node.pop(key, None)


def _beside(holder: dict[str, Any], key: str) -> list[Any]:
    """Return what a list's items have beside them (`_given` of `given`), as long as the list itself.

    Where there is nothing, it is a list that nobody keeps.
    """
    companion = holder.get(f"_{key}")
    beside: list[Any] = companion if isinstance(companion, list) else []
    beside.extend([None] * (len(holder.get(key, ())) - len(beside)))
    return beside


def _drop_if_empty(holder: dict[str, Any], key: str) -> None:
    """Drop what stands beside a list once nothing is in it: R4 allows no list of nulls alone."""
    companion = holder.get(f"_{key}")
    if isinstance(companion, list) and not any(companion):
        del holder[f"_{key}"]


def _at(resource: dict[str, Any], place: Place) -> Any:
    node: Any = resource
    for step in place:
        node = node[step]
    return node
