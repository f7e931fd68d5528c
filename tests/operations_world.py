"""What the tests of the operations share: Parameters, what came back, a record to ask about."""

from typing import Any

from werkzeug.test import TestResponse

from tests.hub_world import Caller, Json


def made(call: Caller, resource: Json) -> str:
    """Create a resource, under its own id where it has one, and return its id."""
    type_, id_ = resource["resourceType"], resource.get("id")
    answer = call("PUT", f"/{type_}/{id_}", resource) if id_ else call("POST", f"/{type_}", resource)
    assert answer.status_code == 201, answer.text
    return str(answer.get_json()["id"])


def parameters(*given: tuple[str, str, Any]) -> Json:
    """Return a Parameters resource of (name, kind of value, value): ("count", "valueInteger", 3)."""
    items = [{"name": name, kind: value} for name, kind, value in given]
    return {"resourceType": "Parameters", "parameter": items}


def entries(answer: TestResponse) -> list[Json]:
    """Return the entries of a Bundle."""
    assert answer.status_code == 200, answer.text
    return list(answer.get_json().get("entry", ()))


def shown(answer: TestResponse) -> list[str]:
    """Return what the entries of a Bundle are, as Type/id."""
    return [f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in entries(answer)]


def link(answer: TestResponse, relation: str = "next") -> str | None:
    """Return where a link of a Bundle leads, without the server's address."""
    links = {one["relation"]: one["url"] for one in answer.get_json()["link"]}
    return links[relation].partition("/fhir")[2] if relation in links else None


def text_of(answer: TestResponse) -> str:
    """Return what an OperationOutcome says first."""
    found = answer.get_json()
    assert found["resourceType"] == "OperationOutcome", found
    return str(found["issue"][0]["diagnostics"])
