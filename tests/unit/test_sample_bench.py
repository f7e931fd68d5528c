"""The material of the benchmarks: the promised mix, sizes and counts."""

import re
from collections import Counter

import hl7
import orjson

from deploy.sample.bundles import ips_like, patient_record
from deploy.sample.messages import bench_mix
from esb.fhir.validation import check_resource


def test_half_is_adt_and_half_results_of_twenty():
    messages = list(bench_mix(400, 1, "H02"))
    kinds = Counter(m.split(b"|")[8][:7] for m in messages)
    assert kinds[b"ORU^R01"] == 200
    assert all(kinds[kind] == 50 for kind in (b"ADT^A01", b"ADT^A03", b"ADT^A04", b"ADT^A08"))
    assert len({m.split(b"|")[9] for m in messages}) == 400
    for message in messages:
        parsed = hl7.parse(message, encoding="utf-8")
        if str(parsed.segment("MSH")[9]).startswith("ORU"):
            assert len(parsed.segments("OBX")) == 20
            assert 2_000 < len(message) < 4_500
        else:
            assert 600 < len(message) < 1_800


def test_another_seed_is_another_set_of_control_ids_and_patients():
    first, second = list(bench_mix(40, 1)), list(bench_mix(40, 2))
    assert list(bench_mix(40, 1)) == first
    assert not {m.split(b"|")[9] for m in first} & {m.split(b"|")[9] for m in second}
    number = re.compile(rb"PID\|1\|\|([^^]+)")
    assert not {number.search(m)[1] for m in first} & {number.search(m)[1] for m in second}


def test_a_bundle_holds_nineteen_valid_resources_of_one_patient():
    bundles = [orjson.loads(b) for b in ips_like(30, 1)]
    assert len({b["entry"][0]["fullUrl"] for b in bundles}) == 30
    for bundle in bundles:
        assert len(bundle["entry"]) == 19
        urls = {entry["fullUrl"] for entry in bundle["entry"]}
        for entry in bundle["entry"]:
            check_resource(entry["resource"])
            assert set(re.findall(rb'"reference":"([^"]+)"', orjson.dumps(entry))) <= {
                u.encode() for u in urls
            }


def test_a_record_has_exactly_as_many_resources_as_asked_for():
    bundles = [orjson.loads(b) for b in patient_record(1000, 7)]
    entries = [e for b in bundles for e in b["entry"]]
    assert len(entries) == len({e["request"]["url"] for e in entries}) == 1000
    known = set()
    for entry in entries:
        check_resource(entry["resource"])
        known.add(entry["request"]["url"])
        for target in re.findall(r'"reference":"([^"]+)"', orjson.dumps(entry).decode()):
            assert target in known
    assert Counter(e["resource"]["resourceType"] for e in entries)["Patient"] == 1
