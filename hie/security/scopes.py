"""SMART on FHIR v2 scopes (HL7 SMART App Launch 2.2, §3): system/Observation.rs, system/*.cruds."""

import re
from dataclasses import dataclass

from hie.errors import Rejected

# v1 words and the v2 letters they stand for (SMART App Launch 2.2 §3.0.2.7).
OLD_WORDS = {"read": "rs", "write": "cud", "*": "cruds"}
SCOPE = re.compile(r"system/(\*|[A-Z][A-Za-z]+)\.(read|write|\*|c?r?u?d?s?)")


@dataclass(frozen=True, slots=True)
class Scope:
    """What may be done (letters of `cruds`) with one resource type, or with all (`*`)."""

    resource_type: str
    letters: str

    def allows(self, letter: str, resource_type: str) -> bool:
        """Say whether the scope covers the letter on the type."""
        return letter in self.letters and self.resource_type in ("*", resource_type)


def parse_scopes(text: str) -> tuple[Scope, ...]:
    """Return the scopes of a space-separated list.

    Raises: Rejected if one is not a system scope, or narrows by a query, which is not honoured here and
        would grant more than it says.
    """
    scopes = []
    for word in text.split():
        match = SCOPE.fullmatch(word)
        if match is None or not match[2]:
            raise Rejected("A scope must look like system/Observation.rs or system/*.cruds, without a query.")
        scopes.append(Scope(match[1], OLD_WORDS.get(match[2], match[2])))
    if not scopes:
        raise Rejected("At least one scope is needed, e.g. system/*.rs.")
    return tuple(scopes)


def narrow(allowed: str, wanted: str | None) -> str | None:
    """Return the scopes to grant of those wanted (all allowed ones if none are named), None if none is left.

    A wanted scope is granted where the allowed ones cover every letter of it.
    """
    if not (wanted or "").strip():
        return allowed
    rights = parse_scopes(allowed)
    granted = []
    for word in str(wanted).split():
        try:
            (scope,) = parse_scopes(word)
        except Rejected:
            continue
        if all(
            any(right.allows(letter, scope.resource_type) for right in rights) for letter in scope.letters
        ):
            granted.append(word)
    return " ".join(granted) or None


def allowed_types(scopes: tuple[Scope, ...], letter: str) -> frozenset[str] | None:
    """Return the resource types the letter is allowed on; None means all of them."""
    names = frozenset(scope.resource_type for scope in scopes if letter in scope.letters)
    return None if "*" in names else names
