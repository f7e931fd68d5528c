"""The CapabilityStatement and the OpenAPI document say what is there: no less and no more."""

import re
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from werkzeug.exceptions import MethodNotAllowed, NotFound

from esb.fhir.search_parameters import PARAMETERS, Parameter
from esb.fhir.validation import is_valid
from hie.api import asking, routes
from hie.repository.conditions import modifiers_of
from hie.repository.controls import CONTROLS
from hie.repository.definitions import indexed_parameters
from hie.repository.wanted import Query, Target
from hie.security.access import access_of
from hie.services.subscriptions.topics import TOPICS
from hie.terminology.feeding import feed
from tests.hub_world import JSON, Caller, application, is_outcome

STRICT = {"Prefer": "handling=strict"}
VALUES = {
    "token": "a|b",
    "string": "wang",
    "reference": "Patient/a",
    "date": "2026-03",
    "uri": "http://a.example/b",
    "number": "0.8",
    "quantity": "5.4|http://unitsofmeasure.org|mg",
    "special": "31.2|121.5|10|km",
}
ASKED_OF_MODIFIERS = {
    "missing": "true",
    "[type]": "Patient/a",
    "identifier": "urn:a|b",
    "of-type": "a|b|c",
    "in": "http://a.example/vs",
    "not-in": "http://a.example/vs",
}
# Types whose every parameter is asked for; the code is the same for all.
TYPES = ("Patient", "Observation", "Encounter", "MedicationRequest", "ValueSet", "Location", "Task", "Person")
NEVER_ANSWERED = ("recurse", "exactly", "Exact", "not-missing", "identifier:x", "[type]")


@pytest.fixture(scope="module")
def app(module_database_url: str) -> Iterator[Flask]:
    """The application."""
    with application(module_database_url) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def codes(module_database_url: str) -> None:
    """A code system and a value set that :in can ask for."""
    system = {"url": "http://a.example/cs", "content": "complete", "concept": [{"code": "b"}]}
    compose = {"include": [{"system": system["url"]}]}
    value_set = {"url": "http://a.example/vs", "compose": compose}
    engine = create_engine(module_database_url, hide_parameters=True)
    with Session(engine) as session, session.begin():
        for type_, content in (("CodeSystem", system), ("ValueSet", value_set)):
            feed(session, type_, "a", {"resourceType": type_, "status": "active"} | content, None)
    engine.dispose()


@pytest.fixture(scope="module")
def call(app: Flask) -> Caller:
    """A client that may do everything."""
    return Caller(app)


@pytest.fixture(scope="module")
def statement(call: Caller) -> dict[str, Any]:
    """The CapabilityStatement."""
    return call("GET", "/metadata").get_json()


@pytest.fixture(scope="module")
def document(call: Caller) -> dict[str, Any]:
    """The OpenAPI document."""
    return call("GET", "/openapi.json").get_json()


@pytest.fixture(scope="module")
def known(call: Caller) -> str:
    """The id of a resource that is there as a Basic."""
    return str(call("POST", "/Basic", {"resourceType": "Basic", "code": {"text": "x"}}).get_json()["id"])


def described(statement: dict[str, Any], type_: str) -> dict[str, Any]:
    return next(one for one in statement["rest"][0]["resource"] if one["type"] == type_)


def test_the_guides_whose_operations_are_answered_are_stated(statement: dict[str, Any]) -> None:
    asked = {
        "bulk-data": ("Group", {"export"}),
        "backport-subscription-server-r4": ("Subscription", {"status", "events"}),
    }
    assert {url.rpartition("/")[2] for url in statement["instantiates"]} == asked.keys()
    for type_, names in asked.values():
        assert {one["name"] for one in described(statement, type_)["operation"]} >= names


def test_the_topics_that_can_be_subscribed_to_are_stated(statement: dict[str, Any]) -> None:
    said = described(statement, "Subscription")
    assert {one["url"].rpartition("/")[2] for one in said["extension"]} == {
        "capabilitystatement-subscriptiontopic-canonical"
    }
    assert [one["valueCanonical"] for one in said["extension"]] == list(TOPICS)
    assert said["supportedProfile"][0].endswith("/backport-subscription")


def test_the_statement_is_valid_and_names_every_type_once(statement: dict[str, Any]) -> None:
    assert is_valid(statement)
    named = [one["type"] for one in statement["rest"][0]["resource"]]
    assert sorted(named) == sorted(PARAMETERS)


