"""Charges, settlements, payers and control totals of the province agree to the fen."""

import csv
import io
from collections import defaultdict
from decimal import Decimal

import orjson
import pytest

from deploy.sample.csv_files import dialect_of
from deploy.sample.dialects import CODES
from deploy.sample.events.life import life
from deploy.sample.generate import HOSPITALS, TODAY, YEARS, people, province
from deploy.sample.layouts import CATEGORIES, LAYOUTS, PAYERS
from deploy.sample.money import fen_of, payers


@pytest.fixture(scope="module")
def visits():
    return [v for p in people(700, 3) for v in life(p, 3, HOSPITALS, TODAY, YEARS).visits]


@pytest.fixture(scope="module")
def events():
    return list(province(400, 3))


def rows_of(events, facility, kind):
    """Yield the rows of a hospital's files of one kind under their canonical names."""
    dialect, layout = dialect_of(facility), LAYOUTS[kind]
    names = {dialect.header(c): c.name for c in layout.columns}
    for event in events:
        if event.facility == facility and event.kind == "csv" and event.name.startswith(f"{kind}-"):
            for row in csv.DictReader(io.StringIO(event.body.decode(dialect.encoding))):
                yield {names[header]: value for header, value in row.items()}


def test_settlements_cover_what_was_charged_refunds_and_reversals_included(visits):
    settled = [v for v in visits if v.settlements]
    assert len(settled) > 1000
    for visit in settled:
        assert sum(s.total_fen for s in visit.settlements) == sum(c.amount_fen for c in visit.charges)


def test_what_the_payers_pay_is_the_settlement(visits):
    for visit in visits:
        for settlement in visit.settlements:
            assert tuple(settlement.payers) == PAYERS
            assert sum(settlement.payers.values()) == settlement.total_fen


def test_refunds_reversals_and_late_reissues_happen(visits):
    assert any(c.refund_of for v in visits for c in v.charges)
    assert {s.status for v in visits for s in v.settlements} == {"normal", "reversal", "reissue"}
    assert any(
        len(v.settlements) == 3 and v.settlements[1].replaces == v.settlements[0].number for v in visits
    )


def test_a_refund_takes_back_no_more_than_was_charged(visits):
    for visit in visits:
        lines = {c.number: c for c in visit.charges}
        for back in (c for c in visit.charges if c.refund_of):
            assert back.amount_fen < 0
            assert -back.amount_fen <= lines[back.refund_of].amount_fen
            assert back.category == lines[back.refund_of].category


def test_every_line_has_an_invoice_category_and_its_amount_is_quantity_times_price(visits):
    for visit in visits:
        for line in visit.charges:
            assert line.category in CATEGORIES
            assert line.amount_fen == fen_of(int(line.quantity), line.price_e4)


def test_halves_of_a_fen_are_rounded_away_from_zero():
    assert fen_of(1, 150) == 2
    assert fen_of(-1, 150) == -2
    assert fen_of(3, 333) == 10


@pytest.mark.parametrize("insurance", ["employee", "resident", "public", "cadre", "self"])
def test_payers_add_up_for_every_insurance(visits, insurance):
    for visit in visits[:400]:
        for beneficiary in (False, True):
            paid = payers(visit.charges, insurance, visit.kind == "inpatient", beneficiary, not beneficiary)
            assert sum(paid.values()) == sum(c.amount_fen for c in visit.charges)
            assert min(paid.values()) >= 0


@pytest.mark.parametrize("facility", ["H04", "H05"])
def test_control_totals_are_the_sums_of_the_files(events, facility):
    dialect = dialect_of(facility)
    back = {CODES["total_kind"][k][dialect.codes]: k for k in CODES["total_kind"]}
    stated = {
        (row["accounting_date"], back[row["total_kind"]], row["category_code"]): (
            int(row["item_count"]),
            Decimal(row["amount"]),
        )
        for row in rows_of(events, facility, "control_totals")
        if row["amount"]
    }
    found = defaultdict(lambda: (0, Decimal(0)))
    for kind, amount in (("charges", "amount"), ("settlements", "total_amount")):
        for row in rows_of(events, facility, kind):
            for category in {"", row.get("category_code", "")} if facility == "H04" else {""}:
                key = (row["accounting_date"], kind, category)
                count, total = found[key]
                found[key] = count + 1, total + Decimal(row[amount])
    assert dict(found) == stated
    assert sum(count for (_, kind, category), (count, _) in stated.items() if not category) > 100


@pytest.mark.parametrize("facility", ["H01", "H02"])
def test_control_totals_are_the_sums_of_the_dft_messages(events, facility):
    encoding = "gb18030" if facility == "H01" else "utf-8"
    found = defaultdict(lambda: [0, Decimal(0)])
    for event in events:
        if event.facility == facility and b"|DFT^P03" in event.body:
            for line in event.body.decode(encoding).split("\r"):
                if line.startswith("FT1|"):
                    fields = line.split("|")
                    entry = found[f"{fields[5][:4]}-{fields[5][4:6]}-{fields[5][6:8]}"]
                    entry[0] += 1
                    entry[1] += Decimal(fields[11].split("&")[0])
    stated = {
        row["accounting_date"]: [int(row["item_count"]), Decimal(row["amount"])]
        for row in rows_of(events, facility, "control_totals")
        if row["total_kind"] == "charges" and not row["category_code"]
    }
    assert dict(found) == stated


def test_control_totals_are_the_sums_of_the_charge_items_and_invoices(events):
    found = defaultdict(lambda: [0, Decimal(0)])
    for event in events:
        if event.facility == "H03" and event.kind == "fhir":
            for entry in orjson.loads(event.body)["entry"]:
                resource = entry["resource"]
                if resource["resourceType"] == "ChargeItem":
                    key, amount = (
                        ("charges", resource["enteredDate"][:10]),
                        resource["priceOverride"]["value"],
                    )
                elif resource["resourceType"] == "Invoice":
                    key, amount = ("settlements", resource["date"][:10]), resource["totalGross"]["value"]
                else:
                    continue
                found[key][0] += 1
                found[key][1] += Decimal(str(amount))
    stated = {
        (row["total_kind"], row["accounting_date"]): [int(row["item_count"]), Decimal(row["amount"])]
        for row in rows_of(events, "H03", "control_totals")
        if row["amount"] and not row["category_code"]
    }
    assert dict(found) == stated
