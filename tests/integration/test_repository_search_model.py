"""Searches for numbers agree with exact arithmetic over what was stored, whatever is asked."""

import random
from collections.abc import Callable
from decimal import Decimal

import pytest
from sqlalchemy.orm import Session

from tests.integration.search_world import UCUM, ids, keep, observation, quantity

IN_MG = {"mg": Decimal(1), "g": Decimal(1000), "ug": Decimal("0.001"), "kg": Decimal(1_000_000)}

# prefix: (stored, asked, beginning and end of what is rounded to it) -> is it found (search.html#prefix).
RULES: dict[str, Callable[[Decimal, Decimal, Decimal, Decimal], bool]] = {
    "": lambda stored, asked, start, end: start <= stored < end,
    "eq": lambda stored, asked, start, end: start <= stored < end,
    "ne": lambda stored, asked, start, end: not start <= stored < end,
    "gt": lambda stored, asked, start, end: stored > asked,
    "lt": lambda stored, asked, start, end: stored < asked,
    "ge": lambda stored, asked, start, end: stored >= asked,
    "le": lambda stored, asked, start, end: stored <= asked,
    "sa": lambda stored, asked, start, end: stored > asked,
    "eb": lambda stored, asked, start, end: stored < asked,
    "ap": lambda stored, asked, start, end: abs(stored - asked) <= abs(asked) / 10,
}


def written(chance: random.Random) -> str:
    """Return a number as somebody may write it: few digits, so that many are equal or on an edge."""
    whole = str(chance.choice((0, 1, 5, 9, 10, 54, 95, 100, 105)))
    fraction = "." + "".join(chance.choice("0459") for _ in range(chance.randint(1, 3)))
    return chance.choice(("", "-")) + whole + chance.choice(("", fraction))


@pytest.mark.parametrize("seed", [20260301, 20260302])
def test_what_is_found_is_what_arithmetic_says(session: Session, seed: int) -> None:
    chance = random.Random(seed)
    stored: dict[str, Decimal] = {}
    resources = []
    for number in range(150):
        lexeme, unit = written(chance), chance.choice(list(IN_MG))
        stored[f"o{number}"] = Decimal(lexeme) * IN_MG[unit]
        resources.append(observation(f"o{number}", "a", valueQuantity=quantity(Decimal(lexeme), unit)))
    keep(session, *resources)
    found_some = 0
    for _ in range(120):
        prefix, lexeme, unit = chance.choice(list(RULES)), written(chance), chance.choice(list(IN_MG))
        asked = Decimal(lexeme)
        half = Decimal(5).scaleb(-1 - len(lexeme.partition(".")[2]))
        asked_mg, start, end = (n * IN_MG[unit] for n in (asked, asked - half, asked + half))
        expected = {id_ for id_, value in stored.items() if RULES[prefix](value, asked_mg, start, end)}
        value = f"{prefix}{lexeme}|{UCUM}|{unit}"
        assert ids(session, "Observation", ("value-quantity", value), ("_count", "1000")) == expected, value
        found_some += bool(expected)
    assert found_some > 40
