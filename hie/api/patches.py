"""Patches as they are sent: JSON Patch or FHIRPath Patch, as a body or in a transaction (http.html#patch)."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from esb.fhir import lexemes
from esb.fhir.validation import check_resource
from hie.api import asking
from hie.errors import Malformed, NotValid
from hie.repository.patching import Patch

FHIRPATH_TYPES = frozenset({"application/fhir+json"})
JSON_PATCH_TYPES = frozenset({asking.PATCH_TYPE, "application/json"})


def from_body() -> Patch:
    """Return the patch in the request's body. Raises: UnsupportedMedia, Malformed, NotValid, TooLarge."""
    kind = asking.media_type()
    if kind not in FHIRPATH_TYPES | JSON_PATCH_TYPES:
        raise asking.UnsupportedMedia(
            f"A patch is sent as {asking.PATCH_TYPE}, or as application/fhir+json with a Parameters."
        )
    said = lexemes.loads_any(asking.body_bytes())
    if kind in FHIRPATH_TYPES or isinstance(said, dict):
        return _parameters(said)
    if not isinstance(said, list):
        raise Malformed("A JSON Patch is a list of operations.")
    return said


def _parameters(said: Any) -> dict[str, Any]:
    if not isinstance(said, dict) or said.get("resourceType") != "Parameters":
        raise NotValid("A FHIRPath Patch is a Parameters; see http://hl7.org/fhir/R4/fhirpatch.html.")
    check_resource(said)
    return said


def from_resource(resource: dict[str, Any]) -> Patch:
    """Return the patch that an entry of a transaction carries: a Binary with a JSON Patch, or a Parameters.

    Raises: NotValid, Malformed.
    """
    if resource["resourceType"] == "Parameters":
        return resource
    if resource["resourceType"] != "Binary" or resource.get("contentType") != asking.PATCH_TYPE:
        raise NotValid(f"A patch is a Parameters, or a Binary of contentType {asking.PATCH_TYPE}.")
    try:
        operations = lexemes.loads_any(base64.b64decode(resource.get("data") or "", validate=True))
    except (binascii.Error, ValueError):
        raise Malformed("The data of the patch is not base64.") from None
    if not isinstance(operations, list):
        raise Malformed("A JSON Patch is a list of operations.")
    return operations
