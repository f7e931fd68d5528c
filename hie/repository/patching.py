"""JSON Patch (RFC 6902) on a stored resource, digits kept."""

from __future__ import annotations

from typing import Any

import jsonpatch
from jsonpointer import JsonPointerException

from esb.fhir.lexemes import dumps, loads
from hie.errors import NotValid, PreconditionFailed, TooLarge

MOST_OPERATIONS = 1000
MOST_BYTES = 1_000_000  # each `copy` may double a resource


def patched(content: bytes, operations: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the resource after a patch.

    Raises: NotValid if the patch is malformed or its paths are not there; PreconditionFailed if a test fails;
        TooLarge if it copies too much.
    """
    if not isinstance(operations, list) or len(operations) > MOST_OPERATIONS:
        raise NotValid(f"A JSON Patch is a list of at most {MOST_OPERATIONS} operations.")
    try:
        result: Any = loads(content)
        for operation in jsonpatch.JsonPatch(operations):
            result = jsonpatch.apply_patch(result, [operation], in_place=True)
            if operation["op"] == "copy" and len(dumps(result)) > MOST_BYTES:
                raise TooLarge
    except jsonpatch.JsonPatchTestFailed:
        raise PreconditionFailed("A test of the patch does not hold; read the resource and repeat.") from None
    except (
        jsonpatch.JsonPatchException,
        JsonPointerException,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
    ):
        raise NotValid("The patch cannot be applied: check its operations and paths.") from None
    if not isinstance(result, dict):
        raise NotValid("The patch leaves no resource behind.")
    return result
