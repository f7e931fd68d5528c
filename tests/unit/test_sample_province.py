"""What the hospitals send: the same bytes for the same seed, readable by others, about 200,000 resources."""

import hashlib
import re
from collections import Counter
from datetime import timedelta

import hl7
import orjson
import pytest

from deploy.sample.csv_files import dialect_of
from deploy.sample.generate import province
from deploy.sample.layouts import LAYOUTS
from esb.fhir.validation import check_resource

CHARSETS = {"H01": "gb18030", "H02": "utf-8", "H05": "utf-8"}


@pytest.fixture(scope="module")
def events():
    return list(province(300, 5))


def digest(events):
    """Return one hash over names, times and bytes."""
    total = hashlib.sha256()
    for event in events:
        total.update(f"{event.at}|{event.facility}|{event.name}|".encode() + event.body)
    return total.hexdigest()


def test_the_same_seed_gives_the_same_bytes(events):
    assert digest(province(300, 5)) == digest(events)
    assert digest(province(300, 6)) != digest(events)


def test_everything_is_in_time_order_and_named_once(events):
    assert [e.at for e in events] == sorted(e.at for e in events)
    assert max(Counter((e.facility, e.name) for e in events).values()) == 1


def test_each_hospital_sends_by_its_make(events):
    kinds = {f: {e.kind for e in events if e.facility == f} for f in ("H01", "H02", "H03", "H04", "H05")}
    assert kinds == {
        "H01": {"hl7", "csv"},
        "H02": {"hl7", "csv"},
        "H03": {"fhir", "csv"},
        "H04": {"csv"},
        "H05": {"hl7", "fhir", "csv"},
    }


def test_a_region_of_two_hospitals_hears_of_no_third():
    assert {e.facility for e in province(40, 1, ("H01", "H02"))} == {"H01", "H02"}


def test_every_hl7_message_is_read_by_a_foreign_parser(events):
    sent = [e for e in events if e.kind == "hl7"]
    versions = {"H01": "2.3.1", "H02": "2.5", "H05": "2.5"}
    charsets = {"H01": "GB 18030-2000", "H02": "UNICODE UTF-8", "H05": "UNICODE UTF-8"}
    kinds = Counter()
    for event in sent[::3]:
        message = hl7.parse(event.body, encoding=CHARSETS[event.facility])
        msh = message.segment("MSH")
        kinds[str(msh[9]).split("^")[0] + str(msh[9])[3:7]] += 1
        assert str(msh[12]) == versions[event.facility]
        assert str(msh[18]) == charsets[event.facility]
        assert event.name == f"{msh[10]}.hl7" and len(str(msh[10])) <= 20
        pid = message.segment("PID")
        assert str(pid[3]) and str(pid[5]) and str(pid[8]) in "MFUO"
    assert {"ADT^A04", "ADT^A08", "ADT^A28", "ORU^R01", "DFT^P03"} <= set(kinds)


def test_required_fields_of_hl7_segments_are_filled(events):
    required = {
        "PV1": (2,),
        "OBR": (4,),
        "OBX": (3, 11),
        "DG1": (1, 6),
        "AL1": (1, 3),
        "FT1": (4, 6, 7),
        "ORC": (1,),
    }
    for event in events:
        if event.kind == "hl7":
            for line in event.body.decode(CHARSETS[event.facility]).rstrip("\r").split("\r"):
                fields = line.split("|")
                for place in required.get(fields[0], ()):
                    assert len(fields) > place and fields[place], (event.name, fields[0], place)


def test_every_fhir_bundle_is_valid_and_points_only_at_what_was_sent(events):
    known, seen = set(), Counter()
    for event in events:
        if event.kind != "fhir":
            if event.facility == "H05":
                for number in re.findall(rb"\|([A-Z]{2}\d+)\^\^\^H05\^VN", event.body):
                    known.add(f"H05 Encounter/{number.decode()}")
                for number in re.findall(rb"PID\|1\|\|(\d+)\^", event.body):
                    known.add(f"H05 Patient/{number.decode()}")
            continue
        bundle = orjson.loads(event.body)
        for entry in bundle["entry"]:
            check_resource(entry["resource"])
            seen[entry["resource"]["resourceType"]] += 1
            known.add(f"{event.facility} {entry['request']['url']}")
        assert bundle["type"] == "transaction"
        for target in re.findall(r'"reference":"([^"]+)"', event.body.decode()):
            place = f"{event.facility} {target}"
            late = target.startswith("Patient/") and b'"Appointment"' in event.body
            assert place in known or late, (event.name, target)
    assert {
        "Patient",
        "Encounter",
        "Condition",
        "Observation",
        "DiagnosticReport",
        "ChargeItem",
        "Invoice",
    } <= set(seen)


def test_every_file_has_the_columns_of_its_layout(events):
    for event in events:
        if event.kind == "csv":
            dialect, layout = dialect_of(event.facility), LAYOUTS[event.name.split("-")[0]]
            header = event.body.decode(dialect.encoding).split("\r\n")[0]
            assert header == ",".join(dialect.header(c) for c in layout.columns)


def test_nothing_happens_after_the_reference_date(events):
    last = max(e.at for e in events)
    assert last.isoformat() == "2026-11-01T23:59:00"
    assert min(e.at for e in events) > last - timedelta(days=3 * 366 + 60)
