"""A Hypothesis machine that writes to the API in every way there is, and the model it keeps beside it."""

import base64
import itertools
from typing import Any
from uuid import uuid4

import hypothesis.strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    multiple,
    rule,
)

from tests.hub_world import PATCH, Caller, Json, entry, ids, transaction

GENDERS = ("male", "female", "other", "unknown")
FAMILIES = ("Wang", "Wangfu", "Li", "欧阳", "欧")
BIRTHS = ("1950", "1950-06", "1950-06-15", "1990-01-01", "2010-12-31")
CODES = ("2823-3", "718-7")
genders, families = st.sampled_from(GENDERS), st.sampled_from(FAMILIES)
births = st.none() | st.sampled_from(BIRTHS)
runs = itertools.count(1)


def bare(resource: Json) -> Json:
    """Return a resource without what the server adds."""
    return {name: value for name, value in resource.items() if name not in ("meta", "id", "text")}


def following(page: Json) -> str:
    """Return the address of the page that follows, below the API's; empty if none does."""
    links = {link["relation"]: link["url"] for link in page["link"]}
    return str(links.get("next", "")).partition("/fhir")[2]


class Writes(RuleBasedStateMachine):
    """People and their observations, written in every way there is.

    versions: of each "Type/id" the contents in the order they were written, None for a deletion.
    """

    keys = Bundle("keys")
    call: Caller

    def __init__(self) -> None:
        super().__init__()
        self.versions: dict[str, list[Json | None]] = {}
        self.system = f"urn:machine:{next(runs)}"
        self.numbers = itertools.count(1)

    @initialize()
    def begin(self) -> None:
        """Begin with nothing of this run."""
        empty = self.call("GET", f"/Patient?identifier={self.system}|")
        assert ids(empty) == []
        self.began = self.call("GET", "/_history?_count=1").get_json()["meta"]["lastUpdated"]

    def person(self, gender: str, family: str, birth: str | None) -> Json:
        """Return a new person of this run."""
        number = next(self.numbers)
        made: Json = {
            "resourceType": "Patient",
            "identifier": [{"system": self.system, "value": f"n{number}"}],
            "gender": gender,
            "name": [{"family": family, "given": ["Test"]}],
        }
        return made | ({"birthDate": birth} if birth else {})

    def written(self, key: str, content: Json) -> None:
        """Note a version, unless it is what was there."""
        known = self.versions.setdefault(key, [])
        if not known or known[-1] != content:
            known.append(content)

    def present(self, type_: str) -> dict[str, Json]:
        """Return what is there of a type, by id."""
        return {
            key.partition("/")[2]: versions[-1]
            for key, versions in self.versions.items()
            if key.startswith(type_ + "/") and versions[-1] is not None
        }

    def etag(self, key: str) -> str:
        """Return the ETag of the present version."""
        return f'W/"{len(self.versions[key])}"'

    @rule(target=keys, gender=genders, family=families, birth=births)
    def create(self, gender: str, family: str, birth: str | None) -> str:
        """Create under an id of the server's."""
        body = self.person(gender, family, birth)
        answer = self.call("POST", "/Patient", body)
        assert (answer.status_code, answer.headers["ETag"]) == (201, 'W/"1"')
        key = f"Patient/{answer.get_json()['id']}"
        self.written(key, body)
        return key

    @rule(target=keys, gender=genders, family=families)
    def create_under_own_id(self, gender: str, family: str) -> str:
        """Create by an update."""
        body = self.person(gender, family, None)
        id_ = f"{self.system.replace(':', '-')}-{body['identifier'][0]['value']}"
        answer = self.call("PUT", f"/Patient/{id_}", body | {"id": id_})
        assert answer.status_code == 201
        self.written(f"Patient/{id_}", body)
        return f"Patient/{id_}"

    @rule(target=keys, key=keys, code=st.sampled_from(CODES))
    def observe(self, key: str, code: str) -> Any:
        """Create an observation of a person who is there."""
        if not key.startswith("Patient/") or self.versions[key][-1] is None:
            return multiple()
        body = {
            "resourceType": "Observation",
            "status": "final",
            "identifier": [{"system": self.system, "value": f"o{next(self.numbers)}"}],
            "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
            "subject": {"reference": key},
        }
        answer = self.call("POST", "/Observation", body)
        assert answer.status_code == 201
        made = f"Observation/{answer.get_json()['id']}"
        self.written(made, body)
        return made

    @rule(target=keys, gender=genders, family=families)
    def create_only_once(self, gender: str, family: str) -> str:
        """Create on the condition that it is not there, twice."""
        body = self.person(gender, family, None)
        criteria = f"identifier={self.system}|{body['identifier'][0]['value']}"
        first = self.call("POST", "/Patient", body, If_None_Exist=criteria)
        again = self.call("POST", "/Patient", body, If_None_Exist=criteria)
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.get_json()["id"] == again.get_json()["id"]
        key = f"Patient/{first.get_json()['id']}"
        self.written(key, body)
        return key

    @rule(key=keys, gender=genders, birth=births, way=st.sampled_from(("plain", "guarded", "conditional")))
    def update(self, key: str, gender: str, birth: str | None, way: str) -> None:
        """Write a new version; the same content again makes none."""
        known = self.versions[key]
        base = dict(next(content for content in reversed(known) if content is not None))
        if key.startswith("Patient/"):
            base.pop("birthDate", None)
            body = base | {"gender": gender} | ({"birthDate": birth} if birth else {})
        else:
            body = base | {"status": "amended"}
        if way == "conditional" and known[-1] is None:
            # It would be made anew, under another id.
            return
        path = self.criteria(key) if way == "conditional" else f"/{key}"
        sent = {"If_Match": self.etag(key)} if way == "guarded" else {}
        answer = self.call("PUT", path, body | {"id": key.partition("/")[2]}, **sent)
        if way == "guarded" and known[-1] is None:
            # Nothing is there that could have a version (RFC 9110 §13.1.1).
            assert answer.status_code == 412
            return
        # What was deleted comes back to life by an update (http.html#update).
        assert answer.status_code == (200 if known[-1] is not None else 201), answer.text
        self.written(key, body)
        assert answer.headers["ETag"] == self.etag(key)
        again = self.call("PUT", f"/{key}", body | {"id": key.partition("/")[2]})
        assert (again.status_code, again.headers["ETag"]) == (200, self.etag(key))

    @rule(key=keys, gender=genders)
    def update_behind_the_times(self, key: str, gender: str) -> None:
        """A version that is no longer the present one guards it."""
        if not key.startswith("Patient/") or len(self.versions[key]) < 2:
            return
        body = self.person(gender, "Late", None) | {"id": key.partition("/")[2]}
        assert self.call("PUT", f"/{key}", body, If_Match='W/"1"').status_code == 412
        assert self.call("DELETE", f"/{key}", If_Match='W/"1"').status_code == 412

    @rule(key=keys, language=st.sampled_from(("zh", "en")), by_condition=st.booleans())
    def patch(self, key: str, language: str, by_condition: bool) -> None:
        """Change one element; what is gone cannot be patched."""
        change = [{"op": "add", "path": "/language", "value": language}]
        path = self.criteria(key) if by_condition else f"/{key}"
        answer = self.call("PATCH", path, change, Content_Type=PATCH)
        present = self.versions[key][-1]
        if present is None:
            assert answer.status_code == (404 if by_condition else 410)
            return
        assert answer.status_code == 200
        self.written(key, present | {"language": language})

    @rule(key=keys)
    def patch_that_breaks(self, key: str) -> None:
        """A patch whose result is no valid resource changes nothing."""
        change = [{"op": "add", "path": "/nonsense", "value": 1}]
        assert self.call("PATCH", f"/{key}", change, Content_Type=PATCH).status_code in (400, 410, 422)

    @rule(key=keys, by_condition=st.booleans())
    def delete(self, key: str, by_condition: bool) -> None:
        """Delete; to delete again makes no version."""
        path = self.criteria(key) if by_condition else f"/{key}"
        assert self.call("DELETE", path).status_code == 204
        self.deleted(key)

    @rule(target=keys, key=keys, gender=genders, family=families)
    def write_together(self, key: str, gender: str, family: str) -> Any:
        """Create one and delete another in one transaction."""
        body = self.person(gender, family, None)
        answer = self.call(
            "POST", "/", transaction(entry(body, "POST", "Patient"), entry(None, "DELETE", key))
        )
        assert answer.status_code == 200, answer.text
        made = answer.get_json()["entry"][0]["response"]["location"].partition("/_history")[0]
        made = "/".join(made.split("/")[-2:])
        self.written(made, body)
        if self.versions[key][-1] is not None:
            self.versions[key].append(None)
        return made

    @rule(key=keys)
    def write_nothing(self, key: str) -> None:
        """A transaction with one bad entry leaves nothing of the others."""
        good = self.person("other", "Never", None)
        bad = {"resourceType": "Observation"}
        answer = self.call(
            "POST",
            "/",
            transaction(
                entry(good, "POST", "Patient"), entry(None, "DELETE", key), entry(bad, "POST", "Observation")
            ),
        )
        assert answer.status_code in (400, 422)

    @rule(target=keys, key=keys, gender=genders, family=families, code=st.sampled_from(CODES))
    def write_a_family(self, key: str, gender: str, family: str, code: str) -> Any:
        """Create a person and what points at them, and patch another, in one transaction, the last first."""
        body, urn = self.person(gender, family, "1990-01-01"), f"urn:uuid:{uuid4()}"
        seen = self.seen(urn, code)
        patch = base64.b64encode(b'[{"op":"add","path":"/implicitRules","value":"urn:r"}]').decode()
        binary = {"resourceType": "Binary", "contentType": PATCH, "data": patch}
        is_there = self.versions[key][-1] is not None
        more = [entry(binary, "PATCH", key)] if is_there else []
        made = transaction(
            entry(seen, "POST", "Observation"),
            *more,
            entry(body, "PUT", self.criteria_of("Patient", body).removeprefix("/"), urn),
        )
        answer = self.call("POST", "/", made)
        assert answer.status_code == 200, answer.text
        places = [one["response"]["location"] for one in answer.get_json()["entry"]]
        named = ["/".join(place.partition("/_history")[0].split("/")[-2:]) for place in places]
        self.written(named[-1], body)
        self.written(named[0], seen | {"subject": {"reference": named[-1]}})
        if is_there:
            assert named[1] == key
            self.written(key, self.versions[key][-1] | {"implicitRules": "urn:r"})  # type: ignore[operator]
        return multiple(named[0], named[-1])

    @rule(target=keys, key=keys, gender=genders, family=families)
    def write_apart(self, key: str, gender: str, family: str) -> str:
        """A batch does what it can: a bad entry keeps none of the others from being done."""
        good, bad = self.person(gender, family, None), {"resourceType": "Observation"}
        entries = (
            entry(bad, "POST", "Observation"),
            entry(good, "POST", "Patient"),
            entry(None, "DELETE", key),
        )
        done = self.call("POST", "/", transaction(*entries, kind="batch")).get_json()["entry"]
        assert [one["response"]["status"][:3] for one in done] == ["400", "201", "204"]
        self.deleted(key)
        made = "/".join(done[1]["response"]["location"].partition("/_history")[0].split("/")[-2:])
        self.written(made, good)
        return made

    def deleted(self, key: str) -> None:
        """Note a deletion, unless it is gone already."""
        if self.versions[key][-1] is not None:
            self.versions[key].append(None)

    def gone(self) -> set[str]:
        """Return the addresses of what was deleted."""
        return {key for key, versions in self.versions.items() if versions[-1] is None}

    def seen(self, whose: str, code: str) -> Json:
        """Return a new observation of somebody."""
        return {
            "resourceType": "Observation",
            "status": "final",
            "identifier": [{"system": self.system, "value": f"o{next(self.numbers)}"}],
            "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
            "subject": {"reference": whose},
        }

    def criteria(self, key: str) -> str:
        """Return the condition that only this one meets, as long as it is there."""
        content = next(content for content in reversed(self.versions[key]) if content is not None)
        return self.criteria_of(key.partition("/")[0], content)

    def criteria_of(self, type_: str, content: Json) -> str:
        """Return the condition that a resource meets by its number."""
        return f"/{type_}?identifier={self.system}|{content['identifier'][0]['value']}"
