"""Composes Bundles and OperationOutcomes (FHIR R4 bundle.html, operationoutcome.html)."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from esb.errors import HieError, Issue

Resource = dict[str, Any]
JSON_PATCH = "application/json-patch+json"


def entry(resource: Resource, method: str = "PUT", if_none_match: bool = False) -> dict[str, Any]:
    """Return a transaction entry for a resource under its own id.

    Args:
        if_none_match: keep what is stored already; create only where there is nothing.
    """
    type_ = resource["resourceType"]
    url = type_ if method == "POST" else f"{type_}/{resource['id']}"
    request: dict[str, Any] = {"method": method, "url": url}
    if if_none_match:
        request["ifNoneMatch"] = "*"
    if method == "DELETE":
        return {"request": request}
    return {"resource": resource, "request": request}


def delete_entry(type_: str, id_: str) -> dict[str, Any]:
    """Return a transaction entry that deletes a resource."""
    return {"request": {"method": "DELETE", "url": f"{type_}/{id_}"}}


def patch_entry(type_: str, id_: str, operations: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return a transaction entry that changes a resource by JSON Patch (RFC 6902)."""
    patch = base64.b64encode(orjson.dumps(list(operations))).decode()
    return {
        "resource": {"resourceType": "Binary", "contentType": JSON_PATCH, "data": patch},
        "request": {"method": "PATCH", "url": f"{type_}/{id_}"},
    }


def transaction(entries: Iterable[dict[str, Any]]) -> Resource:
    """Return a transaction Bundle."""
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


def searchset(
    matches: Iterable[tuple[str, bytes]],
    *,
    self_url: str,
    next_url: str | None = None,
    total: int | None = None,
    includes: Iterable[tuple[str, bytes]] = (),
    outcome: Resource | None = None,
) -> Resource:
    """Return a searchset Bundle; write it with `lexemes.dumps`.

    Args:
        matches, includes: (full URL, stored JSON); the stored bytes are passed through, not parsed.
        outcome: remarks about the search, such as parameters that were not understood.
    """
    entries: list[dict[str, Any]] = [
        {"fullUrl": url, "resource": orjson.Fragment(content), "search": {"mode": mode}}
        for mode, found in (("match", matches), ("include", includes))
        for url, content in found
    ]
    if outcome is not None:
        entries.append({"resource": outcome, "search": {"mode": "outcome"}})
    links = [{"relation": "self", "url": self_url}]
    if next_url:
        links.append({"relation": "next", "url": next_url})
    bundle: Resource = {"resourceType": "Bundle", "type": "searchset", "link": links}
    if total is not None:
        bundle["total"] = total
    if entries:
        bundle["entry"] = entries
    return bundle


def operation_outcome(issues: Iterable[Issue], severity: str = "error") -> Resource:
    """Return an OperationOutcome that names each element and what is wrong with it."""
    listed = [_issue(issue, severity) for issue in issues]
    return {
        "resourceType": "OperationOutcome",
        "issue": listed
        or [{"severity": "information", "code": "informational", "diagnostics": "Nothing is wrong."}],
    }


def outcome_of(error: HieError) -> Resource:
    """Return the OperationOutcome of an error: its issues, or its text where it has none."""
    issues = error.issues or (Issue("", error.text, error.code),)
    return operation_outcome(issues, "fatal" if error.http >= 500 else "error")


def _issue(issue: Issue, severity: str) -> dict[str, Any]:
    described: dict[str, Any] = {"severity": severity, "code": issue.code, "diagnostics": issue.text}
    if issue.path:
        described["expression"] = [issue.path]
    return described
