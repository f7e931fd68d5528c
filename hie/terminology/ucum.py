"""Units of measure by their grammar: is an expression right, and how do two convert (UCUM 2.1 §2, §4)."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cache, lru_cache
from importlib.resources import files

from hie.errors import NotValid

SYSTEM = "http://unitsofmeasure.org"
LONGEST = 255
DEEPEST = 20
MOST_EXPONENT = 99

PREFIXES: dict[str, int] = {
    "Y": 24, "Z": 21, "E": 18, "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "da": 1,
    "d": -1, "c": -2, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15, "a": -18, "z": -21, "y": -24,
}  # fmt: skip
BINARY_PREFIXES: dict[str, int] = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40}

# Values that are not proportional to their unit: value in the base unit = (value + before) * factor.
OFFSETS = {
    "celsius": Fraction(27315, 100),
    "fahrenheit": Fraction(45967, 100),
    "reaumur": Fraction(21852, 100),
}

ANNOTATION = re.compile(r"\{[\x21-\x7a\x7c\x7e ]*\}")
SYMBOL = re.compile(r"(?:\[[^\[\]{}\s]*\]|[^\s\[\]{}()./0-9+\-\"]|(?<=[_])[0-9]+)+")
NUMBER = re.compile(r"[0-9]+")
EXPONENT = re.compile(r"[+-]?[0-9]+")
TEN = re.compile(r"10[*^]")


class NotAUnit(NotValid):
    """This is no UCUM unit; check upper and lower case, e.g. mmol/L, 10*9/L, mm[Hg]."""


@dataclass(frozen=True, slots=True)
class Atom:
    """A unit symbol: whether it takes prefixes, and what it is of others (value times unit)."""

    code: str
    metric: bool
    value: str
    unit: str
    special: str
    name_zh: str
    name_en: str


@dataclass(frozen=True, slots=True)
class Unit:
    """What an expression comes to: a factor times powers of base units.

    special: how a value converts that is not proportional (celsius ...); only for a unit that stands alone.
    """

    factor: Fraction
    powers: tuple[tuple[str, int], ...]
    special: str = ""

    def times(self, other: Unit, sign: int) -> Unit:
        """Return the product with another unit, or the quotient for sign -1."""
        if self.special or other.special:
            raise NotAUnit("Degrees, pH and bels cannot be multiplied; write them alone.")
        powers = dict(self.powers)
        for name, power in other.powers:
            powers[name] = powers.get(name, 0) + sign * power
        return Unit(self.factor * other.factor**sign, _sorted(powers))

    def to(self, exponent: int) -> Unit:
        """Return the unit raised to a power."""
        if self.special:
            raise NotAUnit("Degrees, pH and bels take no exponent; write them alone.")
        return Unit(self.factor**exponent, _sorted({name: p * exponent for name, p in self.powers}))


ONE = Unit(Fraction(1), ())


def _sorted(powers: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((name, power) for name, power in powers.items() if power))


def is_unit(code: str) -> bool:
    """Say whether a code is a UCUM unit expression."""
    try:
        parse(code)
    except NotAUnit:
        return False
    return True


@lru_cache(maxsize=4096)
def parse(code: str) -> Unit:
    """Return what a unit expression comes to. Raises: NotAUnit."""
    if not code or len(code) > LONGEST:
        raise NotAUnit
    return _Reader(code).whole()


def factor(source: str, target: str) -> Fraction | None:
    """Return what a value in the source unit is multiplied by to be in the target unit.

    None where the two measure different things, or a factor alone does not do (degrees, pH).
    Raises: NotAUnit.
    """
    one, other = parse(source), parse(target)
    if one.powers != other.powers or one.special or other.special:
        return Fraction(1) if source == target else None
    return one.factor / other.factor


def convert(value: Decimal, source: str, target: str) -> Decimal | None:
    """Return a value in another unit, to 15 digits; None where the two measure different things.

    Raises: NotAUnit.
    """
    one, other = parse(source), parse(target)
    if source == target:
        return value
    if one.powers != other.powers or {one.special, other.special} - {"", *OFFSETS}:
        return None
    base = (Fraction(value) + OFFSETS.get(one.special, 0)) * one.factor
    found = base / other.factor - OFFSETS.get(other.special, 0)
    with localcontext(prec=15):
        return Decimal(found.numerator) / Decimal(found.denominator)


@cache
def atoms() -> dict[str, Atom]:
    """Return the unit symbols by code."""
    text = files("hie.terminology").joinpath("codes/ucum_atoms.csv").read_text("utf-8")
    rows = csv.DictReader(text.splitlines())
    return {row["code"]: Atom(**row | {"metric": row["metric"] == "1"}) for row in rows}


@cache
def _atom(code: str) -> Unit:
    atom = atoms()[code]
    if not atom.value:
        return Unit(Fraction(1), ((code, 1),))
    base = parse(atom.unit)
    return Unit(base.factor * Fraction(atom.value), base.powers, atom.special)


@lru_cache(maxsize=1024)
def _symbol(text: str) -> Unit:
    """Return the unit of a symbol: an atom, or a prefix before a metric one."""
    if text in atoms():
        return _atom(text)
    for prefixes, base in ((PREFIXES, 10), (BINARY_PREFIXES, 2)):
        for prefix, power in prefixes.items():
            rest = text.removeprefix(prefix)
            if rest != text and rest in atoms() and atoms()[rest].metric:
                found = _atom(rest)
                return Unit(found.factor * Fraction(base) ** power, found.powers, found.special)
    raise NotAUnit


class _Reader:
    """Reads an expression from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def whole(self) -> Unit:
        """Return the unit of the whole text: a term, which may begin with a division."""
        if self._take("/"):
            found = ONE.times(self._component(), -1)
            found = self._rest(found)
        else:
            found = self._term()
        if self._at != len(self._text):
            raise NotAUnit
        return found

    def _term(self) -> Unit:
        return self._rest(self._component())

    def _rest(self, found: Unit) -> Unit:
        while True:
            if self._take("."):
                found = found.times(self._component(), 1)
            elif self._take("/"):
                found = found.times(self._component(), -1)
            else:
                return found

    def _component(self) -> Unit:
        if self._take("("):
            self._depth += 1
            if self._depth > DEEPEST:
                raise NotAUnit("A unit nests its brackets too deeply; write it in one line.")
            found = self._term()
            self._depth -= 1
            if not self._take(")"):
                raise NotAUnit
            return found
        if self._match(ANNOTATION):
            return ONE
        found = self._simple()
        self._match(ANNOTATION)
        return found

    def _simple(self) -> Unit:
        if ten := self._match(TEN):
            return self._raised(_symbol(ten))
        if number := self._match(NUMBER):
            if not int(number):
                raise NotAUnit
            return Unit(Fraction(int(number)), ())
        symbol = self._match(SYMBOL)
        if not symbol:
            raise NotAUnit
        return self._raised(_symbol(symbol))

    def _raised(self, found: Unit) -> Unit:
        exponent = self._match(EXPONENT)
        if not exponent:
            return found
        if not int(exponent) or abs(int(exponent)) > MOST_EXPONENT:
            raise NotAUnit("An exponent of a unit is a whole number from 1 to 99, or negative.")
        return found.to(int(exponent))

    def _take(self, sign: str) -> bool:
        is_there = self._text.startswith(sign, self._at)
        self._at += len(sign) if is_there else 0
        return is_there

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return found[0] if found else ""
