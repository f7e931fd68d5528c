"""Chains, _has, _list and includes over the repository, each hop within the policy."""

import itertools
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from hie.errors import NotSupported
from hie.repository import chains, includes, store
from hie.repository import search as searching
from hie.repository.definitions import EVERY_TYPE
from hie.repository.search import Page, Search, TooCostly, bounded, is_quick, search
from hie.repository.writes import Write
from hie.schema.repository import Resource

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")
Json = dict[str, Any]


def resource(type_: str, id_: str, **elements: Any) -> Json:
    return {"resourceType": type_, "id": id_, **elements}


def to(reference: str) -> Json:
    return {"reference": reference}


def code(value: str) -> Json:
    return {"coding": [{"system": "http://loinc.org", "code": value}]}


WORLD = [
    resource("Organization", "top", name="Province"),
    resource("Organization", "mid", name="City", partOf=to("Organization/top")),
    resource("Organization", "leaf", name="Clinic", partOf=to("Organization/mid")),
    resource("Practitioner", "dr", name=[{"text": "李明"}]),
    resource("Patient", "p1", name=[{"text": "张伟"}], managingOrganization=to("Organization/leaf")),
    resource("Patient", "p2", name=[{"text": "王芳"}], generalPractitioner=[to("Practitioner/dr")]),
    resource(
        "Encounter", "e1", status="finished", subject=to("Patient/p1"),
        serviceProvider=to("Organization/leaf"),
    ),
    resource(
        "Encounter", "e2", status="planned", subject=to("Patient/p2"), serviceProvider=to("Organization/mid")
    ),
    resource(
        "Observation", "o1", status="final", code=code("718-7"), subject=to("Patient/p1"),
        encounter=to("Encounter/e1"), performer=[to("Practitioner/dr")],
    ),
    resource(
        "Observation", "o2", status="final", code=code("2160-0"), subject=to("Patient/p2"),
        encounter=to("Encounter/e2"), hasMember=[to("Observation/o1")],
    ),
    resource("Observation", "o3", status="final", code=code("718-7"), subject=to("Group/g")),
    resource("DiagnosticReport", "d1", subject=to("Patient/p1"), result=[to("Observation/o1")]),
    resource("Questionnaire", "q1", url="http://example.org/q", title="Smoking", status="active"),
    resource("QuestionnaireResponse", "qr1", questionnaire="http://example.org/q|2", status="completed"),
    resource(
        "List", "l1", status="current", mode="working",
        entry=[{"item": to("Patient/p1")}, {"item": to("Observation/o2")},
               {"item": to("Patient/p2"), "deleted": True}],
    ),
]  # fmt: skip


@pytest.fixture
def world(session: Session) -> Session:
    """A session over a small region."""
    store.write(session, [Write("put", r["resourceType"], r["id"], r, "H01") for r in WORLD], NOW, ZONE)
    return session


