"""A second opinion on searches: published expressions, evaluated by others, compared by the letter of R4.

What a parameter looks at comes from npm `@medplum/core` (its FHIRPath over the published expressions); how
values compare is written here from http://hl7.org/fhir/R4/search.html. Neither shares code with the hub.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.foreign.differences import COMPARED, FIRST, LAST, span
from tests.hub_world import Json

# What an expression finds: (FHIR type, value). Of a composite a list of these for each component.
Typed = list[Any]
# All that a resource is found by, by parameter.
Values = dict[str, list[Any]]
UNITS_IN_G = {"g": Decimal(1), "mg": Decimal("0.001")}
NAME_PARTS = ("family", "given", "prefix", "suffix", "text")
ADDRESS_PARTS = ("line", "city", "district", "state", "country", "postalCode", "text")
LETTERS_APART = frozenset("LMN")


@dataclass(frozen=True)
class Verdict:
    """Whether a resource must be found, and whether it may be where the section leaves that to the server."""

    must: bool
    may: bool

    @classmethod
    def of(cls, must: bool, may: bool = False) -> "Verdict":
        """Return a verdict; what must be may be."""
        return cls(must, must or may)


ALL = Verdict(True, True)


def judge(kind: str, modifier: str, prefix: str, value: str, found: Sequence[Typed]) -> Verdict:
    """Return whether values are found by one parameter with one value."""
    if modifier == "missing":
        return Verdict.of((not found) == (value == "true"))
    if modifier == "not":
        plain = judge(kind, "", prefix, value, found)
        return Verdict(not plain.may, not plain.must)
    verdicts = [BY_KIND[kind](modifier, prefix, value, type_, there) for type_, there in found]
    return Verdict(any(one.must for one in verdicts), any(one.may for one in verdicts))


def judge_composite(kinds: Sequence[str], value: str, found: Sequence[Sequence[Sequence[Typed]]]) -> Verdict:
    """Return whether all parts of `a$b` hold at one place (search.html#composite)."""
    asked = [prefixed(kind, part) for kind, part in zip(kinds, value.split("$"), strict=True)]
    places = [
        [judge(kind, "", *part, values) for kind, part, values in zip(kinds, asked, place, strict=True)]
        for place in found
    ]
    return Verdict(
        any(all(one.must for one in place) for place in places),
        any(all(one.may for one in place) for place in places),
    )


def prefixed(kind: str, text: str) -> tuple[str, str]:
    """Return the prefix of a value, if its kind has prefixes, and the rest."""
    has_prefix = kind in ("date", "number", "quantity") and text[:2] in COMPARED | {"ap": None}
    return (text[:2], text[2:]) if has_prefix else ("", text)


def pointed_at(found: Sequence[Typed]) -> set[str]:
    """Return the addresses, `Type/id`, that reference values point to."""
    return {there["reference"] for _, there in found if isinstance(there, dict) and "reference" in there}


def _codings(type_: str, there: Any) -> list[tuple[str | None, str]]:
    """Return (system, code) of each coding; None for a system that the element implies."""
    if type_ == "CodeableConcept":
        return [pair for coding in there.get("coding", ()) for pair in _codings("Coding", coding)]
    if type_ == "Coding":
        return [(there.get("system", ""), there["code"])] if "code" in there else []
    if type_ in ("Quantity", "Period"):
        return []
    if type_ == "Identifier":
        return [(there.get("system", ""), there["value"])] if "value" in there else []
    if type_ == "ContactPoint":
        return [(None, there["value"])] if "value" in there else []
    return [(None, str(there).lower() if isinstance(there, bool) else str(there))]


def _token(modifier: str, prefix: str, value: str, type_: str, there: Any) -> Verdict:
    """search.html#token: codes in any case, systems as written; `|code` says that there is no system."""
    system, bar, code = value.rpartition("|")
    mine = [held for known, held in _codings(type_, there) if not bar or known in (None, system)]
    must = any(code.casefold() in ("", held.casefold()) for held in mine)
    # Telephone numbers, handled as the section lets the server handle them: however they are spaced.
    is_call = type_ == "ContactPoint" and any(_bare(code) == _bare(held) for held in mine)
    return Verdict.of(must, is_call)


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in plain if not unicodedata.combining(c))


def _bare(text: str) -> str:
    """Return the letters and digits of a text, folded: punctuation and space SHOULD be ignored."""
    return "".join(c for c in _folded(text) if unicodedata.category(c)[0] in LETTERS_APART)


def _texts(type_: str, there: Any) -> list[str]:
    if isinstance(there, str):
        return [there]
    parts = (there.get(name) for name in (ADDRESS_PARTS if type_ == "Address" else NAME_PARTS))
    return [text for part in parts if part for text in (part if isinstance(part, list) else [part])]