def test_the_statement_can_be_read_without_a_token_and_says_where_to_get_one(app: Flask) -> None:
    answer = app.test_client().get("/fhir/metadata")
    assert answer.status_code == 200
    security = answer.get_json()["rest"][0]["security"]
    token = security["extension"][0]["extension"][0]["valueUri"]
    assert token == app.test_client().get("/.well-known/smart-configuration").get_json()["token_endpoint"]


# interaction: (method, address below the type, body)
TRIED: dict[str, tuple[str, str, Any]] = {
    "read": ("GET", "/{id}", None),
    "vread": ("GET", "/{id}/_history/1", None),
    "history-instance": ("GET", "/{id}/_history", None),
    "history-type": ("GET", "/_history", None),
    "search-type": ("GET", "", None),
    "create": ("POST", "", {}),
    "update": ("PUT", "/{id}", {}),
    "patch": ("PATCH", "/{id}", []),
    "delete": ("DELETE", "/{id}", None),
}


@pytest.mark.parametrize("type_", ["Basic", "Person", "AuditEvent"])
@pytest.mark.parametrize("interaction", TRIED)
def test_an_interaction_is_answered_where_it_is_stated_and_refused_where_not(
    call: Caller, statement: dict[str, Any], known: str, type_: str, interaction: str
) -> None:
    method, path, body = TRIED[interaction]
    is_stated = interaction in {one["code"] for one in described(statement, type_)["interaction"]}
    sent = {"Content_Type": "application/json-patch+json"} if method == "PATCH" else {}
    id_ = known if method != "DELETE" else "never-there"
    answer = call(method, f"/{type_}{path.format(id=id_)}", body, **sent)
    if is_stated:
        assert answer.status_code in (200, 204, 400, 404), answer.text
        assert type_ != "Basic" or answer.status_code != 404
    else:
        assert answer.status_code in (404, 405)
        assert is_outcome(answer)


@pytest.mark.parametrize("code", ["transaction", "batch", "search-system", "history-system"])
def test_an_interaction_of_the_whole_server_is_answered_where_it_is_stated(
    call: Caller, statement: dict[str, Any], code: str
) -> None:
    if code in ("transaction", "batch"):
        answer = call("POST", "/", {"resourceType": "Bundle", "type": code, "entry": []})
    else:
        answer = call("GET", "/_history" if code == "history-system" else "/?_type=Basic")
    is_stated = code in {one["code"] for one in statement["rest"][0]["interaction"]}
    assert (answer.status_code == 200) == is_stated, answer.text


def test_an_operation_is_a_route_and_a_route_with_a_dollar_is_an_operation(
    app: Flask, statement: dict[str, Any]
) -> None:
    rest = statement["rest"][0]
    stated: set[tuple[str | None, str]] = {(None, one["name"]) for one in rest.get("operation", ())}
    stated |= {(one["type"], op["name"]) for one in rest["resource"] for op in one.get("operation", ())}
    served: set[tuple[str | None, str]] = set()
    for route in routes.routes_of(app):
        name = route.steps[-1] if route.steps else ""
        if name.startswith("$"):
            # What the hub makes answers its own routes alone.
            kept = PARAMETERS.keys() - asking.MADE_BY_THE_HUB - asking.NEVER_KEPT
            types = kept if route.is_of_any_type else [route.type]
            served |= {(type_, name[1:]) for type_ in types}
    assert stated == served | {("Parameters", "validate")}
    assert ("Patient", "everything") in stated


def value_for(parameter: Parameter) -> str:
    """Return a value that a parameter takes."""
    return "$".join(VALUES[part.kind] for part in parameter.components) or VALUES[parameter.kind]


def test_what_is_never_kept_is_stated_as_what_can_be_checked_alone(
    call: Caller, statement: dict[str, Any]
) -> None:
    stated = described(statement, "Parameters")
    assert [one["name"] for one in stated["operation"]] == ["validate"]
    assert not {"interaction", "searchParam", "searchInclude"} & stated.keys()
    inner = {"name": "resource", "resource": {"resourceType": "Parameters"}}
    body = {"resourceType": "Parameters", "parameter": [inner]}
    assert call("POST", "/Parameters/$validate", body).status_code == 200
    for path in ("/Parameters/$meta", "/Parameters/x/$meta", "/Parameters/x/$validate"):
        assert call("GET", path).status_code in (400, 404), path


