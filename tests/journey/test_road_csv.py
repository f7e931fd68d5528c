"""Each kind of CSV file (docs/interfaces-csv.md) from the drop folder to the hub, by the digit, once only."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.journey.road import Fep, Hub, element, wait_for

AT = "2026-04-01 10:00:00"
WHO = {"patient_no": "CSV-P1", "updated_at": AT}

# kind -> the rows of a file as H02 writes them (canonical headers and codes); a row names what it sends
FILES: dict[str, tuple[dict[str, str], ...]] = {
    "patients": (
        WHO
        | {"name": "慕容晓春", "sex": "2", "birth_date": "1962-03-04", "insurance_no": "YBCSV0071"}
        | {"phone": "13900000071", "allergies": "青霉素", "status": "normal"},
    ),
    "visits": (
        WHO
        | {"visit_no": "CSV-V1", "visit_type": "inpatient", "visit_status": "finished"}
        | {"department_code": "0301", "department": "心内科", "doctor": "李医生"}
        | {"started_at": "2026-03-28 08:30:00", "ended_at": "2026-04-01 09:15:00"}
        | {"diagnosis_code": "I10.x00", "diagnosis": "原发性高血压"},
    ),
    "laboratory": (
        WHO
        | {"report_no": "CSV-L1", "visit_no": "CSV-V1", "panel_code": "CBC", "panel": "血常规"}
        | {"item_no": "1", "item_code": "WBC", "item": "白细胞", "value": "12.50", "unit": "10*9/L"}
        | {"reference_range": "3.5-9.5", "flag": "H", "result_status": "final"}
        | {"collected_at": "2026-03-29 07:00:00", "reported_at": "2026-03-29 09:40:00"},
    ),
    "examinations": (
        WHO
        | {"report_no": "CSV-E1", "visit_no": "CSV-V1", "exam_type": "imaging", "item_code": "CT01"}
        | {"item": "胸部CT平扫", "body_site": "胸部", "findings": "双肺纹理清晰", "conclusion": "未见异常"}
        | {"result_status": "final", "reported_at": "2026-03-30 15:20:00"},
    ),
    "charges": (
        WHO
        | {"charge_no": "CSV-C1", "visit_no": "CSV-V1", "settlement_no": "CSV-S1", "item_code": "A01"}
        | {"item": "阿莫西林胶囊", "category_code": "01", "category": "西药费", "quantity": "3.0"}
        | {"unit": "盒", "unit_price": "12.8000", "amount": "38.40", "charge_status": "normal"}
        | {"charged_at": "2026-03-29 11:00:00", "accounting_date": "2026-03-29"},
        WHO
        | {"charge_no": "CSV-C2", "visit_no": "CSV-V1", "item_code": "A01", "item": "阿莫西林胶囊"}
        | {"category_code": "01", "category": "西药费", "quantity": "-1.0", "unit": "盒"}
        | {"unit_price": "12.8000", "amount": "-12.80", "refund_of": "CSV-C1", "charge_status": "refund"}
        | {"charged_at": "2026-03-30 11:00:00", "accounting_date": "2026-03-30"},
    ),
    "settlements": (
        WHO
        | {"settlement_no": "CSV-S1", "visit_no": "CSV-V1", "settlement_status": "normal"}
        | {"insurance_type": "职工医保", "settled_at": "2026-04-01 09:00:00", "accounting_date": "2026-04-01"}
        | {"total_amount": "38.40", "pooling_fund": "30.00", "personal_account": "0.00"}
        | {"critical_illness": "0.00", "civil_servant": "0.00", "retired_cadre": "0.00"}
        | {"medical_aid": "0.00", "care_fund": "0.00", "self_funded": "0.00", "first_self_paid": "0.00"}
        | {"self_paid": "8.40"},
    ),
    "control_totals": (
        {"accounting_date": "2019-03-29", "total_kind": "charges", "category_code": "", "item_count": "17"}
        | {"amount": "1234.50", "generated_at": AT},
    ),
}

# kind -> what finds it at the hub -> {element: value}; numbers are the characters that were sent
EXPECTED: dict[str, dict[str, dict[str, Any]]] = {
    "patients": {
        "Patient?identifier=CSV-P1": {
            "name.0.text": "慕容晓春",
            "gender": "female",
            "birthDate": "1962-03-04",
            "telecom.0.value": "13900000071",
            "active": True,
        },
        "AllergyIntolerance?patient={patient}": {"code.text": "青霉素"},
    },
    "visits": {
        "Encounter?identifier=CSV-V1": {
            "status": "finished",
            "class.code": "IMP",
            "period.start": "2026-03-28T08:30:00+08:00",
            "period.end": "2026-04-01T09:15:00+08:00",
            "serviceType.text": "心内科",
        },
        "Condition?patient={patient}": {
            "code.coding.0.system": "http://hl7.org/fhir/sid/icd-10",
            "code.coding.0.code": "I10.x00",
            "code.text": "原发性高血压",
        },
    },
    "laboratory": {
        "Observation?patient={patient}": {
            "status": "final",
            "code.text": "白细胞",
            "valueQuantity.value": "12.50",
            "valueQuantity.unit": "10*9/L",
            "referenceRange.0.low.value": "3.5",
            "referenceRange.0.high.value": "9.5",
            "interpretation.0.coding.0.code": "H",
        },
        "DiagnosticReport?identifier=CSV-L1": {
            "code.text": "血常规",
            "issued": "2026-03-29T09:40:00+08:00",
            "category.0.coding.0.code": "LAB",
        },
    },
    "examinations": {
        "DiagnosticReport?identifier=CSV-E1": {
            "status": "final",
            "code.text": "胸部CT平扫",
            "conclusion": "未见异常",
            "category.0.coding.0.code": "RAD",
        },
    },
    "charges": {
        "ChargeItem?identifier=CSV-C1": {
            "status": "billed",
            "code.text": "阿莫西林胶囊",
            "quantity.value": "3.0",
            "quantity.unit": "盒",
            "priceOverride.value": "38.40",
            "priceOverride.currency": "CNY",
            "extension.0.valueMoney.value": "12.8000",
            "extension.1.valueDate": "2026-03-29",
        },
        "ChargeItem?identifier=CSV-C2": {
            "quantity.value": "-1.0",
            "priceOverride.value": "-12.80",
            "extension.2.url": "urn:hie:refund-of",
        },
    },
    "settlements": {
        "Invoice?identifier=CSV-S1": {
            "date": "2026-04-01T09:00:00+08:00",
            "totalGross.value": "38.40",
            "totalGross.currency": "CNY",
            "totalPriceComponent.0.code.coding.0.code": "pooling_fund",
            "totalPriceComponent.0.amount.value": "30.00",
            "totalPriceComponent.1.code.coding.0.code": "self_paid",
            "totalPriceComponent.1.amount.value": "8.40",
        },
    },
    "control_totals": {
        "MeasureReport?period=2019-03-29": {
            "group.0.code.coding.0.code": "charges",
            "group.0.population.0.count": "17",
            "group.0.measureScore.value": "1234.50",
            "period.start": "2019-03-29",
        },
    },
}


def csv_file(rows: tuple[dict[str, str], ...]) -> bytes:
    """Return rows as a file whose header names every column of them."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [",".join(row.get(column, "") for column in columns) for row in rows]
    return "\r\n".join([",".join(columns), *lines, ""]).encode()


