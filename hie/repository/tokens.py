"""Search tokens: every searchable value of a resource as one 64-bit number (FHIR R4 search, section 3.1.1.4).

A token names the element it was found at, not the search parameter: two parameters over one element share it.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from hashlib import md5

SEPARATOR = "\x1f"
PREFIX_LIMIT = 32  # longest text a string search may ask for; one token per beginning of a value up to here
IGNORED = str.maketrans("", "", " \t\r\n\u3000·•・‧-'’.,，、")


@lru_cache(maxsize=200_000)
def token(text: str) -> int:
    """Return the number that stands for `text` in the index; equal texts give equal numbers, for ever.

    MD5 because PostgreSQL can compute it too: `('x' || left(md5(text), 16))::bit(64)::bigint`.
    """
    digest = md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


@lru_cache(maxsize=50_000)
def coded(path: str, system: str | None, code: str | None) -> tuple[int, ...]:
    """Return the tokens of a coded value: found by system and code, by code alone, by system alone."""
    found = []
    if code is not None:
        found.append(by_code(path, code))
        found.append(by_system_and_code(path, system or "", code))
    if system:
        found.append(by_system(path, system))
    return tuple(found)


def by_code(path: str, code: str) -> int:
    """Return the token that finds `code` in any system."""
    return token(f"{path}{SEPARATOR}{code}")


def by_system_and_code(path: str, system: str, code: str) -> int:
    """Return the token that finds `code` in one system; the system '' means: stated without one."""
    return token(f"{path}{SEPARATOR}{system}{SEPARATOR}{code}")


def by_system(path: str, system: str) -> int:
    """Return the token that finds any code of a system."""
    return token(f"{path}{SEPARATOR}{system}{SEPARATOR}{SEPARATOR}")


def by_reference(path: str, reference: str) -> int:
    """Return the token that finds a reference, `Type/id` or an absolute URL."""
    return token(f"{path}{SEPARATOR}{reference}")


def by_prefix(path: str, text: str) -> int:
    """Return the token that finds values beginning with `text`, which `folded` has made comparable."""
    return token(f"{path}{SEPARATOR}~{text}")


def by_exact(path: str, text: str) -> int:
    """Return the token that finds exactly `text`, as written."""
    return token(f"{path}{SEPARATOR}={text}")


def elsewhere(path: str) -> int:
    """Return the token of a resource whose subject is not the patient it is kept with."""
    return token(f"{path}{SEPARATOR}!")


@lru_cache(maxsize=50_000)
def folded(text: str) -> str:
    """Return `text` without case, accents, spaces and punctuation between words; full width becomes usual."""
    plain = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).casefold())
    return "".join(c for c in plain if not unicodedata.combining(c)).translate(IGNORED)


def prefixes(path: str, text: str) -> list[int]:
    """Return one token per beginning of a folded text."""
    return [by_prefix(path, text[:size]) for size in range(1, min(len(text), PREFIX_LIMIT) + 1)]
