"""Operations as a whole: the table is what is routed, and what is not known is refused by name."""

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from hie.api.operations import OPERATIONS
from hie.schema import AuditEventRow
from tests.hub_world import Caller, Json, created, patient
from tests.operations_world import text_of


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_operation_is_refused_with_the_known_ones_of_its_place(call: Caller, method: str) -> None:
    answer = call(method, "/Patient/x/$evrything")
    assert answer.status_code == 404
    assert "of one Patient" in text_of(answer)
    assert "$everything" in text_of(answer)
    assert "$evrything" not in answer.text
    for place in ("/$nothing", "/Patient/$nothing", "/Basic/x/$nothing"):
        assert (call(method, place).status_code, "known are" in text_of(call(method, place))) == (404, True)


def test_an_operation_of_no_resource_type_is_refused(call: Caller) -> None:
    assert "no such resource type" in text_of(call("GET", "/Pateint/x/$everything"))


def test_an_unknown_operation_leaves_its_row_in_the_trail(app: Flask, call: Caller) -> None:
    with Session(app.extensions["hie"].engine) as session:
        count = sa.select(sa.func.count()).where(AuditEventRow.operation == "operation")
        before = session.scalars(count).one()
        call("GET", "/Patient/x/$nothing")
        assert session.scalars(count).one() == before + 1


def test_each_row_of_the_table_is_routed_and_each_route_has_its_row(app: Flask) -> None:
    routed = {
        (rule.rule.removeprefix("/fhir"), method)
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
        if "$" in rule.rule and "$<" not in rule.rule and method in ("GET", "POST")
    }
    stated = set()
    for row in OPERATIONS:
        for level in row.levels:
            head = "" if level == "system" else "/<type_>"
            heads = [f"/{type_}" for type_ in row.types] if row.types and head else [head]
            tail = "/<id_>" if level == "instance" else ""
            methods = ("GET", "POST") if row.by_get else ("POST",)
            stated |= {(f"{head}{tail}/${row.name}", method) for head in heads for method in methods}
    stated |= {("/<type_>/<id_>/_history/<version>/$meta", method) for method in ("GET", "POST")}
    assert routed == stated


def test_what_is_asked_by_post_only_says_so(call: Caller) -> None:
    for row in OPERATIONS:
        if not row.by_get:
            level = row.levels[0]
            type_ = (row.types or ("Patient",))[0]
            place = {"system": "", "type": f"/{type_}", "instance": f"/{type_}/x"}[level]
            assert text_of(call("GET", f"{place}/${row.name}")) == f"${row.name} is asked by POST."


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("_sinse=2026-01-01", "known are: "),
        ("_since=soon", "_since is no instant"),
        ("_since=2026-13-45", "_since is no FHIR date"),
        ("_count=0", "_count is no integer above 0"),
        ("_type=Pateint", "does not have"),
        ("_since=2026-01-01&_since=2026-01-02", "once only"),
    ],
)
def test_a_parameter_that_is_unknown_or_unreadable_is_refused(call: Caller, query: str, said: str) -> None:
    answer = call("GET", f"/Patient/{created(call, patient('40'))['id']}/$everything?{query}")
    assert answer.status_code == 400
    assert said in text_of(answer)


def test_each_operation_leaves_one_row_that_names_it_also_when_it_is_refused(
    app: Flask, call: Caller
) -> None:
    who = created(call, patient("41"))["id"]
    composition: Json = {
        "resourceType": "Composition",
        "status": "final",
        "type": {"text": "x"},
        "title": "x",
    }
    composition |= {
        "date": "2026-01-01",
        "author": [{"display": "x"}],
        "subject": {"reference": f"Patient/{who}"},
    }
    document = created(call, composition)["id"]
    labels = {
        "resourceType": "Parameters",
        "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": "x"}]}}],
    }
    asked = (
        ("GET", f"/Patient/{who}/$everything", None),
        ("GET", "/Patient/$everything?_count=1", None),
        ("POST", "/Patient/$match", patient("41")),
        ("GET", f"/Patient/{who}/$summary", None),
        ("GET", f"/Observation/$lastn?patient={who}", None),
        ("GET", "/$meta", None),
        ("GET", "/Patient/$meta", None),
        ("GET", f"/Patient/{who}/$meta", None),
        ("POST", f"/Patient/{who}/$meta-add", labels),
        ("POST", f"/Patient/{who}/$meta-delete", labels),
        ("POST", "/Patient/$validate", patient("41")),
        ("GET", f"/Patient/{who}/$validate", None),
        ("GET", f"/Composition/{document}/$document", None),
    )
    engine = app.extensions["hie"].engine
    for method, path, body in asked:
        for place, status in ((path, 200), (path + ("&" if "?" in path else "?") + "unheard=of", 400)):
            assert call(method, place, body).status_code == status, place
            with Session(engine) as session:
                last = session.scalars(
                    sa.select(AuditEventRow).order_by(AuditEventRow.id.desc()).limit(2)
                ).all()
            name = "$" + path.partition("$")[2].partition("?")[0]
            assert (last[0].operation, last[0].http) == (name, status)
            assert (last[1].operation, last[1].http) != (name, status), "two rows"
