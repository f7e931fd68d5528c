"""Conditions known by shape and values: the SQL of a shape is made once and run with other values.

To build, look up and bind the statement of a search costs several times what PostgreSQL needs to answer it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, BindParameter, ColumnElement, DateTime, Text, bindparam, literal, or_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine

INSTANT = DateTime(timezone=True)
NUMBERS = ARRAY(BigInteger)
TEXT, TEXTS = Text(), ARRAY(Text)


@dataclass(frozen=True, slots=True)
class Shape:
    """What the SQL of a condition depends on.

    build: a function of a module, called with `about` and then with one bound value for each of `types`.
    is_few: it leaves so few resources that all of them are better read than a whole type in some order.
    """

    build: Callable[..., ColumnElement[bool]]
    about: tuple[Hashable, ...]
    types: tuple[TypeEngine[Any], ...]
    is_few: bool = False


@dataclass(frozen=True, slots=True)
class Shaped:
    """A condition over `Resource`, to be used as any other one; `values` are those of its shape."""

    shape: Shape
    values: tuple[Any, ...]

    def __clause_element__(self) -> ColumnElement[bool]:
        """Return the condition with its values in it."""
        shape = self.shape
        binds = (literal(value, type_) for value, type_ in zip(self.values, shape.types, strict=True))
        return shape.build(*shape.about, *binds)


Condition = ColumnElement[bool] | Shaped


def any_of(conditions: Sequence[Condition]) -> Condition:
    """Return the condition that one of some holds; there is at least one."""
    if len(conditions) == 1:
        return conditions[0]
    shaped = [each for each in conditions if isinstance(each, Shaped)]
    if len(shaped) < len(conditions):
        return or_(*conditions)
    shapes = tuple(each.shape for each in shaped)
    types = tuple(type_ for shape in shapes for type_ in shape.types)
    is_few = all(shape.is_few for shape in shapes)
    return Shaped(
        Shape(_any, (shapes,), types, is_few), tuple(value for each in shaped for value in each.values)
    )


def _any(shapes: Sequence[Shape], *binds: ColumnElement[Any]) -> ColumnElement[bool]:
    return or_(*_built(shapes, iter(binds)))


def _built(shapes: Sequence[Shape], binds: Iterator[ColumnElement[Any]]) -> Iterator[ColumnElement[bool]]:
    for shape in shapes:
        yield shape.build(*shape.about, *(next(binds) for _ in shape.types))


def places(shapes: Sequence[Shape]) -> list[ColumnElement[bool]]:
    """Return conditions of some shapes, whose values are given later under the names v0, v1 and so on."""
    types = [type_ for shape in shapes for type_ in shape.types]
    binds: list[BindParameter[Any]] = [bindparam(f"v{n}", type_=type_) for n, type_ in enumerate(types)]
    return list(_built(shapes, iter(binds)))


def values(conditions: Sequence[Shaped]) -> dict[str, Any]:
    """Return the values of some conditions under the names that `places` gives them."""
    given = (value for each in conditions for value in each.values)
    return {f"v{n}": value for n, value in enumerate(given)}
