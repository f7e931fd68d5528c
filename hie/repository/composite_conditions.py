"""Conditions of composites, `code$value`: both at the same place (FHIR R4 search.html#composite).

Of the resource itself, which is there once, the parts are searched for apart; of what may repeat the index
holds the pairs. A quantity has its code in its own row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import and_, or_

from esb.fhir.search_parameters import PARAMETERS, Component, Parameter, Path
from hie.repository import definitions, tokens
from hie.repository.date_conditions import by_date
from hie.repository.matching import (
    Condition,
    Manner,
    bad_value,
    has_any,
    refuse,
    split_bar,
    split_values,
    unescape,
)
from hie.repository.number_conditions import NUMBERS, any_number, by_quantity, compare, quantity, read_number
from hie.repository.reference_conditions import by_reference, pointed_at
from hie.repository.text_conditions import by_string
from hie.repository.token_conditions import WITHOUT_SYSTEM, by_token

KINDS: dict[str, Callable[[str, Parameter, str, Sequence[str], Manner], Condition]] = {
    "token": by_token,
    "string": by_string,
    "reference": by_reference,
    "date": by_date,
    "quantity": by_quantity,
}


def by_composite(
    type_: str, parameter: Parameter, modifier: str, values: Sequence[str], how: Manner
) -> Condition:
    """Return the condition of a composite parameter."""
    refuse(parameter.code, modifier)
    return or_(
        *(
            _at(type_, parameter, root, _parts(parameter, value), how)
            for value in values
            for root in parameter.paths
        )
    )


def _parts(parameter: Parameter, value: str) -> list[str]:
    parts = split_values(value, "$")
    if len(parts) != len(parameter.components):
        raise bad_value(parameter.code, f"it has {len(parameter.components)} parts with $ between them")
    return parts


def _at(type_: str, parameter: Parameter, root: Path, parts: Sequence[str], how: Manner) -> Condition:
    """Return the condition that all parts stand at a root."""
    kinds = [component.kind for component in parameter.components]
    if kinds == ["token", "quantity"]:
        return _coded_quantity(type_, parameter, root, parts)
    conditions: list[Condition] = []
    paired: list[tuple[Component, str]] = []
    for component, part in zip(parameter.components, parts, strict=True):
        is_apart = not root.steps or (component.kind != "number" and "number" in kinds)
        if is_apart:
            conditions.append(_apart(type_, component, root, part, how))
        else:
            paired.append((component, part))
    if paired and paired[0][0].kind == "number":
        conditions.append(_numbers(type_, root, paired))
    elif paired:
        conditions.append(_pair(type_, root, paired))
    return and_(*conditions)


def _apart(type_: str, component: Component, root: Path, part: str, how: Manner) -> Condition:
    """Return the condition of one part alone, at a root that is there once."""
    paths = tuple(
        path if path.from_resource else Path((*root.steps, *path.steps), path.type)
        for path in component.paths
    )
    alone = Parameter(component.code, component.kind, paths)
    return KINDS[component.kind](type_, alone, "", [part], how)


def _coded_quantity(type_: str, parameter: Parameter, root: Path, parts: Sequence[str]) -> Condition:
    code, amount = parameter.components
    names = [tokens.token(definitions.path_name(type_, root) + "." + ".".join(p.steps)) for p in amount.paths]
    system, bar, wanted = split_bar(parts[0])
    about: list[Condition] = [NUMBERS.about == tokens.token(wanted.lower())] if wanted else []
    if bar and code.paths[0].type not in WITHOUT_SYSTEM:
        about.append(NUMBERS.about_system == tokens.token(system))
    return any_number(names, *about, quantity(parameter.code, parts[1]))


def _numbers(type_: str, root: Path, paired: Sequence[tuple[Component, str]]) -> Condition:
    (first, start), (second, end) = paired
    name = definitions.pair_name(type_, root, first.paths[0], second.paths[0])
    return any_number(
        [tokens.token(name)],
        compare(read_number(first.code, start), NUMBERS.low, NUMBERS.low),
        compare(read_number(second.code, end), NUMBERS.high, NUMBERS.high),
    )


def _pair(type_: str, root: Path, paired: Sequence[tuple[Component, str]]) -> Condition:
    (first, one), (second, other) = paired
    wanted = [
        tokens.paired(definitions.pair_name(type_, root, path, beside), a, b)
        for path in first.paths
        for beside in second.paths
        for a in _keys(type_, first, path, one)
        for b in _keys(type_, second, beside, other)
    ]
    return has_any(wanted)


def _keys(type_: str, component: Component, path: Path, part: str) -> list[str]:
    """Return what a part may stand for within a pair."""
    if path.type == "Reference":
        alone = PARAMETERS[type_].get(component.code) or Parameter(component.code, "reference", (path,))
        return pointed_at(alone, path, "", unescape(part))
    system, bar, code = split_bar(part)
    if not bar or path.type in WITHOUT_SYSTEM:
        return [tokens.local_key(None, code)]
    return [tokens.local_key(system, code or None)]
