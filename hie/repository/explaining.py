"""How a search runs: what each parameter was understood as, the statement and its plan, without values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ClauseElement, Executable

from esb.fhir.search_parameters import PARAMETERS, Parameter
from esb.fhir.types import RESOURCE_TYPES
from hie.repository import ordering
from hie.repository.controls import CONTROLS
from hie.repository.query import FORM, Target, parse
from hie.repository.search import Search, bounded, conditions_of, statement

LITERAL = re.compile(r"'((?:[^']|'')*)'")
NUMBER = re.compile(r"(?<![\w.'])-?\d+(?:\.\d+)?(?![\w.'])")
ESTIMATES = re.compile(r"\(cost=.*")


class Explain(Executable, ClauseElement):
    """EXPLAIN of a statement."""

    inherit_cache = False

    def __init__(self, of: Select[Any]) -> None:
        self.of = of


@compiles(Explain, "postgresql")
def _explain(element: Explain, compiler: Any, **kw: Any) -> str:
    return "EXPLAIN " + str(compiler.process(element.of, **kw))


def explained(
    how: Search, target: Target, params: Sequence[tuple[str, str]], *, strict: bool
) -> dict[str, Any]:
    """Return a Parameters resource that says how a search runs; no value of it, and nothing it finds.

    Raises: as `search`.
    """
    with bounded(how.session, params):
        query = parse(target, params, how.reading(strict=strict))
        keys = ordering.sort_keys(target.types, tuple(query.sort))
        conditions = conditions_of(query, how.where)
        page = statement(conditions, keys, query.count + 1, is_apart=query.is_of_few)
        plan = "\n".join(how.session.execute(Explain(page)).scalars())
    shown: list[dict[str, Any]] = [
        {"name": "understood", "part": [_text("parameter", name), _text("as", understood(target, name))]}
        for name, _ in query.used
        if name not in FORM
    ]
    shown += [_text("left-aside", issue.text) for issue in query.remarks]
    shown += [_text("statement", _sql(page)), _text("plan", masked(plan))]
    return {"resourceType": "Parameters", "parameter": shown}


def _text(name: str, value: str) -> dict[str, Any]:
    return {"name": name, "valueString": value}


def _sql(page: Select[Any]) -> str:
    """Return the statement; its values are numbered places."""
    return str(page.compile(dialect=postgresql.dialect()))


def masked(plan: str) -> str:
    """Return a plan without the values that stand in it; its estimates stay."""
    lines = []
    for line in plan.splitlines():
        found = ESTIMATES.search(line)
        head, tail = (line[: found.start()], found[0]) if found else (line, "")
        lines.append(NUMBER.sub("?", LITERAL.sub(_masked, head)) + tail)
    return "\n".join(lines)


def _masked(literal: re.Match[str]) -> str:
    """Return a literal of a plan: hidden, unless it is a resource type or empty."""
    return literal[0] if literal[1] in RESOURCE_TYPES or literal[1] in ("", "{}") else "'?'"


def understood(target: Target, name: str) -> str:
    """Return what a parameter was read as."""
    code = name.partition(":")[0]
    if code in CONTROLS or name == "_type":
        return "how the answer is made"
    if len(target.types) > 1:
        return "a parameter that all the types share"
    return _condition(target.types[0], name)


def _condition(type_: str, name: str) -> str:
    if name.startswith("_has:"):
        _, source, code, rest = name.split(":", 3)
        return f"pointed at by {source}.{code}, which is found by: {_condition(source, rest)}"
    if name == "_list":
        return "entries of a List"
    first, dot, rest = name.partition(".")
    code, _, modifier = first.partition(":")
    parameter = PARAMETERS[type_].get(code)
    if parameter is None:
        return "a parameter of another type"
    if not dot:
        return _plain(type_, parameter, modifier)
    target = modifier or " or ".join(parameter.targets)
    inner = [
        t for t in ([modifier] if modifier else parameter.targets) if rest.split(".")[0] in PARAMETERS[t]
    ]
    return f"points by {code} at {target}, found by: {_condition(inner[0] if inner else type_, rest)}"


def _plain(type_: str, parameter: Parameter, modifier: str) -> str:
    places = ", ".join(".".join((type_, *path.steps)) for path in parameter.paths)
    return f"{parameter.kind} at {places}" + (f", modifier {modifier}" if modifier else "")
