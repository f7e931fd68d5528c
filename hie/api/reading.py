"""Reads and searches inside a batch or transaction."""

from __future__ import annotations

from urllib.parse import parse_qsl

import orjson
from sqlalchemy.orm import Session

from hie.api import answers, asking
from hie.api.requested import Asked
from hie.repository import read
from hie.repository.content import instant_text
from hie.repository.search import search


def entry(session: Session, item: Asked) -> bytes:
    """Return the entry that answers a GET, or a conditional delete that matched nothing."""
    if item.method != "GET":
        return orjson.dumps({"response": {"status": "204 No Content"}})
    if item.id is not None:
        decision = asking.permitted("read", item.type)
        found = read.read(session, item.type, item.id, decision.where)
        response = {
            "status": "200 OK",
            "etag": f'W/"{found.version}"',
            "lastModified": instant_text(found.updated_at),
        }
        return orjson.dumps({"resource": orjson.Fragment(found.content), "response": response})
    params = parse_qsl(item.criteria or "", keep_blank_values=True)
    decision = asking.permitted("search", item.type)
    page = search(asking.search_by(session, decision.where), item.type, params, strict=asking.is_strict())
    entries = [answers.match_entry(*match) for match in page.matches]
    if page.remarks:
        entries.append(answers.remarks_entry(page.remarks))
    links = [("self", answers.query_url(item.type, page.used))]
    if page.cursor:
        links.append(("next", answers.query_url(item.type, [*params, ("_cursor", page.cursor)])))
    content = answers.bundle("searchset", entries, links=links, total=page.total)
    return orjson.dumps({"resource": orjson.Fragment(content), "response": {"status": "200 OK"}})
