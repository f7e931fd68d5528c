"""A patch on a stored resource, digits kept: JSON Patch (RFC 6902) or FHIRPath Patch."""

from __future__ import annotations

import re
from typing import Any

import jsonpatch
from jsonpointer import JsonPointer, JsonPointerException

from esb.errors import Issue
from esb.fhir.lexemes import dumps, loads
from hie.errors import NotValid, PreconditionFailed, TooLarge
from hie.repository import fhirpath_patch
from hie.repository.element_paths import wrong

# Operations of a JSON Patch, or the Parameters of a FHIRPath Patch.
Patch = list[dict[str, Any]] | dict[str, Any]

MOST_OPERATIONS = 1000
MOST_BYTES = 1_000_000  # copied in all: each `copy` may double a resource, and takes as long as it is large
MOST_LOOKED_THROUGH = 50_000_000  # bytes: each path of a FHIRPath Patch may go through a whole resource
# What of a pointer is shown: names of elements and places in lists, nothing that could be a value.
SEGMENT = re.compile(r"_?[A-Za-z][A-Za-z0-9]{0,63}")
TEST_FAILED = "A test of the patch does not hold; read the resource and repeat."


def patched(content: bytes, patch: Patch) -> dict[str, Any]:
    """Return the resource after a patch.

    Raises: NotValid if the patch is malformed; WrongPath, naming the element, if what it names is not there;
        PreconditionFailed if a test fails; TooLarge if it copies too much.
    """
    resource = loads(content)
    if isinstance(patch, dict):
        operations = len(patch.get("parameter", ()))
        if operations > 1 and operations * len(content) > MOST_LOOKED_THROUGH:
            raise TooLarge("So many operations on a resource of this size take too long; send them in parts.")
        return fhirpath_patch.apply(resource, patch)
    if not isinstance(patch, list) or len(patch) > MOST_OPERATIONS:
        raise NotValid(f"A JSON Patch is a list of at most {MOST_OPERATIONS} operations.")
    type_, result = str(resource["resourceType"]), resource
    copied = 0
    for number, operation in enumerate(patch):
        copied += _size_of_copy(result, operation)
        if copied > MOST_BYTES:
            raise TooLarge
        result = _after(result, operation, number, type_)
    if not isinstance(result, dict):
        raise NotValid("The patch leaves no resource behind.")
    return result


def _size_of_copy(resource: Any, operation: Any) -> int:
    """Return how many bytes an operation copies; 0 for any other, and for what cannot be done."""
    if not isinstance(operation, dict) or operation.get("op") != "copy":
        return 0
    try:
        return len(dumps(JsonPointer(operation["from"]).resolve(resource)))
    except (JsonPointerException, TypeError, KeyError, AttributeError):
        return 0


def _after(resource: Any, operation: Any, number: int, type_: str) -> Any:
    """Return the resource after one operation of a JSON Patch."""
    try:
        return jsonpatch.JsonPatch([operation]).apply(resource, in_place=True)
    except jsonpatch.JsonPatchTestFailed:
        shown = _shown(operation, "path", type_)
        raise PreconditionFailed(TEST_FAILED, issues=[Issue(shown, TEST_FAILED, "conflict")]) from None
    except jsonpatch.InvalidJsonPatch:
        raise NotValid(f"Operation {number} of the patch is no operation of RFC 6902.") from None
    except (
        jsonpatch.JsonPatchException,
        JsonPointerException,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
    ):
        shown = _shown(operation, "path", type_)
        raise wrong(shown, f"cannot be changed so (operation {number}): see what stands there") from None


def _shown(operation: Any, name: str, type_: str) -> str:
    """Return a pointer as the path of an element: /name/0/given as Patient.name[0].given."""
    pointer = operation.get(name) if isinstance(operation, dict) else None
    shown = type_
    for segment in (pointer if isinstance(pointer, str) else "").split("/")[1:20]:
        if segment.isascii() and segment.isdigit() and len(segment) < 7:
            shown += f"[{segment}]"
        elif SEGMENT.fullmatch(segment):
            shown += f".{segment}"
    return shown
