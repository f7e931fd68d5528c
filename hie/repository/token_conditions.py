"""Conditions of token parameters: codes, identifiers, flags, and the modifiers that ask what codes mean.

Source: FHIR R4 search.html#token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import and_, false, func, not_, or_, select

from esb.fhir.search_parameters import Parameter, Path
from hie import terminology
from hie.errors import NotSupported
from hie.repository import definitions, tokens
from hie.repository.matching import (
    Condition,
    Manner,
    bad_value,
    has_any,
    has_text_like,
    refuse,
    split_bar,
    split_bars,
    unescape,
)
from hie.repository.shaped import any_of
from hie.schema.repository import Resource, ResourceKey, SearchText

MOST_CODES = 50_000
# Types whose system is implied by the element.
WITHOUT_SYSTEM = frozenset({"code", "ContactPoint", "boolean", "id", "string", "uri"})
SPECIAL = "http://terminology.hl7.org/CodeSystem/special-values"
IMPLIED = {"boolean": ((SPECIAL, frozenset({"true", "false"})),)}
CODED = frozenset({"CodeableConcept", "Coding", "code"})
SHOWN = frozenset({"CodeableConcept", "Coding", "Identifier"})
# What each modifier is for.
READ_FROM = {
    "text": SHOWN, "of-type": frozenset({"Identifier"}),
    "in": CODED, "not-in": CODED, "below": CODED, "above": CODED,
}  # fmt: skip
Codes = Iterable[tuple[str, str]]


def by_id(type_: str, values: Sequence[str], modifier: str) -> Condition:
    """Return the condition that a resource has one of some ids."""
    refuse("_id", modifier, "not")
    places = select(ResourceKey.compartment).where(ResourceKey.type == type_, ResourceKey.id.in_(values))
    found = and_(Resource.id.in_(values), Resource.compartment.in_(places))
    return not_(Resource.id.in_(values)) if modifier == "not" else found


def by_token(
    type_: str, parameter: Parameter, modifier: str, values: Sequence[str], how: Manner
) -> Condition:
    """Return the condition of a token parameter."""
    refuse(parameter.code, modifier, "not", *token_modifiers(parameter))
    if modifier in MODIFIERS:
        return MODIFIERS[modifier](type_, parameter, values, how)
    wanted: list[int] = []
    absent: list[Condition] = []
    for path in parameter.paths:
        name = definitions.path_name(type_, path)
        for value in values:
            if path.exists and value == "false":
                absent.append(not_(has_any([tokens.by_code(name, "true")], how)))
            else:
                wanted += coded(name, path, value)
    found = any_of([has_any(wanted, how), *absent])
    return not_(found) if modifier == "not" else found


def token_modifiers(parameter: Parameter) -> tuple[str, ...]:
    """Return the modifiers that ask about more than a code is, as far as a parameter has it."""
    types = {path.type for path in parameter.paths}
    return tuple(name for name, readable in READ_FROM.items() if types & readable)


def coded(name: str, path: Path, value: str) -> list[int]:
    """Return the tokens of `[system]|code` or `code` at an element."""
    system, bar, code = split_bar(value)
    if path.type == "ContactPoint":
        return [tokens.by_call(name, code)]
    if not bar:
        return [tokens.by_code(name, code)]
    if not code and path.type not in WITHOUT_SYSTEM:
        return [tokens.by_system(name, system)]
    return coded_as(name, path, system, code)


def coded_as(name: str, path: Path, system: str, code: str) -> list[int]:
    """Return the tokens of a code of a system at an element."""
    if path.type in WITHOUT_SYSTEM:
        return [tokens.by_code(name, one) for one in implied(path, system, code)]
    return [tokens.by_system_and_code(name, system, code)]


def implied(path: Path, system: str, code: str) -> Iterable[str]:
    """Return the codes that `system|code` stands for at an element whose system is that of its value set.

    Where that is not known, as of languages and media types, the code alone counts.
    """
    known = dict(path.systems or IMPLIED.get(path.type, ()))
    if not system or not known:
        return (code,)
    codes = known.get(system, frozenset())
    if not code:
        return sorted(codes)
    return (code,) if code.lower() in {one.lower() for one in codes} else ()


def _with_text(type_: str, parameter: Parameter, values: Sequence[str], how: Manner) -> Condition:
    """:text - what is shown beside the code begins so."""
    begins = []
    for value in map(unescape, values):
        text = tokens.folded(value)
        if not text:
            raise bad_value(parameter.code, "it has no letters or digits")
        begins.append(func.starts_with(SearchText.c.text, text))
    names = [definitions.path_name(type_, path) + ":text" for path in parameter.paths]
    return has_text_like(parameter.code, names, or_(*begins), how)


def _of_type(type_: str, parameter: Parameter, values: Sequence[str], how: Manner) -> Condition:
    """:of-type - identifiers by the code of their type."""
    names = [definitions.path_name(type_, path) for path in parameter.paths if path.type == "Identifier"]
    wanted = []
    for value in values:
        parts = split_bars(value)
        if len(parts) != 3 or not parts[1] or not parts[2]:
            raise bad_value(parameter.code, "it is system|code|value of an identifier's type and value")
        wanted += [tokens.of_type(name, *parts) for name in names]
    return has_any(wanted, how)


def _within(type_: str, parameter: Parameter, values: Sequence[str], how: Manner) -> Condition:
    """:in - codes of a value set."""
    session = how.lookup(parameter.code)
    codes = [code for value in values for code in terminology.codes_of(session, unescape(value))]
    return _one_of(type_, parameter, codes, how)


def _not_within(type_: str, parameter: Parameter, values: Sequence[str], how: Manner) -> Condition:
    """:not-in - no code of a value set."""
    return not_(_within(type_, parameter, values, how))


def _related(
    type_: str, parameter: Parameter, values: Sequence[str], how: Manner, find: Callable[..., Iterable[str]]
) -> Condition:
    session = how.lookup(parameter.code)
    codes: list[tuple[str, str]] = []
    for value in values:
        system, bar, code = split_bar(value)
        if not bar or not system or not code:
            raise bad_value(parameter.code, "a code's place in its system is asked for by system|code")
        codes.append((system, code))
        codes += [(system, other) for other in find(session, system, code)]
    return _one_of(type_, parameter, codes, how)


def _below(type_: str, parameter: Parameter, values: Sequence[str], how: Manner) -> Condition:
    """:below - a code or what it subsumes; a media type with any parameters."""
    names = [definitions.path_name(type_, path) for path in parameter.paths]
    if all(name.endswith(tokens.MEDIA_TYPE) for name in names):
        return has_any([tokens.by_media_type(name, unescape(value)) for name in names for value in values])
    return _related(type_, parameter, values, how, terminology.descendants)


def _above(type_: str, parameter: Parameter, values: Sequence[str], how: Manner) -> Condition:
    """:above - a code or what subsumes it."""
    return _related(type_, parameter, values, how, terminology.ancestors)


def _one_of(type_: str, parameter: Parameter, codes: Codes, how: Manner) -> Condition:
    wanted: set[int] = set()
    for path in parameter.paths:
        if path.type not in CODED:
            continue
        name = definitions.path_name(type_, path)
        for system, code in codes:
            wanted.update(coded_as(name, path, system, code))
    if len(wanted) > MOST_CODES:
        raise NotSupported(f"{parameter.code}: more than {MOST_CODES} codes are meant; ask for fewer.")
    return has_any(sorted(wanted), how) if wanted else false()


MODIFIERS: dict[str, Callable[[str, Parameter, Sequence[str], Manner], Condition]] = {
    "text": _with_text,
    "of-type": _of_type,
    "in": _within,
    "not-in": _not_within,
    "below": _below,
    "above": _above,
}
