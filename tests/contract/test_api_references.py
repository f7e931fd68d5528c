"""References by condition, `Patient?identifier=...`: followed in transactions and batches, else refused."""

import json

import pytest

from tests.hub_world import Caller, Json, created, entry, observation, patient, transaction


def place(done: Json) -> str:
    return "/" + str(done["response"]["location"].partition("/_history")[0])


@pytest.mark.parametrize("base", ["", "http://127.0.0.1:18080/fhir/"])
def test_a_conditional_reference_alone_is_refused_and_in_a_batch_followed(call: Caller, base: str) -> None:
    made = created(call, patient("t9-alone" + base[:4]))["id"]
    note = json.loads(observation(f"{base}Patient?identifier=t9-alone{base[:4]}"))
    kept = created(call, json.loads(observation(f"Patient/{made}")))["id"]
    for method, path in (
        ("POST", "/Observation"),
        ("PUT", f"/Observation/{kept}"),
        ("PUT", "/Observation?_id=no"),
    ):
        refused = call(method, path, json.dumps(note | ({"id": kept} if kept in path else {})).encode())
        assert refused.status_code == 422, refused.text
        assert refused.get_json()["issue"][0]["expression"] == ["Observation.subject"]
    (done,) = call("POST", "/", transaction(entry(note, "POST", "Observation"), kind="batch")).get_json()[
        "entry"
    ]
    if base:
        assert done["response"]["status"].startswith("422")
    else:
        assert call("GET", place(done)).get_json()["subject"]["reference"] == f"Patient/{made}"
