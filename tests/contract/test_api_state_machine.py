"""Whatever is written in whatever order: reads, histories, searches and pages tell of the same resources.

The machine of `tests.writing_machine` writes to the API over a real PostgreSQL and keeps a model beside it, a
list of versions per id; every answer must be the model's.
"""

from datetime import datetime

import hypothesis.strategies as st
from flask import Flask
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import rule, run_state_machine_as_test

from tests.hub_world import Caller, Json, ids
from tests.writing_machine import CODES, Writes, bare, families, following, genders

YEARS = ("1950", "1990", "2010")
# In each of them something written meanwhile could come up again further down.
ORDERS = ("_lastUpdated", "-_lastUpdated", "_id", "birthdate", "-family")


class Repository(Writes):
    """What a client asks of it: reads, histories, searches, pages."""

    keys = Writes.keys

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

    @rule(year=st.sampled_from(YEARS))
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

    @rule(gender=genders)
    def search_by_whose_it_is(self, gender: str) -> None:
        """A chain and its reverse; what points at somebody deleted points at nobody."""
        people = {f"Patient/{i}" for i, c in self.present("Patient").items() if c["gender"] == gender}
        seen = self.present("Observation")
        found = self.found("Observation", f"subject:Patient.gender={gender}")
        assert found == {i for i, c in seen.items() if c["subject"]["reference"] in people}
        code = next(iter(seen.values()))["code"]["coding"][0]["code"] if seen else CODES[0]
        whose = {c["subject"]["reference"] for c in seen.values() if c["code"]["coding"][0]["code"] == code}
        with_it = self.found("Patient", f"_has:Observation:subject:code={code}&gender={gender}")
        assert with_it == {address.partition("/")[2] for address in whose & people}

    @rule()
    def bring_along(self) -> None:
        """Whom the observations are of comes along, once, if it is there."""
        bundle = self.call(
            "GET", f"/Observation?identifier={self.system}|&_include=Observation:subject&_count=500"
        )
        entries = bundle.get_json().get("entry", [])
        whose = {c["subject"]["reference"] for c in self.present("Observation").values()}
        there = {f"Patient/{i}" for i in self.present("Patient")}
        included = [f"Patient/{e['resource']['id']}" for e in entries if e["search"]["mode"] == "include"]
        assert sorted(included) == sorted(whose & there)

    @rule(data=st.data())
    def search_by_when_it_was_written(self, data: st.DataObject) -> None:
        """What was written since an instant, and before it, is all there is, in the order of the instants."""
        url = f"/Patient?identifier={self.system}|&_count=500&_sort=_lastUpdated"
        found = [one["resource"] for one in self.call("GET", url).get_json().get("entry", ())]
        if not found:
            return
        at = {one["id"]: datetime.fromisoformat(one["meta"]["lastUpdated"]) for one in found}
        assert list(at.values()) == sorted(at.values())
        one = data.draw(st.sampled_from(found))
        instant = one["meta"]["lastUpdated"]
        since = self.found("Patient", f"_lastUpdated=ge{instant}")
        assert since == {id_ for id_, when in at.items() if when >= at[one["id"]]}
        assert self.found("Patient", f"_lastUpdated=lt{instant}") == at.keys() - since

    @rule(type_=st.sampled_from(("Patient", "Observation")))
    def history_of_the_type(self, type_: str) -> None:
        """The history of the type, in pages, holds every version of each once, the newest first."""
        told: dict[str, list[Json | None]] = {}
        url = f"/{type_}/_history?_count=12&_since={self.began}"
        while url:
            page = self.call("GET", url).get_json()
            for one in page.get("entry", ()):
                key = "/".join(one["fullUrl"].split("/")[-2:])
                told.setdefault(key, []).append(bare(one["resource"]) if "resource" in one else None)
            url = following(page)
        known = {key: versions for key, versions in self.versions.items() if key.startswith(f"{type_}/")}
        assert {key: told[key] for key in known} == {key: versions[::-1] for key, versions in known.items()}

    @rule(key=keys, gender=genders, family=families, order=st.sampled_from(ORDERS))
    def page_while_others_write(self, key: str, gender: str, family: str, order: str) -> None:
        """What did not change meanwhile comes once, what did at most once, what is new not at all."""
        before = set(self.present("Patient"))
        page = self.call("GET", f"/Patient?identifier={self.system}|&_count=3&_sort={order}").get_json()
        new = self.create(gender, family, None)
        self.delete(key, False) if gender == "male" else self.patch(key, "en", False)
        self.patch(new, "zh", False)
        seen = [one["resource"]["id"] for one in page.get("entry", ())]
        while url := following(page):
            page = self.call("GET", url).get_json()
            seen += [one["resource"]["id"] for one in page.get("entry", ())]
        changed = {key.partition("/")[2]} if key.startswith("Patient/") else set()
        assert len(seen) == len(set(seen))
        assert before - changed <= set(seen) <= before

    def found(self, type_: str, criteria: str) -> set[str]:
        """Return the ids a search finds in pages of three; none is shown twice."""
        url = f"/{type_}?{criteria}&identifier={self.system}|&_count=3"
        seen: list[str] = []
        while url:
            page = self.call("GET", url, Prefer="handling=strict")
            seen += ids(page)
            url = following(page.get_json())
        assert len(seen) == len(set(seen))
        return set(seen)

    def teardown(self) -> None:
        """At the end of each run the totals and the histories of the types are the model's."""
        for type_ in ("Patient", "Observation"):
            counted = self.call("GET", f"/{type_}?identifier={self.system}|&_summary=count").get_json()
            assert counted["total"] == len(self.present(type_))
            self.history_of_the_type(type_)
        for year in YEARS:
            self.search_by_birth(year)


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