def test_each_parameter_of_a_search_over_several_types_is_answered(
    call: Caller, statement: dict[str, Any]
) -> None:
    special = {
        "_type": "_type=Basic,Flag",
        "_list": "_list=x",
        "_has": "_has:Provenance:target:_id=a",
        "_id": "_id=a",
    }
    stated = statement["rest"][0]["searchParam"]
    assert {"_type", "_list", "_has", "_id", "_lastUpdated", "_tag"} <= {one["name"] for one in stated}
    for one in stated:
        name = one["name"]
        asked = special.get(name) or f"{name}={value_for(PARAMETERS['Basic'][name])}"
        more = "" if name == "_type" else "&_type=Basic,Flag"
        answer = call("GET", f"/?{asked}{more}", **STRICT)
        assert answer.status_code == 200, (name, answer.text)


def test_the_software_is_stated_with_its_version(statement: dict[str, Any]) -> None:
    assert statement["software"] == {"name": "hie", "version": version("hie")}


@pytest.mark.parametrize("type_", TYPES)
def test_each_stated_search_parameter_is_answered_with_each_of_its_modifiers(
    call: Caller, statement: dict[str, Any], type_: str
) -> None:
    wrong = []
    for one in described(statement, type_)["searchParam"]:
        modifiers = re.findall(r":(\S+)", one.get("documentation", "").partition("Modifiers: ")[2])
        for modifier in ("", *modifiers):
            value = ASKED_OF_MODIFIERS.get(modifier) or value_for(PARAMETERS[type_][one["name"]])
            value = "a" if one["name"] == "_id" and modifier in ("", "not") else value
            shown = "Patient" if modifier == "[type]" else modifier
            name = f"{one['name']}:{shown}" if modifier else one["name"]
            answer = call("GET", f"/{type_}?{name}={value}", **STRICT)
            if answer.status_code != 200:
                wrong.append((name, answer.status_code, answer.get_json()["issue"]))
    assert wrong == []


def test_each_stated_include_is_understood(statement: dict[str, Any]) -> None:
    stated = 0
    for name, key in (("_include", "searchInclude"), ("_revinclude", "searchRevInclude")):
        for one in statement["rest"][0]["resource"]:
            for value in one.get(key, ()):
                CONTROLS[name](Query(Target(one["type"], (one["type"],))), "", value)
                stated += 1
    assert stated > 10_000
    assert {"*", "Observation:patient", "Provenance:target"} <= set(
        described(statement, "Patient")["searchRevInclude"]
    )
    assert "Observation:patient" not in described(statement, "Organization")["searchRevInclude"]
    assert "searchRevInclude" not in described(statement, "AuditEvent")


@pytest.mark.parametrize("type_", ["Patient", "Observation"])
def test_a_modifier_that_is_not_stated_is_refused(call: Caller, type_: str) -> None:
    taken = []
    for code, parameter in indexed_parameters(type_).items():
        stated = modifiers_of(parameter)
        for modifier in {"missing", "not", "exact", "identifier", *NEVER_ANSWERED} - set(stated):
            value = ASKED_OF_MODIFIERS.get(modifier) or value_for(parameter)
            if call("GET", f"/{type_}?{code}:{modifier}={value}", **STRICT).status_code == 200:
                taken.append(f"{code}:{modifier}")
    assert taken == []


def test_conditional_flags_are_true(call: Caller, statement: dict[str, Any]) -> None:
    basic = described(statement, "Basic")
    body = {"resourceType": "Basic", "code": {"text": "x"}, "identifier": [{"system": "urn:c", "value": "1"}]}
    query = "identifier=urn:c|1"
    made = call("POST", "/Basic", body, If_None_Exist=query)
    again = call("POST", "/Basic", body, If_None_Exist=query)
    assert (made.status_code, again.status_code) == (201, 200)
    assert basic["conditionalCreate"] is True
    updated = call("PUT", f"/Basic?{query}", body | {"language": "zh"})
    assert (updated.status_code == 200) == basic["conditionalUpdate"]
    etag = updated.headers["ETag"]
    path = f"/Basic/{made.get_json()['id']}"
    assert call("GET", path, If_None_Match=etag).status_code == 304
    assert call("GET", path, If_Modified_Since=updated.headers["Last-Modified"]).status_code == 304
    assert basic["conditionalRead"] == "full-support"
    call("POST", "/Basic", body)
    assert call("DELETE", f"/Basic?{query}").status_code == 412
    assert call("DELETE", f"/Basic?{query}&_count=2").status_code in (200, 204)
    assert call("GET", path).status_code == 410
    assert basic["conditionalDelete"] == "multiple"
    assert call("PUT", "/Basic/own-id", body | {"id": "own-id"}).status_code == 201
    assert basic["updateCreate"] is True


