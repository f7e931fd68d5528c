"""Units are brought to base units where that is simple, and left alone where it is not."""

from decimal import Decimal

import pytest

from hie.repository.units import canonical


@pytest.mark.parametrize(
    ("one", "times", "other"),
    [
        ("mg", 1000, "g"),
        ("mg/dL", 100, "g/L"),
        ("ug/mL", 1, "mg/L"),
        ("10*9/L", 1, "10*3/uL"),
        ("mmol/L", 1, "umol/mL"),
        ("min", 60, "h"),
        ("mL/min", 1000, "L/min"),
        ("cm2", 10_000, "m2"),
        ("kg.m/s2", 1000, "kN"),
        ("mL", 1, "cm3"),
        ("/L", Decimal("1000"), "/mL"),
        ("mm[Hg]", 10, "cm[Hg]"),
        ("[IU]/mL", 1, "k[IU]/L"),
        ("%", 100, "1"),
    ],
)
def test_two_units_of_one_dimension_differ_by_a_factor(one: str, times: int | Decimal, other: str) -> None:
    smaller, larger = canonical(one), canonical(other)
    assert smaller is not None
    assert larger is not None
    assert smaller[1] == larger[1]
    assert float(smaller[0] * times) == pytest.approx(float(larger[0]), rel=1e-15)


@pytest.mark.parametrize(("one", "other"), [("mg", "mL"), ("mmol/L", "mg/L"), ("U/L", "[IU]/L"), ("m", "m2")])
def test_units_of_different_dimensions_stay_apart(one: str, other: str) -> None:
    first, second = canonical(one), canonical(other)
    assert first
    assert second
    assert first[1] != second[1]


@pytest.mark.parametrize(
    "code",
    [
        "Cel", "[degF]", "{score}", "mL/min/{1.73_m2}", "", "mg/", "//", ".", "mg..L", "m99", "10*99",
        "mg dL", "毫克", "m" * 100, "[pH", "((((", "10*-9999999", "x[y]", "kmin", "mm[Hg]]", "\x00",
    ],
)  # fmt: skip
def test_what_is_no_simple_unit_stays_as_it_is(code: str) -> None:
    assert canonical(code) is None


@pytest.mark.parametrize(
    ("one", "times", "other"),
    [
        ("[IU]/L", 1, "[iU]/L"),
        ("U/L", 1, "umol/min/L"),
        ("(ug/kg)/min", 1, "ug/(kg.min)"),
        ("cal", Decimal("4.184"), "J"),
        ("[gal_us]", 128, "[foz_us]"),
        ("V", 1, "W/A"),
    ],
)
def test_a_unit_is_what_the_terminology_says_it_is(one: str, times: int | Decimal, other: str) -> None:
    large, small = canonical(one), canonical(other)
    assert large is not None
    assert small is not None
    assert large[1] == small[1]
    assert float(large[0]) == pytest.approx(float(small[0] * times), rel=1e-15)
