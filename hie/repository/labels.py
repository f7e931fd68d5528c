"""Profiles, tags and security labels of resources: which are in use, and what adding or taking away makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from psycopg.errors import QueryCanceled
from sqlalchemy import ColumnElement, cast, func, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from esb.fhir import lexemes
from hie.errors import NotSupported
from hie.schema.repository import Resource

Meta = dict[str, Any]
SETS = ("profile", "security", "tag")
TIMEOUT_MS = 5000
TOO_MUCH = "There is too much to look through; ask for a type, or for one resource."
# What of a resource's text holds what the server states in meta; a comma behind it means: there is more.
HEAD_SIZE = 320
MORE = r'"lastUpdated":"[^"]*",'


def in_use(session: Session, where: ColumnElement[bool], type_: str | None) -> Meta:
    """Return all profiles, tags and labels of what an actor may see, each once.

    Raises: NotSupported if there is too much to look through.
    """
    meta = cast(func.nullif(Resource.content, ""), JSONB)["meta"]
    wanted = (
        select(meta.op("-")("versionId").op("-")("lastUpdated").op("-")("source").op("::")(text("text")))
        .where(~Resource.deleted, where, func.left(Resource.content, HEAD_SIZE).op("~")(MORE))
        .distinct()
    )
    if type_ is not None:
        wanted = wanted.where(Resource.type == type_)
    session.execute(text(f"SET LOCAL statement_timeout = {TIMEOUT_MS}"))
    try:
        found = [lexemes.loads_kept(one) for one in session.scalars(wanted)]
    except DBAPIError as error:
        if isinstance(error.orig, QueryCanceled):
            raise NotSupported(TOO_MUCH) from None
        raise
    result: Meta = {}
    for one in found:
        result = added(result, one)
    return {name: sorted(values, key=str) for name, values in result.items()}


def added(meta: Meta, more: Meta) -> Meta:
    """Return a meta with the profiles, tags and labels of another one too; what is there stays as it is."""
    return _changed(meta, more, _joined)


def without(meta: Meta, less: Meta) -> Meta:
    """Return a meta without the profiles, tags and labels of another one."""
    return _changed(meta, less, _unique)


def _changed(meta: Meta, other: Meta, change: Callable[[list[Any], list[Any]], list[Any]]) -> Meta:
    made = dict(meta)
    for name in SETS:
        values = change(list(meta.get(name, ())), list(other.get(name, ())))
        made.pop(name, None)
        if values:
            made[name] = values
    return made


def _joined(known: list[Any], new: list[Any]) -> list[Any]:
    return [*known, *_unique(new, known)]


def _unique(values: Iterable[Any], known: Iterable[Any]) -> list[Any]:
    """Return the values that are not known, each once: a tag is its system and code, a profile its URL."""
    seen = {_identity(one) for one in known}
    kept = []
    for one in values:
        if _identity(one) not in seen:
            seen.add(_identity(one))
            kept.append(one)
    return kept


def _identity(value: Any) -> Any:
    return value if isinstance(value, str) else (value.get("system"), value.get("code"))
