"""The FHIR R4 inlet: takes Bundles and single resources and answers as a FHIR server does (http.html).

Knows no web framework: `app` hands it the parts of a request and sends what it returns.
"""

from __future__ import annotations

import hmac
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from esb.errors import HieError, NotAuthenticated, NotNow, NotSupported, TooLarge
from esb.fhir.bundles import operation_outcome, outcome_of
from esb.fhir.lexemes import dumps, loads
from esb.fhir.types import RESOURCE_TYPES

FHIR_JSON = "application/fhir+json"
_JSON = frozenset({"", "application/fhir+json", "application/json", "text/json"})
_ID_HEADERS = ("x-request-id", "idempotency-key")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; path is what stands behind /fhir, header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    peer: str
    base_url: str


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a captured request became: (status, `Type/id`) per entry, in the request's order."""

    answers: Sequence[tuple[str, str]]
    bundle_type: str


class NotTaken(NotSupported):
    """This inlet takes what the hospital records; read at the hub's FHIR address."""

    http = 405

    def __init__(self, allow: str, text: str | None = None) -> None:
        """Keep which methods the address takes (RFC 9110, 15.5.6)."""
        super().__init__(text)
        self.allow = allow


class WrongFormat(NotSupported):
    """Other formats are not taken here; send application/fhir+json."""

    http = 415


# (raw, `POST Patient`, control id, peer) -> what it became. Raises: HieError.
CaptureFhir = Callable[[bytes, str, str, str], Kept]
Refuse = Callable[[str, str, int, HieError], None]


@dataclass(frozen=True, slots=True)
class Inlet:
    """The inlet: whose token it takes, how much, and what captures."""

    token: str
    max_message: int
    capture: CaptureFhir
    refuse: Refuse

    def handle(self, request: Request) -> Response:
        """Return the answer to a request; never raises for what a sender can cause."""
        try:
            return self._handle(request)
        except HieError as fault:
            headers = {"WWW-Authenticate": 'Bearer realm="fep"'} if fault.http == 401 else {}
            if isinstance(fault, NotTaken):
                headers["Allow"] = fault.allow
            if isinstance(fault, NotNow):
                headers["Retry-After"] = "2"
            return _json(fault.http, outcome_of(fault), headers)

    def _handle(self, request: Request) -> Response:
        path = request.path.strip("/")
        if path == "metadata":
            return _json(200, capability_statement(request.base_url))
        self._authenticate(request.headers.get("authorization", ""))
        if request.method not in ("POST", "PUT", "DELETE"):
            raise NotTaken("POST, PUT, DELETE" if path else "POST")
        if not path and request.method != "POST":
            raise NotTaken("POST", "The base address takes POST of a Bundle.")
        address = f"{request.method} {path}".strip()
        body = self._body(request, address)
        control_id = next((v for name in _ID_HEADERS if (v := request.headers.get(name, "").strip())), "")
        kept = self.capture(body, f"{request.method} {path}", control_id[:200], request.peer)
        prefer = request.headers.get("prefer", "")
        return _bundle_answer(kept) if not path else _single_answer(kept, body, prefer, request.base_url)

    def _authenticate(self, authorization: str) -> None:
        scheme, _, token = authorization.partition(" ")
        given = token.strip().encode() if scheme.lower() == "bearer" else b""
        if not self.token or not hmac.compare_digest(given, self.token.encode()):
            raise NotAuthenticated("Send the hospital's token as 'Authorization: Bearer <token>'.")

    def _body(self, request: Request, address: str) -> bytes:
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if request.method != "DELETE" and media not in _JSON:
            raise WrongFormat
        if len(request.body) > self.max_message:
            raise self._too_large(request, address, len(request.body))
        if request.headers.get("content-encoding", "").lower() != "gzip":
            return request.body
        stream = zlib.decompressobj(wbits=31)
        try:
            body = stream.decompress(request.body, self.max_message)
        except zlib.error:
            raise NotSupported("The content is not gzip as its Content-Encoding says.") from None
        if stream.unconsumed_tail:
            raise self._too_large(request, address, self.max_message + 1)
        if not stream.eof:
            raise NotSupported("The gzip content ends in the middle; send it again whole.")
        return body

    def _too_large(self, request: Request, address: str, size: int) -> TooLarge:
        fault = TooLarge(f"The content is over {self.max_message} bytes; send it in parts.")
        self.refuse(address, request.peer, size, fault)
        return fault


def _bundle_answer(kept: Kept) -> Response:
    kind = "transaction-response" if kept.bundle_type == "transaction" else "batch-response"
    entries: list[dict[str, Any]] = []
    for status, target in kept.answers:
        response = {"status": status} if status.startswith("204") else {"status": status, "location": target}
        entries.append({"response": response})
    return _json(200, {"resourceType": "Bundle", "type": kind, "entry": entries})


def _single_answer(kept: Kept, body: bytes, prefer: str, base_url: str) -> Response:
    status, target = kept.answers[0]
    code = int(status[:3])
    if code == 204:
        return Response(204)
    headers = {"Location": f"{base_url}/{target}"}
    if "return=minimal" in prefer:
        return Response(code, b"", headers)
    if "return=OperationOutcome" in prefer:
        return _json(code, operation_outcome([]), headers)
    # The sender's own words under the id they were given; digits stay as they were sent.
    shown = {**loads(body), "id": target.partition("/")[2]}
    return Response(code, dumps(shown), {"Content-Type": f"{FHIR_JSON}; charset=utf-8", **headers})


def _json(status: int, content: dict[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    media = {"Content-Type": f"{FHIR_JSON}; charset=utf-8"}
    return Response(status, orjson.dumps(content), {**media, **(headers or {})})


def capability_statement(base_url: str) -> dict[str, Any]:
    """Return what this inlet can do (FHIR R4 capabilitystatement.html)."""
    resources = [
        {
            "type": type_,
            "interaction": [{"code": code} for code in ("create", "update", "delete")],
            "updateCreate": True,
            "conditionalUpdate": True,
        }
        for type_ in sorted(RESOURCE_TYPES)
    ]
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-01-01",
        "kind": "instance",
        "implementation": {"description": "Inlet of a hospital's front-end processor", "url": base_url},
        "fhirVersion": "4.0.1",
        "format": ["json", FHIR_JSON],
        "rest": [
            {
                "mode": "server",
                "documentation": "Takes what the hospital records; reading is done at the hub.",
                "security": {"description": "Bearer token of the hospital's own systems"},
                "resource": resources,
                "interaction": [{"code": "transaction"}, {"code": "batch"}],
            }
        ],
    }
