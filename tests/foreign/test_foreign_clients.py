"""Clients that others wrote work against a really running hub: token, create, read, search, pages, delete."""

import asyncio
import json
import subprocess
from typing import Any

import pytest
import requests
from fhirclient.auth import FHIROAuth2Auth
from fhirclient.client import FHIRClient
from fhirclient.models.bundle import Bundle
from fhirclient.models.observation import Observation
from fhirclient.models.patient import Patient
from fhirclient.server import FHIRNotFoundException, FHIRUnauthorizedException
from fhirpy import AsyncFHIRClient, SyncFHIRClient
from fhirpy.base.exceptions import (
    AuthorizationError,
    MultipleResourcesFound,
    OperationOutcome,
    ResourceNotFound,
)

from tests.foreign.conftest import HERE, Hub
from tests.hub_world import REGION, SECRET, Json

SIZE = 7


def person_of(system: str, number: int) -> Json:
    """Return one of several people."""
    return {
        "resourceType": "Patient",
        "identifier": [{"system": system, "value": str(number)}],
        "name": [{"family": "Foreign", "given": [f"Number{number}"]}],
        "gender": "female" if number % 2 else "male",
        "birthDate": f"196{number % 10}-05-04",
    }


def transaction(system: str) -> Json:
    """Return a transaction that creates a person and an observation that refers to it."""
    urn = "urn:uuid:7c2f2f5e-7a37-4e0c-8a3d-2f6d4a3c9b11"
    observed = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "718-7"}]},
        "subject": {"reference": urn},
        "valueQuantity": {"value": 13.50, "unit": "g/dL"},
    }
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"resource": observed, "request": {"method": "POST", "url": "Observation"}},
            {
                "fullUrl": urn,
                "resource": person_of(system, 99),
                "request": {"method": "POST", "url": "Patient"},
            },
        ],
    }


