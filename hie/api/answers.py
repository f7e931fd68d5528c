"""Answers of the API: bytes as stored, ETag, Location, gzip; Bundles joined from bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from urllib.parse import urlencode

import orjson
from flask import Response, request
from werkzeug.http import http_date

from esb.errors import Issue
from esb.fhir import lexemes
from esb.fhir.bundles import operation_outcome
from hie.api import asking

FHIR_JSON = "application/fhir+json; charset=utf-8"
GZIP_FROM = 1024  # smaller answers fit a packet as they are


def answer(content: bytes, status: int = 200, **headers: str) -> Response:
    """Return an answer of FHIR JSON, indented or gzipped where the asker wishes it."""
    if request.args.get("_pretty") == "true" and content:
        content = lexemes.dumps_pretty(lexemes.loads_any(content))
    response = Response(content, status)
    response.headers["Content-Type"] = FHIR_JSON
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    if len(content) > GZIP_FROM and asking.accepts_gzip():
        response.set_data(asking.packed(content))
        response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
    return response


def versioned(
    content: bytes, version: int, updated_at: datetime, status: int = 200, **headers: str
) -> Response:
    """Return one version of a resource with its ETag and Last-Modified."""
    return answer(
        content, status, ETag=f'W/"{version}"', Last_Modified=http_date(updated_at.astimezone(UTC)), **headers
    )


def base() -> str:
    """Return the address of the API as others call it."""
    return asking.hub().config.base_url + "/fhir"


def location(type_: str, id_: str, version: int) -> str:
    """Return the address of a version."""
    return f"{base()}/{type_}/{id_}/_history/{version}"


def bundle(
    kind: str,
    entries: Iterable[bytes],
    *,
    links: Sequence[tuple[str, str]] = (),
    total: int | None = None,
    updated: str | None = None,
) -> bytes:
    """Return a Bundle joined from the bytes of its entries; `updated` is its meta.lastUpdated."""
    head: dict[str, object] = {"resourceType": "Bundle", "type": kind}
    if updated is not None:
        head["meta"] = {"lastUpdated": updated}
    if total is not None:
        head["total"] = total
    if links:
        head["link"] = [{"relation": relation, "url": url} for relation, url in links]
    joined = b",".join(entries)
    start = orjson.dumps(head)[:-1]
    return start + (b',"entry":[' + joined + b"]}" if joined else b"}")


def match_entry(type_: str, id_: str, content: bytes, mode: str = "match") -> bytes:
    """Return the entry of a searchset around stored bytes."""
    head = f'{{"fullUrl":"{base()}/{type_}/{id_}","resource":'.encode()
    return head + content + f',"search":{{"mode":"{mode}"}}}}'.encode()


def remarks_entry(remarks: Sequence[Issue]) -> bytes:
    """Return the entry that tells what of a search was left aside."""
    return orjson.dumps({"resource": operation_outcome(remarks, "warning"), "search": {"mode": "outcome"}})


def query_url(path: str, params: Sequence[tuple[str, str]]) -> str:
    """Return the address of a search."""
    return f"{base()}/{path}" + (f"?{urlencode(params)}" if params else "")
