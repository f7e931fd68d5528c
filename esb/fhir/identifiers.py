"""Identifier systems of the region, the resident ID (GB 11643), and the ids of resources.

National systems are the OIDs that WS/T 500 documents use. Where no published system was found
(insurance, passports, permits) the region's own URN stands.
"""

from __future__ import annotations

import hmac
import re
import unicodedata
from datetime import date

_NATIONAL = "urn:oid:2.16.156.10011.1"
_REGIONAL = "urn:hie:region:"

RESIDENT_ID = f"{_NATIONAL}.3"
HEALTH_RECORD = f"{_NATIONAL}.2"
HEALTH_CARD = f"{_NATIONAL}.19"
STAFF = f"{_NATIONAL}.4"
INSTITUTION = f"{_NATIONAL}.5"
DEPARTMENT = f"{_NATIONAL}.26"
INSURANCE = "urn:hie:region:insurance"
PASSPORT = "urn:hie:region:passport"
PERMIT_HMT = "urn:hie:region:permit-hmt"  # residence permit for Hong Kong, Macao and Taiwan
FOREIGN_PR = "urn:hie:region:foreign-permanent-resident"
BIRTH_CERT = "urn:hie:region:birth-certificate"
OFFICER_CARD = "urn:hie:region:officer-card"
ENTITLEMENT = "urn:hie:region:entitlement-certificate"

# Systems that name one human everywhere, as opposed to a facility's own numbers.
PERSONAL_SYSTEMS = frozenset(
    {
        RESIDENT_ID,
        HEALTH_CARD,
        INSURANCE,
        PASSPORT,
        PERMIT_HMT,
        FOREIGN_PR,
        BIRTH_CERT,
        OFFICER_CARD,
        ENTITLEMENT,
    }
)
# System -> code of HL7 v2 table 0203, for Identifier.type.
TYPE_CODES = {
    RESIDENT_ID: "NI",
    HEALTH_RECORD: "PI",
    HEALTH_CARD: "HC",
    INSURANCE: "SN",
    PASSPORT: "PPN",
    PERMIT_HMT: "TPR",
    FOREIGN_PR: "PRC",
    BIRTH_CERT: "BCT",
    OFFICER_CARD: "MI",
}
# Numbers and texts that stand where nothing is known; they identify nobody.
PLACEHOLDERS = frozenset(
    [
        "1900-01-01",
        "1800-01-01",
        "19000101",
        "无名氏",
        "无名",
        "佚名",
        "未知",
        "不详",
        "无",
        "测试",
        "NULL",
        "null",
        "None",
        "N/A",
        "UNKNOWN",
        "Unknown",
        "13800000000",
        "13800138000",
        "13000000000",
        "12345678901",
        "123456789012345678",
        "110101190001011009",
    ]
)

_BASE32HEX = "0123456789abcdefghijklmnopqrstuv"
_PAIRS = tuple(first + second for first in _BASE32HEX for second in _BASE32HEX)
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK_DIGITS = "10X98765432"
_EIGHTEEN = re.compile(r"[1-9][0-9]{16}[0-9X]", re.ASCII)
_FIFTEEN = re.compile(r"[1-6][0-9]{14}", re.ASCII)


def facility_system(facility: str, kind: str) -> str:
    """Return the system of a facility's own numbers: `urn:hie:H01:mrn`."""
    return f"urn:hie:{facility}:{kind}"


def is_facility_system(system: str) -> bool:
    """Whether a system holds a facility's own numbers, as opposed to the region's and the nation's."""
    return system.startswith("urn:hie:") and system.count(":") > 2 and not system.startswith(_REGIONAL)


def resource_id(key: bytes, facility: str, type_: str, local_id: str) -> str:
    """Return the resource id of something a facility calls by a local id.

    Stable when sent again, different for every facility and type, opaque without the key.
    """
    digest = hmac.digest(key, f"{facility}|{type_}|{local_id}".encode(), "sha256")
    bits = int.from_bytes(digest[:17]) >> 6  # 130 bits: 26 characters of base32hex, taken two by two
    return "".join([_PAIRS[bits >> shift & 1023] for shift in range(120, -1, -10)])


def check_digit(seventeen: str) -> str:
    """Return the 18th character of a GB 11643 number (ISO 7064 MOD 11-2)."""
    return _CHECK_DIGITS[sum(int(d) * w for d, w in zip(seventeen, _WEIGHTS, strict=True)) % 11]


def is_resident_id(text: str) -> bool:
    """Whether a text is an 18-digit resident ID with a real date and a right check digit.

    Cards of foreigners (9...) and residence permits (81, 82, 83...) have the same form and are none.
    """
    return _is_checked(text) and text[0] in "123456" and not is_placeholder(text)


def is_foreign_resident_card(text: str) -> bool:
    """Whether a text is an 18-digit permanent-resident card of a foreigner (since December 2023)."""
    return _is_checked(text) and text[0] == "9"


def is_hmt_permit(text: str) -> bool:
    """Whether a text is an 18-digit residence permit for Hong Kong, Macao or Taiwan."""
    return _is_checked(text) and text[:2] in ("81", "82", "83")


def system_of_card(text: str) -> str | None:
    """Return which document an 18-digit number is, or None if it is none of them."""
    if is_resident_id(text):
        return RESIDENT_ID
    if is_hmt_permit(text):
        return PERMIT_HMT
    return FOREIGN_PR if is_foreign_resident_card(text) else None


def upgrade_15_to_18(text: str) -> str | None:
    """Return the 18-digit form of an old 15-digit resident ID, or None if it is none.

    The old form was given to people born in the 20th century only.
    """
    if not _FIFTEEN.fullmatch(text):
        return None
    seventeen = f"{text[:6]}19{text[6:]}"
    upgraded = seventeen + check_digit(seventeen)
    return upgraded if is_resident_id(upgraded) else None


def normalise_resident_id(text: str) -> str | None:
    """Return a resident ID as 18 plain characters, however it was typed, or None if it is none."""
    plain = re.sub(r"[\s-]", "", unicodedata.normalize("NFKC", text)).upper()
    return plain if is_resident_id(plain) else upgrade_15_to_18(plain)


def birth_date_of(resident_id: str) -> date | None:
    """Return the birth date in an 18-digit number, or None if there is no such day."""
    try:
        return date(int(resident_id[6:10]), int(resident_id[10:12]), int(resident_id[12:14]))
    except ValueError:
        return None


def sex_of(resident_id: str) -> str:
    """Return the FHIR gender in an 18-digit number: odd is male."""
    return "male" if int(resident_id[16]) % 2 else "female"


def is_placeholder(text: str) -> bool:
    """Whether a number, date or name stands for "not known"."""
    stripped = text.strip()
    return not stripped or stripped in PLACEHOLDERS or (len(stripped) >= 5 and len(set(stripped)) == 1)


def _is_checked(text: str) -> bool:
    if not _EIGHTEEN.fullmatch(text):
        return False
    born = birth_date_of(text)
    return born is not None and born.year >= 1850 and check_digit(text[:17]) == text[17]
