"""The data of a large Binary: kept beside the database, to which its stored text points (R4 binary.html)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

from esb.fhir import lexemes
from hie.directory.own_keys import read_own_keys
from hie.errors import NotFound, NotValid
from hie.repository import blobs
from hie.repository.pieces import Pieces

BINARY = "Binary"
POINTER = "urn:hie:content"
MARK = POINTER.encode()
ABSENT = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "error"}
SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
# Gives the bytes behind a token and a name. Raises: NotFound.
Reader = Callable[[str, str], bytes]


def reader(folder: Path, key_dir: Path) -> Reader:
    """Return what reads the contents that the hub keeps for itself in a folder."""
    return lambda token, name: b"".join(find(folder, key_dir, token, name).read())


def find(folder: Path, key_dir: Path, token: str, name: str) -> Pieces:
    """Return a content that the hub keeps for itself, to be read from any place. Raises: NotFound."""
    return blobs.find_own(folder, read_own_keys(key_dir), token=token, name=name)


def pointer_of(resource: dict[str, Any]) -> tuple[str, str] | None:
    """Return the token and the name that a Binary's content is kept under, None if it is in the text."""
    for extension in resource.get("_data", {}).get("extension", ()):
        if extension.get("url") == POINTER:
            token, _, name = str(extension.get("valueString")).partition("/")
            return token, name
    return None


def check(resource: dict[str, Any]) -> None:
    """Refuse a Binary that points at a content without having brought it. Raises: NotValid."""
    if resource.get("resourceType") == BINARY and MARK in lexemes.dumps(resource.get("_data", {})):
        raise NotValid("Binary.data is brought with the Binary.")


def filled(content: bytes, read: Reader) -> bytes:
    """Return the stored text of a Binary with its data; where they are lost, with data-absent-reason."""
    resource = lexemes.loads(content) if MARK in content else {}
    pointer = pointer_of(resource)
    if pointer is None:
        return content
    try:
        resource["data"] = base64.b64encode(read(*pointer)).decode()
    except NotFound:
        resource["_data"]["extension"].append(ABSENT)
    return _without_pointer(resource)


def stripped(content: bytes) -> bytes:
    """Return the stored text of a Binary as a part of it: without the data that are kept beside it."""
    resource = lexemes.loads(content) if MARK in content else {}
    if pointer_of(resource) is None:
        return content
    resource["meta"]["tag"] = [*resource["meta"].get("tag", []), SUBSETTED]
    return _without_pointer(resource)


def _without_pointer(resource: dict[str, Any]) -> bytes:
    others = [one for one in resource["_data"]["extension"] if one.get("url") != POINTER]
    del resource["_data"]["extension"]
    if others:
        resource["_data"]["extension"] = others
    if not resource["_data"]:
        del resource["_data"]
    return lexemes.dumps(resource)
