"""Which error of our family any exception stands for: the one place that decides."""

from __future__ import annotations

import psycopg
from psycopg.errors import QueryCanceled
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException

from hie.errors import HieError, NotNow
from hie.repository.search import TooCostly


def as_hie_error(error: Exception) -> HieError:
    """Return the error of our family that an exception stands for."""
    if isinstance(error, HieError):
        return error
    if isinstance(error, HTTPException):
        known = HieError(HTTP_TEXTS.get(error.code or 500, error.name + "."))
        known.http, known.code = error.code or 500, HTTP_CODES.get(error.code or 500, "processing")
        return known
    if isinstance(getattr(error, "orig", error), QueryCanceled):
        return TooCostly()
    if isinstance(error, OperationalError | PoolTimeoutError | psycopg.OperationalError):
        return NotNow()
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return NotNow()
    return HieError()


HTTP_TEXTS = {
    404: "There is nothing here that you may see.",
    405: "This method is not offered here; see the CapabilityStatement at /fhir/metadata.",
    413: "The body is larger than the limit; send it in parts.",
    415: "This content type is not read here; send application/fhir+json.",
}
HTTP_CODES = {401: "login", 403: "forbidden", 404: "not-found", 405: "not-supported", 413: "too-long"}