def asked_by(node: str, script: str, given: Json) -> Json:
    """Return what a script of this folder tells."""
    done = subprocess.run(
        [node, str(HERE / script)], input=json.dumps(given), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told: Json = json.loads(done.stdout)
    return told


def test_fhirpy_creates_reads_searches_pages_and_deletes(hub: Hub) -> None:
    system = "urn:foreign:fhirpy"
    client = SyncFHIRClient(hub.fhir, authorization=f"Bearer {hub.token()}")
    made = [client.resource("Patient", **person_of(system, n)) for n in range(SIZE)]
    for one in made:
        one.save()
    first = made[0]
    assert client.reference("Patient", first.id).to_resource()["birthDate"] == "1960-05-04"
    wanted = client.resources("Patient").search(identifier=f"{system}|").limit(3)
    assert len(wanted.fetch()) == 3
    assert {one.id for one in wanted.fetch_all()} == {one.id for one in made}
    assert wanted.count() == SIZE
    women = client.resources("Patient").search(identifier=f"{system}|", gender="female").fetch_all()
    assert {one.id for one in women} == {one.id for one in made[1::2]}
    late = client.resources("Patient").search(identifier=f"{system}|", birthdate__ge="1964").fetch_all()
    assert len(late) == 3
    first["gender"] = "other"
    first.save()
    first.refresh()
    assert first["meta"]["versionId"] == "2"
    answer = client.execute("", method="post", data=transaction(system))
    assert [entry.response.status[:3] for entry in answer.entry] == ["201", "201"]
    observed = (
        client.resources("Observation")
        .search(subject__Patient__identifier=f"{system}|99")
        .include("Observation", "subject")
        .fetch_raw()
    )
    assert {entry.resource.resourceType for entry in observed.entry} == {"Observation", "Patient"}
    everything = first.execute("$everything", method="get")
    assert everything["resourceType"] == "Bundle"
    first.delete()
    with pytest.raises(ResourceNotFound):
        client.reference("Patient", first.id).to_resource()
    with pytest.raises(OperationOutcome):
        client.resource("Patient", gender="nonsense").save()


def test_fhirpy_writes_by_condition_and_follows_references_both_ways(hub: Hub) -> None:
    system = "urn:foreign:fhirpy:more"
    client = SyncFHIRClient(hub.fhir, authorization=f"Bearer {hub.token()}")
    patients = client.resources("Patient").search(identifier=f"{system}|99")
    answer = client.execute("", method="post", data=transaction(system))
    place = answer.entry[0].response.location.partition("/_history")[0]
    observed = client.reference("Observation", place.rpartition("/")[2]).to_resource()
    person = observed["subject"].to_resource()
    assert person.id == patients.get().id
    assert person.to_reference().reference == f"Patient/{person.id}"
    changed, is_new = patients.update(client.resource("Patient", **person.serialize() | {"active": True}))
    assert (changed.id, changed["active"], is_new) == (person.id, True, False)
    third = client.resources("Patient").search(identifier=f"{system}|100")
    made, is_new = third.update(client.resource("Patient", **person_of(system, 100)))
    assert (is_new, third.get().id, third.count()) == (True, made.id, 1)
    everyone = client.resources("Patient").search(identifier=f"{system}|")
    with pytest.raises(MultipleResourcesFound):
        everyone.get()
    assert [one.id for one in everyone.sort("-birthdate").elements("id").fetch_all()] == [person.id, made.id]
    with_result = everyone.has("Observation", "patient", code="718-7").fetch_all()
    assert [one.id for one in with_result] == [person.id]
    along = patients.revinclude("Observation", "subject").fetch_raw()
    assert {entry.resource.resourceType for entry in along.entry} == {"Patient", "Observation"}
    observations = client.resources("Observation").search(patient__Patient__identifier=f"{system}|99")
    assert observations.search(value_quantity__gt="13.4").count() == 1
    assert observations.search(value_quantity__lt="13.4").count() == 0
    assert observations.search(status__not="final").count() == 0
    assert client.resources("Patient").search(_id=person.id, birthdate__missing="true").count() == 0
    assert observations.delete()[1] in (200, 204)
    assert observations.count() == 0
    # What R4 has no word for is refused in words, not done otherwise than meant.
    for refused in (lambda: person.patch(active=False), lambda: third.get_or_create(made)):
        with pytest.raises(OperationOutcome):
            refused()
    with pytest.raises(AuthorizationError):
        SyncFHIRClient(hub.fhir, authorization="Bearer nonsense").resources("Patient").fetch()


def test_fhirpy_works_asynchronously(hub: Hub) -> None:
    system = "urn:foreign:fhirpy:async"

    async def work() -> tuple[int, int]:
        client = AsyncFHIRClient(hub.fhir, authorization=f"Bearer {hub.token()}")
        made = [client.resource("Patient", **person_of(system, n)) for n in range(SIZE)]
        await asyncio.gather(*(one.save() for one in made))
        found = client.resources("Patient").search(identifier=f"{system}|").limit(2)
        return len(await found.fetch_all()), len({one.id for one in made})

    assert asyncio.run(work()) == (SIZE, SIZE)


def test_fhirclient_authorizes_creates_reads_searches_pages_and_deletes(hub: Hub) -> None:
    system = "urn:foreign:fhirclient"
    settings = {"app_id": REGION, "app_secret": SECRET, "api_base": hub.fhir, "scope": "system/*.cruds"}
    client = FHIRClient(settings)
    server = client.server
    security = server.capabilityStatement.rest[0].security
    token_uri = security.extension[0].extension[0].valueUri
    state = {"app_id": REGION, "app_secret": SECRET, "token_uri": token_uri}
    server.auth = FHIROAuth2Auth(state=state)
    server.auth.authorize(server)
    made = [Patient(person_of(system, n)).create(server) for n in range(SIZE)]
    read = Patient.read(made[0]["id"], server)
    assert (read.name[0].family, read.birthDate.as_json()) == ("Foreign", "1960-05-04")
    search = Patient.where({"identifier": f"{system}|", "_count": "3"})
    found = list(search.perform_resources_iter(server))
    assert {one.id for one in found} == {one["id"] for one in made}
    read.gender = "other"
    assert read.update(server)["meta"]["versionId"] == "2"
    answer = server.post_json("", Bundle(transaction(system)).as_json()).json()
    assert Bundle(answer).type == "transaction-response"
    # Every resource of the answer fits the client's own model of R4.
    everything = server.request_json(f"Patient/{read.id}/$everything")
    assert Bundle(everything).entry[0].resource.id == read.id
    place = answer["entry"][0]["response"]["location"].partition("/_history")[0]
    observed = Observation.read(place.rpartition("/")[2], server)
    assert observed.subject.resolved(Patient).identifier[0].value == "99"
    along = Observation.where({"patient.identifier": f"{system}|99"}).include("subject").perform_iter(server)
    assert [type(entry.resource) for entry in next(along).entry] == [Observation, Patient]
    past = Bundle(server.request_json(f"Patient/{read.id}/_history"))
    assert [entry.resource.gender for entry in past.entry] == ["other", "male"]
    assert server.request_json(f"Patient/{read.id}/_history/1")["gender"] == "male"
    wrong = person_of(system, 1) | {"gender": "nonsense"}
    with pytest.raises(requests.HTTPError) as refused:
        server.post_json("Patient", wrong)
    assert refused.value.response.json()["issue"][0]["expression"] == ["Patient.gender"]
    read.delete(server)
    with pytest.raises((FHIRNotFoundException, requests.HTTPError)):
        Patient.read(read.id, server)
    with pytest.raises(FHIRUnauthorizedException):
        Patient.read(read.id, FHIRClient(settings).server)


def test_fhir_kit_client_authorizes_creates_reads_searches_pages_and_deletes(hub: Hub, node: str) -> None:
    system = "urn:foreign:fhir-kit-client"
    given: dict[str, Any] = {
        "baseUrl": hub.fhir,
        "clientId": REGION,
        "clientSecret": SECRET,
        "people": [person_of(system, n) for n in range(SIZE)],
        "transaction": transaction(system),
        "system": system,
    }
    told = asked_by(node, "kit.mjs", given)
    assert told == {
        "tokenUrl": hub.token_url,
        "created": SIZE,
        "read": "1960-05-04",
        "pages": [3, 3, 1],
        "found": SIZE,
        "women": SIZE // 2,
        "version": "2",
        "patched": "zh",
        "versions": 3,
        "transaction": ["201", "201"],
        "chained": 1,
        "everything": "Bundle",
        "vread": "male",
        "typeHistory": True,
        "systemHistory": "history",
        "several": 1,
        "resolved": "99",
        "compartment": True,
        "contained": "O",
        "batch": ["200", "200", "200", "404"],
        "judged": "error",
        "can": [True, True],
        "once": True,
        "byCondition": "2",
        "gone": 410,
        "stale": 412,
        "strict": 400,
        "refused": 400,
    }


def test_medplum_client_writes_by_condition_and_gathers_what_it_reads_into_batches(
    hub: Hub, node: str
) -> None:
    system = "urn:foreign:medplum"
    told = asked_by(
        node,
        "medplum.mjs",
        {
            "root": hub.root,
            "tokenUrl": hub.token_url,
            "clientId": REGION,
            "clientSecret": SECRET,
            "person": person_of(system, 1),
            "system": system,
        },
    )
    assert told == {
        "once": True,
        "upserted": "2",
        "patched": False,
        "versions": 3,
        "first": None,
        "found": True,
        "everything": 1,
        "summary": "document",
        "judged": "information",
        "gathered": ["Patient", "searchset", "history"],
        "gone": "deleted",
    }
