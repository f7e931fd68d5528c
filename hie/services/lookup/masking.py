"""What a searcher sees of a person before a relation: enough to choose, not enough to know (WS/T 790.13)."""

from __future__ import annotations

from hie.repository.names import is_han, split_han


def mask_name(name: str) -> str:
    """Return a name with only its surname, or only initials where it is not written in Han.

    A name of a minority with "·" keeps its first character.
    """
    name = name.strip()
    if not name:
        return "*"
    if not is_han(name):
        return " ".join(word[0] + "*" * min(len(word) - 1, 3) for word in name.split() if word)
    if "·" in name:
        return name[0] + "*·**"
    surname, given = split_han("".join(name.split()))
    return surname + "*" * max(len(given), 1)


def mask_identifier(value: str) -> str:
    """Return an identifier with its middle hidden: eighteen digits keep the first four and the last four."""
    value = value.strip()
    if len(value) >= 12:
        return value[:4] + "*" * (len(value) - 8) + value[-4:]
    if len(value) >= 6:
        return value[:2] + "*" * (len(value) - 4) + value[-2:]
    return "*" * max(len(value) - 1, 1) + value[-1:]