def _string(modifier: str, prefix: str, value: str, type_: str, there: Any) -> Verdict:
    """search.html#string; which parts of a name are put together, and how Han is read, the server defines."""
    texts = _texts(type_, there)
    if modifier == "exact":
        return Verdict.of(value in texts)
    if modifier == "contains":
        must = any(_folded(value) in _folded(text) for text in texts)
        return Verdict.of(must, any(_bare(value) in _bare(text) for text in texts))
    must = any(_folded(text).startswith(_folded(value)) for text in texts)
    joined = [*sorted(map(_bare, texts)), _bare("".join(texts)), _bare("".join(reversed(texts)))]
    # "Servers should search the parts of a family name independently".
    words = [_bare(word) for text in texts for word in text.split()] if type_ != "Address" else []
    is_loose = any(text.startswith(_bare(value)) for text in [*joined, *words])
    is_han = any("\u4e00" <= c <= "\u9fff" for text in texts for c in text)
    return Verdict.of(must, is_loose or (is_han and value.isascii()))


def _reference(modifier: str, prefix: str, value: str, type_: str, there: Any) -> Verdict:
    """search.html#reference: `id`, `Type/id` or an address; an id alone is of every type it may point to."""
    address = there.get("reference", "") if isinstance(there, dict) else there
    if modifier == "identifier":
        given = there.get("identifier") if isinstance(there, dict) else None
        return _token("", "", value, "Identifier", given or {})
    target, _, id_ = address.rpartition("/")
    wanted = f"{modifier}/{value}" if modifier else value
    return Verdict.of(wanted == address or (wanted == id_ and bool(target)))


def _ranges(type_: str, there: Any) -> list[tuple[datetime, datetime]]:
    if type_ == "Period":
        begin = span(there["start"])[0] if "start" in there else FIRST
        return [(begin, span(there["end"])[1] if "end" in there else LAST)]
    if type_ == "Timing":
        events = [span(event) for event in there.get("event", ())]
        return [(min(b for b, _ in events), max(e for _, e in events))] if events else []
    return [span(there)]


def _date(modifier: str, prefix: str, value: str, type_: str, there: Any) -> Verdict:
    """search.html#date: ranges by the table of prefixes; how near `ap` is, the server says (10 % advised)."""
    asked, ranges = span(value), _ranges(type_, there)
    if prefix == "ap":
        margin = abs(datetime.now(UTC) - asked[0]) / 10 + timedelta(days=1)
        must = any(low < asked[1] and asked[0] < high for low, high in ranges)
        return Verdict.of(
            must, any(low < asked[1] + margin and asked[0] - margin < high for low, high in ranges)
        )
    return Verdict.of(any(COMPARED[prefix or "eq"](*asked, *there) for there in ranges))


def _compared(prefix: str, asked: Decimal, there: Decimal, half: Decimal) -> Verdict:
    """search.html#number: with eq, ne or no prefix a number is as precise as its digits; else exact."""
    is_near = asked - half <= there < asked + half
    if prefix == "ap":
        distance = abs(there - asked)
        is_advised = distance < abs(asked) / 10 or not distance
        return Verdict.of(is_advised, distance <= abs(asked) / 10 or distance <= half)
    return Verdict.of(
        {
            "": is_near,
            "eq": is_near,
            "ne": not is_near,
            "gt": there > asked,
            "sa": there > asked,
            "lt": there < asked,
            "eb": there < asked,
            "ge": there >= asked,
            "le": there <= asked,
        }[prefix]
    )


def _half(text: str) -> Decimal:
    """Return half of what the last digit stands for; the section itself reads 1e2 as 95 to 105."""
    if text == "1e2":
        return Decimal(5)
    return Decimal(1).scaleb(int(Decimal(text).as_tuple().exponent)) / 2


def _number(modifier: str, prefix: str, value: str, type_: str, there: Any) -> Verdict:
    return _compared(prefix, Decimal(value), Decimal(str(there)), _half(value))


def _quantity(modifier: str, prefix: str, value: str, type_: str, there: Json) -> Verdict:
    """search.html#quantity: `number`, `number|system|code` (canonical units), `number||code` (or unit)."""
    text, bar, rest = value.partition("|")
    system, _, unit = rest.partition("|")
    if not isinstance(there, dict) or "value" not in there:
        return Verdict.of(False)
    mine, asked, half = Decimal(str(there["value"])), Decimal(text), _half(text)
    if type_ == "Money":
        return _compared(prefix, asked, mine, half) if not unit else Verdict.of(there.get("currency") == unit)
    if bar and not system and unit not in (there.get("code"), there.get("unit")):
        return Verdict.of(False)
    if system:
        if there.get("system") != system:
            return Verdict.of(False)
        if there.get("code") != unit:
            if not {unit, str(there.get("code"))} <= UNITS_IN_G.keys():
                return Verdict.of(False)
            factor = UNITS_IN_G[unit]
            mine *= UNITS_IN_G[there["code"]]
            asked, half = asked * factor, half * factor
    return _compared(prefix, asked, mine, half)


def _uri(modifier: str, prefix: str, value: str, type_: str, there: str) -> Verdict:
    """search.html#uri: the whole address, precisely."""
    return Verdict.of(value == there)


BY_KIND: dict[str, Callable[[str, str, str, str, Any], Verdict]] = {
    "token": _token,
    "string": _string,
    "reference": _reference,
    "date": _date,
    "number": _number,
    "quantity": _quantity,
    "uri": _uri,
}
