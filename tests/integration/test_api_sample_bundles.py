"""The Bundles of the benchmarks are taken as they are: every reference in them leads somewhere."""

from deploy.sample.bundles import ips_like, patient_record
from tests.hub_world import Caller, application


def test_the_bundles_that_benchmarks_send_are_taken(module_database_url: str) -> None:
    with application(module_database_url) as app:
        call = Caller(app)
        for body in (*ips_like(2, 7), *patient_record(250, 7)):
            answer = call("POST", "/", body)
            assert answer.status_code == 200, answer.text
            assert {e["response"]["status"][:3] for e in answer.get_json()["entry"]} <= {"200", "201"}
