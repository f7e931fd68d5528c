"""Says which element broke which rule of the schema, in words, without the patient's data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from esb.errors import Issue
from esb.fhir.definitions import load
from esb.fhir.invariants import ELEMENT_RULES
from esb.fhir.lexemes import Beyond

MAX_ERRORS = 60
MAX_CODES = 20

# Type of the standard -> what is expected where a text or number is none.
EXPECTED = {
    "base64Binary": "must be base64",
    "boolean": "must be true or false, not text",
    "canonical": "must be a canonical URL",
    "code": "must be a code: no spaces at the ends, no double spaces",
    "date": "must be a date that exists: YYYY, YYYY-MM or YYYY-MM-DD",
    "dateTime": "must be a date that exists; with a time: YYYY-MM-DDThh:mm:ss and an offset (Z or +08:00)",
    "decimal": "must be a number, not text",
    "id": "must be an id: up to 64 letters, digits, '-' or '.'",
    "instant": "must be YYYY-MM-DDThh:mm:ss with an offset (Z or +08:00), on a day that exists",
    "integer": "must be a whole number of up to 32 bits",
    "markdown": "must be text, not empty, without control characters",
    "oid": "must be an OID: urn:oid:1.2.3",
    "positiveInt": "must be a whole number above 0",
    "string": "must be text, not empty, without control characters",
    "time": "must be a time: hh:mm:ss",
    "unsignedInt": "must be a whole number, 0 or above",
    "uri": "must be a URI: not empty, no spaces",
    "url": "must be a URL: not empty, no spaces",
    "uuid": "must be a UUID: urn:uuid: and lower case digits",
    "xhtml": "must be an XHTML div",
}
BEYOND = "is beyond what a double can hold"
_NAME = re.compile(r"_?[A-Za-z][A-Za-z0-9]{0,63}")


def path_of(prefix: str, steps: Sequence[str | int]) -> str:
    """Return a FHIRPath-like path: `Patient.name[0].given[1]`; a key no element can have is left out."""
    path = prefix
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        elif _NAME.fullmatch(step):
            path += f".{step}"
    return path


def explain(
    validator: Any, schemas: dict[str, Any], type_: str, resource: Any, prefix: str
) -> Iterator[Issue]:
    """Yield one issue for each element of a resource that breaks the schema of its type."""
    seen: set[str] = set()
    try:
        errors = list(islice(validator.iter_errors({type_: resource}), MAX_ERRORS))
    except ValueError:
        yield Issue(prefix, "nests too deeply, or holds what JSON cannot", "structure")
        return
    for error in errors:
        for issue in _issues(error, schemas, path_of(prefix, error.instance_path[1:])):
            if issue.path not in seen:
                seen.add(issue.path)
                yield issue


def beyond(node: Any, path: str) -> Iterator[Issue]:
    """Yield one issue for each number of a resource that no double holds, which no validator takes either."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from beyond(value, path_of(path, [key]))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from beyond(value, path_of(path, [index]))
    elif isinstance(node, Beyond):
        yield Issue(path, BEYOND, "value")


def _issues(error: Any, schemas: dict[str, Any], path: str) -> Iterator[Issue]:
    keyword = str(error.schema_path[-1])
    definition, comment = _place(error.schema_path, schemas)
    if comment:
        yield _commented(comment, keyword, path)
    elif keyword == "additionalProperties":
        for name in error.kind.unexpected:
            known = _NAME.fullmatch(name)
            where = f"{path}.{name}" if known else path
            yield Issue(
                where, f"is no element of {definition} in FHIR R4" if known else _STRANGE, "structure"
            )
    elif keyword == "required":
        yield Issue(f"{path}.{error.kind.property}", "is required", "required")
    else:
        yield _by_keyword(error, keyword, definition, path)


_STRANGE = "holds a key that no element of FHIR R4 has"


def _by_keyword(error: Any, keyword: str, definition: str, path: str) -> Issue:
    if keyword == "invariants":
        key = error.kind.message
        return Issue(path, f"breaks {key}: {ELEMENT_RULES[key][0]}", "invariant")
    if keyword == "enum":
        codes = [str(code) for code in error.kind.options]
        shown = " | ".join(codes[:MAX_CODES]) + (" | ..." if len(codes) > MAX_CODES else "")
        return Issue(path, f"must be one of: {shown}", "code-invalid")
    if keyword == "digits":
        return Issue(path, f"{EXPECTED[definition]}, written without point and exponent", "value")
    if definition in EXPECTED:
        return Issue(path, EXPECTED[definition], "value")
    text = f"breaks a rule of {definition} ({keyword})"
    if keyword == "type" and error.kind.types == ["object"]:
        text = f"must be an object ({definition.rpartition('.')[2]})"
    elif keyword == "type":
        text = f"must be {' or '.join(error.kind.types)} in JSON"
    elif keyword == "minItems":
        text = "must not be an empty list; leave the element out"
    return Issue(path, text, "structure")


def _commented(comment: str, keyword: str, path: str) -> Issue:
    kind, _, rest = comment.partition(" ")
    if kind == "required":
        return Issue(
            f"{path}.{rest}", f"is required, or _{rest} with the reason why it is absent", "required"
        )
    if kind == "choice":
        if keyword == "anyOf":
            return Issue(f"{path}.{rest}", "is required, in one of its types", "required")
        return Issue(path, f"is one type too many; give only one of {rest}", "structure")
    if kind == "is":
        return Issue(path, comment, "value")
    if kind.startswith("http"):
        return Issue(path, f"must have a coding of {comment}", "code-invalid")
    return Issue(path, f"breaks {comment}", "invariant")


def _place(schema_path: list[str | int], schemas: dict[str, Any]) -> tuple[str, str]:
    """Return the definition an error comes from, and the nearest comment above it."""
    definition = str(schema_path[1]) if len(schema_path) > 1 else ""
    node: Any = schemas.get(definition, {})
    comment = ""
    for step in schema_path[2:]:
        try:
            node = node[step]
        except (KeyError, IndexError, TypeError):
            break
        if isinstance(node, dict):
            comment = node.get("$comment", comment)
    return definition, comment


def left_out() -> dict[str, str]:
    """Return the published invariants that are not checked: key -> what it says."""
    published: dict[str, str] = load("invariants_left_out")
    return published
