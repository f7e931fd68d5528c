"""Numbers of people: resident IDs (GB 11643, ISO 7064 MOD 11-2), permits, passports, cards, hospital numbers.

The county codes used are not assigned to any county and the phone prefixes to no subscriber, so that no
number can be a real person's.
"""

from __future__ import annotations

from datetime import date
from functools import cache

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK = "10X98765432"

# province 53, cities 01-30, counties 91-97: the shape of GB/T 2260 codes, none of them in use
REGIONS = tuple(f"53{city:02d}{county}" for city in range(1, 31) for county in range(91, 98))

BLOCK = 8  # people are made eight neighbours at a time
_SLOTS = 62  # blocks of one region before its sequence numbers are used up: 62 * 8 < 500
PERIOD = BLOCK * len(REGIONS) * _SLOTS
LIMIT = PERIOD * 10  # beyond it two people could get one number

_PRIME = 99_999_989  # largest prime under 10**8: multiplication by a unit is a permutation


def check_digit(first17: str) -> str:
    """Return the check character of an 18-digit number."""
    return _CHECK[sum(w * int(d) for w, d in zip(_WEIGHTS, first17, strict=True)) % 11]


def region_of(person: int) -> str:
    """Return the region code of a person's block."""
    return REGIONS[(person // BLOCK) % len(REGIONS)]


def fit_birth_date(person: int, born: date) -> date:
    """Return the birth date moved back by up to nine days, so that no two people share a resident ID."""
    block = person // BLOCK
    want = (person // PERIOD + (block % (len(REGIONS) * _SLOTS)) * 7) % 10
    return date.fromordinal(born.toordinal() - (born.toordinal() - want) % 10)


def resident_id(person: int, born: date, sex: str) -> str:
    """Return the 18-digit resident ID of a person; sex is 1 or 2 (GB/T 2261.1)."""
    block = person // BLOCK
    slot = (block // len(REGIONS)) % _SLOTS * BLOCK + person % BLOCK
    first17 = f"{region_of(person)}{born:%Y%m%d}{slot * 2 + (1 if sex == '1' else 0):03d}"
    return first17 + check_digit(first17)


def to_15(number: str) -> str:
    """Return the old 15-digit form of an 18-digit resident ID born in the 1900s."""
    return number[:6] + number[8:17]


def foreign_pr(person: int, born: date, sex: str) -> str:
    """Return a foreigner's permanent-resident card number of the 2023 form: 18 digits beginning with 9."""
    first17 = f"953{person % 1000:03d}{born:%Y%m%d}{person // 1000 % 500 * 2 + (sex == '1'):03d}"
    return first17 + check_digit(first17)


def permit_hmt(person: int, born: date, sex: str) -> str:
    """Return a residence permit number for Hong Kong, Macao (81, 82) or Taiwan (83) residents."""
    first17 = f"{81 + person % 3}0000{born:%Y%m%d}{person // 3 % 500 * 2 + (sex == '1'):03d}"
    return first17 + check_digit(first17)


def passport(person: int) -> str:
    """Return a passport number of an invented shape."""
    return f"X{_permute(person, 48271):08d}"


def birth_certificate(person: int) -> str:
    """Return a medical certificate of birth: a letter and nine digits."""
    return f"Z5{_permute(person, 69621):08d}"


def health_card(person: int) -> str:
    """Return an electronic health card number."""
    return f"HC53{_permute(person, 16807):08d}"


def insurance_no(person: int) -> str:
    """Return an insurance personal number."""
    return f"5300{_permute(person, 39373):08d}"


def phone(number: int) -> str:
    """Return a mobile number in a range that is given to no subscriber."""
    return f"14{1 + number % 3}{_permute(number, 22695):08d}"


# facility -> how it writes a patient number; the second figure keeps the hospitals' numbers apart
_SHAPES = {
    1: ("{:08d}", 31051),
    2: ("ZY{:08d}", 75157),
    3: ("P{:08d}", 44939),
    4: ("{:010d}", 9301),
    5: ("5{:08d}", 27011),
}


@cache
def facility_index(facility: str) -> int:
    """Return which of the five makes a facility is: 1..5 by the number in its code."""
    return (int("".join(c for c in facility if c.isdigit()) or 1) - 1) % 5 + 1


def patient_no(facility: str, person: int, second: bool = False) -> str:
    """Return the number a hospital gave a person, or the one it gave by mistake at a second registration."""
    shape, factor = _SHAPES[facility_index(facility)]
    return shape.format(_permute(person + (50_000_000 if second else 0), factor))


def _permute(number: int, factor: int) -> int:
    return (number * factor + 12_345_677) % _PRIME