@pytest.fixture(params=[500, 0], ids=["by ids", "by subquery"])
def either(world: Session, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Session:
    """The region, with hops put into the statement as ids, and as subqueries as if they found very many."""
    monkeypatch.setattr(chains, "FEW", request.param)
    return world


def ask(session: Session, type_: str, *params: tuple[str, str], reach: Any = None) -> Page:
    how = Search(session, sa.true(), ZONE, b"k", NOW, reach or (lambda _: sa.true()))
    return search(how, type_, params, strict=True)


def ids(session: Session, type_: str, *params: tuple[str, str], **how: Any) -> set[str]:
    return {id_ for _, id_, _ in ask(session, type_, *params, **how).matches}


@pytest.mark.parametrize(
    ("type_", "name", "value", "expected"),
    [
        ("Observation", "patient.name", "张伟", {"o1"}),
        ("Observation", "subject.name", "zhangwei", {"o1"}),
        ("Observation", "subject:Patient.name", "王芳", {"o2"}),
        ("Observation", "encounter.status", "finished", {"o1"}),
        ("Observation", "performer:Practitioner.name", "liming", {"o1"}),
        ("Observation", "encounter.service-provider.name", "clinic", {"o1"}),
        ("Observation", "encounter.service-provider.partof.name", "city", {"o1"}),
        ("Observation", "encounter.service-provider.partof.partof.name", "province", {"o1"}),
        ("Observation", "patient.organization.partof.partof.name", "province", {"o1"}),
        ("Observation", "patient.general-practitioner:Practitioner.name", "李明", {"o2"}),
        ("Observation", "has-member:Observation.encounter.status", "finished", {"o2"}),
        ("Observation", "patient.name", "nobody", set()),
        ("Patient", "organization.partof:missing", "false", {"p1"}),
        ("Patient", "_has:Observation:patient:code", "718-7", {"p1"}),
        ("Patient", "_has:Observation:patient:code", "718-7,2160-0", {"p1", "p2"}),
        ("Patient", "_has:Observation:subject:code", "2160-0", {"p2"}),
        ("Patient", "_has:Observation:patient:encounter.status", "planned", {"p2"}),
        ("Encounter", "_has:Observation:encounter:code", "2160-0", {"e2"}),
        ("Patient", "_has:Encounter:patient:_has:Observation:encounter:code", "718-7", {"p1"}),
        ("Practitioner", "_has:Observation:performer:patient.name", "张伟", {"dr"}),
        ("Organization", "_has:Organization:partof:_has:Organization:partof:name", "clinic", {"top"}),
        ("Observation", "_has:DiagnosticReport:result:patient", "p1", {"o1"}),
        ("Observation", "patient._has:Observation:patient:code", "2160-0", {"o2"}),
        ("Observation", "_has:Observation:has-member:code", "2160-0", {"o1"}),
        ("Patient", "_list", "l1", {"p1"}),
        ("Observation", "_list", "l1", {"o2"}),
        ("Patient", "_list", "nowhere", set()),
    ],
)
def test_references_are_followed_forwards_and_backwards(
    either: Session, type_: str, name: str, value: str, expected: set[str]
) -> None:
    assert ids(either, type_, (name, value)) == expected


def test_a_chain_follows_the_canonical_address_of_a_questionnaire(world: Session) -> None:
    assert ids(world, "QuestionnaireResponse", ("questionnaire.title", "smok")) == {"qr1"}


@pytest.mark.parametrize("hidden", ["Patient", "Encounter", "Organization", "List"])
@pytest.mark.parametrize(
    ("type_", "name", "value", "through"),
    [
        ("Observation", "patient.name", "张伟", {"Patient"}),
        ("Observation", "encounter.service-provider.name", "clinic", {"Encounter", "Organization"}),
        ("Observation", "patient.organization.partof.name", "city", {"Patient", "Organization"}),
        ("Patient", "_has:Encounter:patient:status", "finished", {"Encounter"}),
        ("Organization", "_has:Encounter:service-provider:status", "finished", {"Encounter"}),
        ("Patient", "_has:Encounter:patient:_has:Observation:encounter:code", "718-7", {"Encounter"}),
        ("Patient", "_list", "l1", {"List"}),
    ],
)
def test_no_hop_goes_through_what_is_hidden(
    either: Session, hidden: str, type_: str, name: str, value: str, through: set[str]
) -> None:
    found = ids(either, type_, (name, value), reach=lambda t: sa.false() if t == hidden else sa.true())
    assert bool(found) == (hidden not in through)


@pytest.mark.parametrize(
    ("type_", "name", "told"),
    [
        ("Observation", "pateint.name", "did you mean patient?"),
        ("Observation", "patient.nmae", "did you mean name?"),
        ("Observation", "code.name", "no reference"),
        ("Observation", "subject:Cat.name", "subject:Patient.name"),
        ("Patient", "_has:Observation", "_has:Observation:patient:code"),
        ("Patient", "_has:Cat:patient:code", "no resource type"),
        ("Patient", "_has:Observation:pateint:code", "did you mean patient?"),
        ("Patient", "_has:Observation:encounter:code", "no reference to Patient"),
        ("Observation", ".".join(["has-member:Observation"] * 40) + ".code", "at most"),
        ("Patient", "_has:Observation:patient:" * 40 + "code", "no reference to Observation"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_what_to_do(
    world: Session, type_: str, name: str, told: str
) -> None:
    with pytest.raises(NotSupported) as refused:
        ask(world, type_, (name, "x"))
    assert told in refused.value.issues[0].text


def test_a_functional_list_is_refused(world: Session) -> None:
    with pytest.raises(NotSupported, match="name a List by its id"):
        ask(world, "Patient", ("_list", "$current-problems"))


def bring(session: Session, type_: str, *params: tuple[str, str], reach: Any = None) -> list[str]:
    page = ask(session, type_, *params, reach=reach)
    see = reach or (lambda _: sa.true())
    found, cut, _ = includes.included(session, see, page.query, page.matches)
    assert cut == []
    return sorted(f"{type_}/{id_}" for type_, id_, _ in found)


@pytest.mark.parametrize(
    ("type_", "params", "expected"),
    [
        ("Observation", [("_id", "o1"), ("_include", "Observation:subject")], ["Patient/p1"]),
        ("Observation", [("_id", "o1"), ("_include", "Observation:subject:Group")], []),
        (
            "Observation",
            [("_id", "o1"), ("_include", "Observation:performer:Practitioner")],
            ["Practitioner/dr"],
        ),
        (
            "Observation",
            [("_id", "o1"), ("_include", "Observation:*")],
            ["Encounter/e1", "Patient/p1", "Practitioner/dr"],
        ),
        (
            "Observation",
            [("_id", "o1"), ("_include", "*")],
            ["Encounter/e1", "Patient/p1", "Practitioner/dr"],
        ),
        (
            "Observation",
            [
                ("_id", "o1"),
                ("_include", "Observation:encounter"),
                ("_include:iterate", "Encounter:service-provider"),
                ("_include:iterate", "Organization:partof"),
            ],
            ["Encounter/e1", "Organization/leaf", "Organization/mid", "Organization/top"],
        ),
        (
            "Observation",
            [("_id", "o1"), ("_include", "Observation:encounter"), ("_include", "Observation:encounter")],
            ["Encounter/e1"],
        ),
        (
            "QuestionnaireResponse",
            [("_include", "QuestionnaireResponse:questionnaire")],
            ["Questionnaire/q1"],
        ),
        ("Patient", [("_id", "p1"), ("_revinclude", "Observation:patient")], ["Observation/o1"]),
        (
            "Patient",
            [("_id", "p1"), ("_revinclude", "Observation:*")],
            ["Observation/o1"],
        ),
        (
            "Patient",
            [("_id", "p1"), ("_revinclude", "*")],
            ["DiagnosticReport/d1", "Encounter/e1", "List/l1", "Observation/o1"],
        ),
        (
            "Organization",
            [("_id", "top"), ("_revinclude:iterate", "Organization:partof")],
            ["Organization/leaf", "Organization/mid"],
        ),
        (
            "Patient",
            [
                ("_id", "p1"),
                ("_revinclude", "Encounter:patient"),
                ("_revinclude:iterate", "Observation:encounter"),
            ],
            ["Encounter/e1", "Observation/o1"],
        ),
    ],
)
def test_a_page_brings_along_what_is_asked_for_once(
    world: Session, type_: str, params: list[tuple[str, str]], expected: list[str]
) -> None:
    assert bring(world, type_, *params) == expected


def test_what_is_hidden_is_not_brought_along(world: Session) -> None:
    asked = [("_id", "o1"), ("_include", "Observation:*"), ("_revinclude", "DiagnosticReport:result")]
    assert bring(world, "Observation", *asked, reach=lambda _: Resource.compartment != "p1") == [
        "Practitioner/dr"
    ]


def test_a_circle_of_references_comes_to_an_end(session: Session) -> None:
    ring = [
        resource("Organization", f"r{n}", name=f"R{n}", partOf=to(f"Organization/r{(n + 1) % 5}"))
        for n in range(5)
    ]
    store.write(session, [Write("put", "Organization", r["id"], r) for r in ring], NOW, ZONE)
    both = [("_include:iterate", "Organization:partof"), ("_revinclude:iterate", "Organization:partof")]
    assert bring(session, "Organization", ("_id", "r0"), *both) == [
        f"Organization/r{n}" for n in (1, 2, 3, 4)
    ]


def test_what_is_brought_along_is_cut_with_a_remark(world: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(includes, "MOST_INCLUDED", 2)
    asked = [("_id", "o1"), ("_include", "Observation:*")]
    page = ask(world, "Observation", *asked)
    found, remarks, _ = includes.included(world, lambda _: sa.true(), page.query, page.matches)
    assert len(found) == 2
    assert [remark.code for remark in remarks] == ["too-costly"]


def test_what_takes_too_many_lookups_is_cut_at_the_same_place_always(
    world: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ask(world, "Patient", ("_id", "p1"), ("_revinclude:iterate", "*"), ("_include:iterate", "*"))
    whole, remarks, _ = includes.included(world, lambda _: sa.true(), page.query, page.matches)
    assert remarks == []
    monkeypatch.setattr(includes, "MOST_LOOKUPS", 60)
    cut = [includes.included(world, lambda _: sa.true(), page.query, page.matches) for _ in range(2)]
    assert cut[0][0] == cut[1][0] == whole[: len(cut[0][0])]
    assert len(cut[0][0]) < len(whole)
    assert [remark.code for remark in cut[0][1]] == ["too-costly"]


def test_what_takes_too_long_to_bring_is_cut_with_a_remark(world: Session) -> None:
    page = ask(world, "Observation", ("_id", "o1"), ("_include", "Observation:*"))
    ticks = itertools.chain([0.0, 1.0], itertools.repeat(includes.MOST_SECONDS + 1.0))
    found, remarks, _ = includes.included(
        world, lambda _: sa.true(), page.query, page.matches, clock=lambda: next(ticks)
    )
    assert len({type_ for type_, _, _ in found}) == 1
    assert [remark.code for remark in remarks] == ["too-costly"]


def test_everything_that_points_at_a_page_is_asked_for_once_per_type(world: Session) -> None:
    asked = []
    page = ask(world, "Patient", ("_id", "p1"), ("_revinclude", "*"))
    sa.event.listen(world.connection(), "before_cursor_execute", lambda *args: asked.append(args[2]))
    found, *_ = includes.included(world, lambda _: sa.true(), page.query, page.matches)
    assert "Observation/o1" in {f"{type_}/{id_}" for type_, id_, _ in found}
    assert len(asked) <= len(EVERY_TYPE)


def test_a_search_that_may_take_long_needs_a_transaction(engine: sa.Engine) -> None:
    with Session(engine.execution_options(isolation_level="AUTOCOMMIT")) as session:
        assert is_quick([("_revinclude", "Observation:subject")])
        assert not is_quick([("_revinclude", "*")])
        with pytest.raises(RuntimeError, match="transaction"), bounded(session, [("_revinclude", "*")]):
            pass


def test_a_long_row_of_references_is_cut_with_a_remark(session: Session) -> None:
    row = [
        resource("Organization", f"r{n}", name="R", partOf=to(f"Organization/r{n + 1}"))
        for n in range(includes.MOST_ROUNDS + 10)
    ]
    store.write(session, [Write("put", "Organization", r["id"], r) for r in row], NOW, ZONE)
    page = ask(session, "Organization", ("_id", "r0"), ("_include:iterate", "Organization:partof"))
    found, remarks, _ = includes.included(session, lambda _: sa.true(), page.query, page.matches)
    assert len(found) == includes.MOST_ROUNDS
    assert remarks


def test_a_search_that_takes_too_long_is_refused(world: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "MOST_SECONDS", 0.05)
    endless = sa.func.pg_sleep(60).cast(sa.Text) != ""
    how = Search(world, endless, ZONE, b"k", NOW, lambda _: endless)
    with pytest.raises(TooCostly, match="narrow it"), world.begin_nested():
        search(how, "Observation", [("patient.name", "张伟")])
    with pytest.raises(TooCostly), world.begin_nested():
        search(how, "Observation", [("_total", "accurate")])
    assert ids(world, "Observation", ("patient.name", "张伟")) == {"o1"}