def test_each_stated_form_of_a_patch_is_taken(call: Caller, statement: dict[str, Any], known: str) -> None:
    part = [{"name": "type", "valueCode": "replace"}, {"name": "path", "valueString": "Basic.language"}]
    part += [{"name": "value", "valueCode": "zh"}]
    bodies = {
        "application/json-patch+json": [{"op": "add", "path": "/language", "value": "en"}],
        JSON: {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": part}]},
    }
    assert set(statement["patchFormat"]) == set(bodies)
    for media, body in bodies.items():
        answer = call("PATCH", f"/Basic/{known}", body, Content_Type=media)
        assert answer.status_code == 200, (media, answer.text)


def doors(app: Flask) -> set[tuple[str, str]]:
    """Return (method, address) of each route that machines call, as the document would name it."""
    found = set()
    for rule in app.url_map.iter_rules():
        mark = access_of(app.view_functions[rule.endpoint])
        if mark and mark.operation != "operation" and not rule.endpoint.startswith("portal."):
            path = re.sub(r"<(?:[^:>]+:)?([^>]+?)_?>", r"{\1}", rule.rule)
            found |= {(method.lower(), path) for method in rule.methods or () if method in routes.METHODS}
    return found


def test_every_route_is_in_the_document_and_nothing_else(app: Flask, document: dict[str, Any]) -> None:
    stated = {(method, path) for path, item in document["paths"].items() for method in item}
    generic = set()
    for method, path in stated:
        steps = path.split("/")
        is_expanded = len(steps) > 2 and steps[2] in PARAMETERS and (method, path) not in doors(app)
        generic.add((method, "/".join([*steps[:2], "{type}", *steps[3:]]) if is_expanded else path))
    assert generic == doors(app)


def test_each_address_of_the_document_is_answered(
    app: Flask, call: Caller, document: dict[str, Any], known: str
) -> None:
    adapter = app.url_map.bind("")
    unanswered = []
    for path, item in document["paths"].items():
        given = path.format(type="Basic", id=known, version="1", name="0" * 64, number="1", inner="Basic")
        for method in item:
            try:
                adapter.match(given, method.upper())
            except (NotFound, MethodNotAllowed):
                unanswered.append((method, path))
    assert unanswered == []
    for path, item in document["paths"].items():
        if not path.startswith("/fhir") or re.search(r"/fhir/(?!Basic|Patient)[A-Z]", path):
            continue
        for method in item:
            given = path.format(type="Basic", id="never-there", version="1", number="1", inner="Basic")
            answer = call(method.upper(), given.removeprefix("/fhir"), {} if method != "get" else None)
            assert answer.status_code < 500, (method, path, answer.text)
            assert answer.status_code != 405, (method, path)
            assert answer.status_code < 400 or is_outcome(answer), (method, path)


def test_the_document_names_each_search_parameter_of_the_statement(
    statement: dict[str, Any], document: dict[str, Any]
) -> None:
    shared = document["components"]["parameters"]
    for one in statement["rest"][0]["resource"]:
        if one["type"] in asking.MADE_BY_THE_HUB:
            continue
        references = document["paths"][f"/fhir/{one['type']}"]["get"]["parameters"]
        names = {shared[reference["$ref"].rpartition("/")[2]]["name"] for reference in references}
        assert {p["name"] for p in one.get("searchParam", ())} <= names


def test_what_the_document_refers_to_is_in_it_and_no_operation_is_named_twice(
    document: dict[str, Any],
) -> None:
    def references(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    for reference in set(references(document)):
        node: Any = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
    named = [op["operationId"] for item in document["paths"].values() for op in item.values()]
    assert len(named) == len(set(named))


def test_the_document_can_be_read_without_a_token(app: Flask) -> None:
    answer = app.test_client().get("/fhir/openapi.json")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.get_json()["openapi"].startswith("3.")
