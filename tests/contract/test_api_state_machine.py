"""Whatever is written in whatever order: reads, histories and searches tell of the same resources.

A Hypothesis machine writes to the API over a real PostgreSQL and keeps a model beside it, a list of versions
per id; every answer must be the model's.
"""

import itertools
from typing import Any

import hypothesis.strategies as st
from flask import Flask
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
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


class Repository(RuleBasedStateMachine):
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
        assert ids(self.call("GET", f"/Patient?identifier={self.system}|")) == []

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

    @rule(key=keys, gender=genders, guarded=st.booleans())
    def update(self, key: str, gender: str, guarded: bool) -> None:
        """Write a new version; the same content again makes none."""
        known = self.versions[key]
        base = next(content for content in reversed(known) if content is not None)
        body = base | ({"gender": gender} if key.startswith("Patient/") else {"status": "amended"})
        sent = {"If_Match": self.etag(key)} if guarded else {}
        answer = self.call("PUT", f"/{key}", body | {"id": key.partition("/")[2]}, **sent)
        # What was deleted comes back to life by an update (http.html#update).
        assert answer.status_code in ((200,) if known[-1] is not None else (200, 201)), answer.text
        self.written(key, body)
        assert answer.headers["ETag"] == self.etag(key)

    @rule(key=keys, gender=genders)
    def update_behind_the_times(self, key: str, gender: str) -> None:
        """A version that is no longer the present one guards it."""
        if not key.startswith("Patient/") or len(self.versions[key]) < 2:
            return
        body = self.person(gender, "Late", None) | {"id": key.partition("/")[2]}
        assert self.call("PUT", f"/{key}", body, If_Match='W/"1"').status_code == 412
        assert self.call("DELETE", f"/{key}", If_Match='W/"1"').status_code == 412

    @rule(key=keys, language=st.sampled_from(("zh", "en")))
    def patch(self, key: str, language: str) -> None:
        """Change one element; what is gone cannot be patched."""
        change = [{"op": "add", "path": "/language", "value": language}]
        answer = self.call("PATCH", f"/{key}", change, Content_Type=PATCH)
        present = self.versions[key][-1]
        if present is None:
            assert answer.status_code == 410
            return
        assert answer.status_code == 200
        self.written(key, present | {"language": language})

    @rule(key=keys)
    def patch_that_breaks(self, key: str) -> None:
        """A patch whose result is no valid resource changes nothing."""
        change = [{"op": "add", "path": "/nonsense", "value": 1}]
        assert self.call("PATCH", f"/{key}", change, Content_Type=PATCH).status_code in (400, 410, 422)

    @rule(key=consumes(keys), target=keys)
    def delete(self, key: str) -> str:
        """Delete; to delete again makes no version."""
        assert self.call("DELETE", f"/{key}").status_code == 204
        if self.versions[key][-1] is not None:
            self.versions[key].append(None)
        return key

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

    @rule(key=keys)
    def read(self, key: str) -> None:
        """The present version and each past one are as they were written."""
        versions = self.versions[key]
        answer = self.call("GET", f"/{key}")
        if versions[-1] is None:
            assert answer.status_code == 410
        else:
            assert bare(answer.get_json()) == versions[-1]
            assert answer.headers["ETag"] == self.etag(key)
        for number, content in enumerate(versions, 1):
            past = self.call("GET", f"/{key}/_history/{number}")
            assert past.status_code == (410 if content is None else 200)
            assert content is None or bare(past.get_json()) == content
        assert self.call("GET", f"/{key}/_history/{len(versions) + 1}").status_code == 404

    @rule(key=keys)
    def history(self, key: str) -> None:
        """The history holds every version, the newest first."""
        bundle = self.call("GET", f"/{key}/_history").get_json()
        told = [bare(one["resource"]) if "resource" in one else None for one in bundle["entry"]]
        assert told == self.versions[key][::-1]
        assert bundle["total"] == len(told)

    @rule(gender=genders, negated=st.booleans())
    def search_by_gender(self, gender: str, negated: bool) -> None:
        """A token, and its negation."""
        found = self.found("Patient", f"gender{':not' if negated else ''}={gender}")
        assert found == {i for i, c in self.present("Patient").items() if (c["gender"] == gender) != negated}

    @rule(family=families, exact=st.booleans())
    def search_by_family(self, family: str, exact: bool) -> None:
        """A string by its beginning, or exactly."""
        found = self.found("Patient", f"family{':exact' if exact else ''}={family}")
        names = {i: str(c["name"][0]["family"]) for i, c in self.present("Patient").items()}
        assert found == {i for i, n in names.items() if (n == family if exact else n.startswith(family))}

    @rule(is_missing=st.booleans())
    def search_by_what_is_missing(self, is_missing: bool) -> None:
        """People with, and without, a birth date."""
        found = self.found("Patient", f"birthdate:missing={str(is_missing).lower()}")
        assert found == {i for i, c in self.present("Patient").items() if ("birthDate" in c) != is_missing}

    @rule(year=st.sampled_from(("1950", "1990", "2010")))
    def search_by_birth(self, year: str) -> None:
        """A date by its year."""
        found = self.found("Patient", f"birthdate={year}")
        assert found == {
            i for i, c in self.present("Patient").items() if c.get("birthDate", "").startswith(year)
        }

    @rule(key=keys)
    def search_by_person(self, key: str) -> None:
        """The observations of one person, deleted or not."""
        if key.startswith("Patient/"):
            found = self.found("Observation", f"subject={key}")
            present = self.present("Observation")
            assert found == {i for i, c in present.items() if c["subject"]["reference"] == key}

    def found(self, type_: str, criteria: str) -> set[str]:
        """Return the ids a search finds in pages of three; none is shown twice."""
        url = f"/{type_}?{criteria}&identifier={self.system}|&_count=3"
        seen: list[str] = []
        while url:
            page = self.call("GET", url, Prefer="handling=strict")
            seen += ids(page)
            links = {link["relation"]: link["url"] for link in page.get_json()["link"]}
            url = links.get("next", "").partition("/fhir")[2]
        assert len(seen) == len(set(seen))
        return set(seen)

    @precondition(lambda self: self.versions)
    @invariant()
    def counts_agree(self) -> None:
        """The totals are the model's."""
        for type_ in ("Patient", "Observation"):
            counted = self.call("GET", f"/{type_}?identifier={self.system}|&_summary=count").get_json()
            assert counted["total"] == len(self.present(type_))


def test_reads_histories_and_searches_agree_with_whatever_was_written(app: Flask, call: Caller) -> None:
    Repository.call = call
    run_state_machine_as_test(
        Repository,
        settings=settings(
            max_examples=12,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )
