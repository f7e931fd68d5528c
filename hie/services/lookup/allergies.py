"""Allergies as the hospitals recorded them, and what they denied (FHIR AllergyIntolerance)."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from hie.services.lookup.codes import key, status, words
from hie.services.lookup.sources import Holdings, Json

# SNOMED CT and IPS absent-unknown. A code that denies one kind of allergy says nothing of the others.
NONE_AT_ALL = frozenset({"716186003", "160244002", "no-known-allergies"})
NONE_OF_A_KIND = frozenset(
    {
        "409137002",
        "428607008",
        "429625007",
        "no-known-medication-allergies",
        "no-known-environmental-allergies",
        "no-known-food-allergies",
    }
)
NOT_ASKED = frozenset({"no-allergy-info"})
VOID = frozenset({"entered-in-error", "refuted"})
GONE = frozenset({"inactive", "resolved"})
# A denial counts only where it is the whole text: "allergic to penicillin, denies others" is an allergy.
_CHINESE = (
    r"(?:既往|目前|暂)?(?:无|否认|未发现|没有|未见)(?:已知的?|明确的?|任何)?"
    r"(?P<zh>(?:(?:药物|药品|食物|食品|环境)[、,及和与或/]?)*)(?:的)?过敏(?:史|原|物)?"
)
_KIND = r"(?:drug|medication|medicine|food|environmental)"
_ENGLISH = (
    rf"(?:no|none|denies)(?: known)?(?P<en>(?: {_KIND}(?: and| or|/)?)*) allerg(?:y|ies)"
    r"(?: known)?(?: \(situation\))?"
)
DENIAL = re.compile(rf"(?:{_CHINESE}|{_ENGLISH})(?:[,;.。、]|$)")
BARE = frozenset({"无", "none", "none known", "nka"})
LONGEST_DENIAL = 60


@dataclass(frozen=True, slots=True)
class Allergy:
    """An allergy, by the hospitals that recorded it; the name is empty where none of them gave one."""

    name: str
    reaction: str
    severe: bool
    facilities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Allergies:
    """What is known: allergies; else whether any were denied, and the words where only some kinds were."""

    known: tuple[Allergy, ...]
    none_known: bool
    denials: tuple[str, ...]


def allergies(holdings: Holdings) -> Allergies:
    """Return the allergies, the severe ones first; a recorded one beats every denial."""
    found: dict[str, list[Allergy]] = {}
    denials: dict[str, None] = {}
    for resource in holdings.of("AllergyIntolerance"):
        if status(resource, "verificationStatus") in VOID or status(resource, "clinicalStatus") in GONE:
            continue
        concept = resource.get("code")
        if _codes(concept) & NOT_ASKED:
            continue
        denied = denial(concept)
        if denied is not None:
            denials[denied] = None
            continue
        allergy = _allergy(resource, holdings)
        same = key(concept) if words(concept) else f"text|{allergy.name}"
        found.setdefault(same, []).append(allergy)
    known = tuple(sorted(map(_joined, found.values()), key=lambda a: (not a.severe, a.name)))
    return Allergies(known, bool(denials) and not known, () if known or "" in denials else tuple(denials))


def denial(concept: Json | None) -> str | None:
    """Return the words that deny some kinds of allergy, "" where all are denied, None where none is."""
    said = words(concept).strip()
    if not (concept or {}).get("text"):
        if _codes(concept) & NONE_AT_ALL:
            return ""
        if _codes(concept) & NONE_OF_A_KIND:
            return said
    plain = unicodedata.normalize("NFKC", said).lower().rstrip(" .。;")
    plain = " ".join(plain.split()) if plain.isascii() else "".join(plain.split())
    if plain in BARE:
        return ""
    if not plain or len(plain) > LONGEST_DENIAL:
        return None
    at, kinds = 0, []
    while at < len(plain):
        found = DENIAL.match(plain, at)
        if found is None:
            return None
        kinds.append(found["zh"] or found["en"])
        at = found.end() + (plain[found.end() : found.end() + 1] == " ")
    return said if all(kinds) else ""


def _codes(concept: Json | None) -> set[str]:
    return {str(coding.get("code")) for coding in (concept or {}).get("coding") or ()}


def _allergy(resource: Json, holdings: Holdings) -> Allergy:
    """Return one hospital's entry; where `code` says nothing, the substances of its reactions name it."""
    reactions = resource.get("reaction") or ()
    substances = dict.fromkeys(words(reaction.get("substance")) for reaction in reactions)
    manifestations = {words(m) for reaction in reactions for m in reaction.get("manifestation") or ()}
    return Allergy(
        name=words(resource.get("code")) or "、".join(filter(None, substances)),
        reaction="、".join(sorted(manifestations - {""})),
        severe=resource.get("criticality") == "high"
        or any(reaction.get("severity") == "severe" for reaction in reactions),
        facilities=(holdings.facility_of(resource),),
    )


def _joined(entries: list[Allergy]) -> Allergy:
    """Return several hospitals' entries of one allergy as one."""
    said = {text for entry in entries for text in entry.reaction.split("、")} - {""}
    return Allergy(
        entries[0].name,
        "、".join(sorted(said)),
        any(entry.severe for entry in entries),
        tuple(sorted({facility for entry in entries for facility in entry.facilities})),
    )
