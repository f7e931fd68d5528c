"""Search tokens: every searchable value of a resource as one 64-bit number (FHIR R4 search, section 3.1.1.4).

A token names the element it was found at, not the search parameter: two parameters over one element share it.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from hashlib import md5
from typing import NamedTuple

SEPARATOR = "\x1f"
PREFIX_LIMIT = 32  # longest text a string search may ask for; one token per beginning of a value up to here
TEXT_LIMIT = 500  # characters of a text that are looked through by `:contains` and `:text`
MEDIA_TYPE = ".contentType"  # how the path of an element ends that holds a media type
BETWEEN_DIGITS = str.maketrans("", "", " \u3000+-()（）")
IGNORED = str.maketrans("", "", " \t\r\n\u3000·•・‧-'’.,，、")


class Text(NamedTuple):
    """A text that stands at an element, and the token of the resources that have it there."""

    token: int
    path: int
    text: str


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


@lru_cache(maxsize=50_000)
def shown(
    path: str, system: str | None, code: str | None, display: object
) -> tuple[tuple[int, ...], Text | None]:
    """Return the tokens of a coding with its display, and the entry of the display."""
    found = coded(path, system, code)
    if not isinstance(display, str):
        return found, None
    text = described(path, display)
    return (*found, text.token), text


def by_code(path: str, code: str) -> int:
    """Return the token that finds `code` in any system, whatever its case (search.html#token)."""
    return token(f"{path}{SEPARATOR}{code.lower()}")


def by_system_and_code(path: str, system: str, code: str) -> int:
    """Return the token that finds `code` in one system; the system '' means: stated without one."""
    return token(f"{path}{SEPARATOR}{system}{SEPARATOR}{code.lower()}")


def by_call(path: str, number: str) -> int:
    """Return the token that finds a telephone number however it is spaced, or a mail address."""
    return by_code(path, number if "@" in number else number.translate(BETWEEN_DIGITS))


def by_media_type(path: str, name: str) -> int:
    """Return the token that finds a media type whatever its parameters are."""
    return by_code(f"{path}:below", name.partition(";")[0].strip())


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


@lru_cache(maxsize=50_000)
def described(path: str, text: str) -> Text:
    """Return the entry of a code's text or display, which `:text` finds."""
    shown = folded(text)[:TEXT_LIMIT].replace("\x00", "")
    return Text(token(f"{path}:text{SEPARATOR}{shown}"), texts_of(f"{path}:text"), shown)


def listed(path: str, text: str) -> Text:
    """Return the entry of a string, which `:contains` finds."""
    return Text(by_exact(path, text), texts_of(path), folded(text)[:TEXT_LIMIT].replace("\x00", ""))


def located(path: str, uri: str) -> Text:
    """Return the entry of a URI, which `:below` finds."""
    return Text(by_reference(path, uri), texts_of(path), uri[:TEXT_LIMIT].replace("\x00", ""))


def texts_of(path: str) -> int:
    """Return the number under which the texts of an element stand."""
    return token(path)


def local_keys(value: object) -> list[str]:
    """Return what a value can be asked for by within a pair of values."""
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, str):
        return [value.lower()]
    if not isinstance(value, dict):
        return []
    if "coding" in value:
        return [key for coding in value["coding"] if isinstance(coding, dict) for key in local_keys(coding)]
    if isinstance(value.get("reference"), str):
        return [value["reference"].partition("/_history/")[0]]
    code, system = value.get("code"), value.get("system")
    keys = [local_key(None, code), local_key(system or "", code)] if isinstance(code, str) else []
    return [*keys, local_key(system, None)] if isinstance(system, str) else keys


def local_key(system: str | None, code: str | None) -> str:
    """Return what stands within a pair for a code of any system or of one, or for any code of a system."""
    if code is None:
        return f"{system}{SEPARATOR}{SEPARATOR}"
    return code.lower() if system is None else f"{system}{SEPARATOR}{code.lower()}"


def paired(name: str, first: str, second: str) -> int:
    """Return the token of two values that stand at the same place."""
    return token(f"{name}{SEPARATOR}{first}{SEPARATOR}{SEPARATOR}{SEPARATOR}{second}")


def of_type(path: str, system: str, code: str, value: str) -> int:
    """Return the token that finds an identifier by its type and value."""
    return token(f"{path}:of-type{SEPARATOR}{system}{SEPARATOR}{code.lower()}{SEPARATOR}{value.lower()}")


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