def file_name(kind: str) -> str:
    return f"{kind}-20260401-71.csv"


def is_done(fep: Fep, kind: str, copies: int) -> bool:
    """Return whether so many copies of a file lie in done/."""
    stem = Path(file_name(kind)).stem
    assert not list((fep.inbox / "failed").glob(f"{stem}*"))
    return len(list((fep.inbox / "done").glob(f"{stem}*.csv"))) == copies


def drop_all(fep: Fep, copies: int) -> None:
    """Drop every file and wait until that many copies of each are in done/."""
    for kind, rows in FILES.items():
        fep.drop(file_name(kind), csv_file(rows))
    for kind in FILES:
        wait_for(f"{copies} x {kind} in done/", partial(is_done, fep, kind, copies))


def taken(fep: Fep, kind: str) -> list[dict[str, Any]]:
    """Return the console's rows of a kind of file of this module."""
    return [row for row in fep.rows(f"m.kind = 'CSV {kind}'") if file_name(kind) in row["control_id"]]


def is_stored(fep: Fep, kind: str) -> bool:
    """Return whether the hub said that it stored what a file held."""
    return [row["receipt"] for row in taken(fep, kind)] == ["stored"]


@pytest.fixture(scope="module")
def fep(region: dict[str, Any]) -> Fep:
    """The front-end processor of H02, after it took one file of every kind and the hub answered."""
    made = Fep(region["hospitals"][1])
    drop_all(made, 1)
    for kind in FILES:
        wait_for(f"the receipt of {kind}", partial(is_stored, made, kind))
    return made


@pytest.fixture(scope="module")
def hub(region: dict[str, Any]) -> Hub:
    return Hub(region)


def found(hub: Hub, query: str) -> dict[str, Any]:
    """Return the one resource of this module's patient that a query finds."""
    return hub.found(query.format(patient=hub.found("Patient?identifier=CSV-P1")["id"]))


@pytest.mark.parametrize("kind", FILES)
def test_what_a_file_says_is_at_the_hub_by_the_digit(kind: str, fep: Fep, hub: Hub):
    for query, elements in EXPECTED[kind].items():
        resource = found(hub, query)
        assert {path: element(resource, path) for path in elements} == elements


def test_every_sum_at_the_hub_refers_to_what_it_covers(fep: Fep, hub: Hub):
    charge = found(hub, "ChargeItem?identifier=CSV-C1")
    refund = found(hub, "ChargeItem?identifier=CSV-C2")
    invoice = found(hub, "Invoice?identifier=CSV-S1")
    visit = found(hub, "Encounter?identifier=CSV-V1")
    pointers = {e["url"]: e["valueReference"]["reference"] for e in charge["extension"][2:]}
    assert pointers == {"urn:hie:settlement": f"Invoice/{invoice['id']}"}
    pointers = {e["url"]: e["valueReference"]["reference"] for e in refund["extension"][2:]}
    assert pointers == {"urn:hie:refund-of": f"ChargeItem/{charge['id']}"}
    assert charge["context"]["reference"] == f"Encounter/{visit['id']}"


def versions(hub: Hub) -> dict[str, str]:
    """Return the version of each resource this module looks at."""
    queries = [query for looked_at in EXPECTED.values() for query in looked_at]
    return {query: found(hub, query)["meta"]["versionId"] for query in queries}


def test_the_same_files_again_double_nothing(fep: Fep, hub: Hub):
    before = versions(hub)
    drop_all(fep, 2)
    for kind in FILES:
        (row,) = taken(fep, kind)
        assert (row["repeats"], row["receipt"]) == (1, "stored")
    assert versions(hub) == before
