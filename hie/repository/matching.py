"""What every search condition is made of: values as they are written, tokens, refusals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from sqlalchemy import ColumnElement, any_, cast, func, select, text
from sqlalchemy.orm import Session

from hie.errors import Issue, NotSupported, NotValid
from hie.repository import tokens
from hie.repository.shaped import NUMBERS, Condition, Shape, Shaped
from hie.schema.repository import Resource, SearchText

MOST_VALUES = 1000
MOST_RARE = 20  # tokens that are still few resources together, if each is rare
MOST_TEXTS = 2000  # different texts that the token index is asked for at once
EMPTY = text("'{}'::bigint[]")


@dataclass(frozen=True, slots=True)
class Manner:
    """How conditions are made.

    zone: what a day means.
    within_patients: the search is within a few patients' records: they are gone through one by one, for the
        list of everything with a frequent code, which the token index would read, grows with the region.
    session: where code systems and the index's texts are looked up.
    frequent: tokens that many resources carry; none where that is not known.
    now: what `ap` measures how far a date lies away from.
    """

    zone: tzinfo
    within_patients: bool = False
    session: Session | None = None
    frequent: frozenset[int] = frozenset()
    now: datetime | None = None

    def lookup(self, code: str) -> Session:
        """Return the session to look something up in. Raises: NotSupported where there is none."""
        if self.session is None:
            raise NotSupported(f"{code}: this modifier is not answered here.")
        return self.session


def split_values(raw: str, separator: str = ",") -> list[str]:
    r"""Return the parts of a value, still escaped; `\,` is no separator."""
    if "\\" not in raw:
        return [part for part in raw.split(separator) if part]
    return [part for part in re.findall(rf"(?:[^{re.escape(separator)}\\]|\\.?)+", raw, re.DOTALL) if part]


def unescape(text: str) -> str:
    r"""Return a value without the backslashes before `,` `|` `$` and the backslash itself."""
    return re.sub(r"\\([,|$\\])", r"\1", text) if "\\" in text else text


def split_bar(value: str) -> tuple[str, str, str]:
    """Return system, '|' and code of a token, unescaped; system and bar are '' where only a code stands."""
    found = re.match(r"((?:[^|\\]|\\.?)*)(\|?)(.*)", value, re.DOTALL)
    if found is None or not found[2]:
        return "", "", unescape(value)
    return unescape(found[1]), "|", unescape(found[3])


def split_bars(value: str) -> list[str]:
    """Return all parts between '|', unescaped; empty ones too."""
    return [unescape(part) for part in re.findall(r"(?:^|\|)((?:[^|\\]|\\.?)*)", value, re.DOTALL)]


def bad_value(code: str, why: str) -> NotValid:
    """Return the error for a value that cannot be read; it never repeats the value."""
    text = f"The value of {code} cannot be searched for: {why}."
    return NotValid(text, issues=[Issue(code, text, "value")])


def refuse(code: str, modifier: str, *known: str) -> None:
    """Refuse a modifier that a kind of parameter does not have. Raises: NotSupported."""
    if modifier and modifier not in known:
        can = f"it takes {', '.join(f':{name}' for name in known)}" if known else "it takes none but :missing"
        raise NotSupported(f"{code}: this modifier is not answered here; {can}.")


def has_any(numbers: Sequence[int], how: Manner | None = None) -> Condition:
    """Return the condition that a resource carries at least one of some tokens."""
    if how is None:
        return Shaped(OF_MANY, (list(numbers),))
    if how.within_patients:
        return Shaped(OF_FEW, (list(numbers),))
    is_rare = bool(how.frequent) and len(numbers) <= MOST_RARE and how.frequent.isdisjoint(numbers)
    return Shaped(RARE if is_rare else OF_MANY, (list(numbers),))


def _carries(is_of_few: bool, numbers: ColumnElement[Any]) -> ColumnElement[bool]:
    # The first is an expression that no index is built on.
    carried: Any = func.coalesce(Resource.tokens, EMPTY) if is_of_few else Resource.tokens
    return carried.bool_op("&&")(cast(numbers, NUMBERS))


OF_FEW, OF_MANY = Shape(_carries, (True,), (NUMBERS,)), Shape(_carries, (False,), (NUMBERS,))
RARE = Shape(_carries, (False,), (NUMBERS,), is_few=True)


def tokens_of(condition: Condition) -> Sequence[int] | None:
    """Return the tokens of which a condition wants one, None if it wants something else."""
    is_of_tokens = isinstance(condition, Shaped) and condition.shape.build is _carries
    return condition.values[0] if is_of_tokens and isinstance(condition, Shaped) else None


def has_text_like(code: str, paths: Sequence[str], matches: Condition, how: Manner) -> Condition:
    """Return the condition that a text at some elements is as a condition over `SearchText` says.

    Few texts are looked up first, for the token index to find. Of many, each resource in reach is asked for
    its own: what others have shows neither in the answer nor in a refusal.
    """
    at_paths = SearchText.c.path.in_([tokens.texts_of(path) for path in paths])
    found = select(SearchText.c.token).where(at_paths, matches)
    numbers = list(how.lookup(code).scalars(found.distinct().limit(MOST_TEXTS + 1)))
    if len(numbers) <= MOST_TEXTS:
        return has_any(numbers, how)
    return found.where(SearchText.c.token == any_(Resource.tokens)).correlate(Resource).exists()
