"""UCUM units: the grammar of their expressions and how they convert."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hie.terminology import ucum

UNITS = """
mmol/L 10*9/L 10^12/L mm[Hg] % U/L m[IU]/L u[IU]/mL [pH] kg/m2 /min Cel {copies}/mL mL/min/{1.73_m2}
g/(24.h) 10*-3 s-1 mg/dL [degF] umol/L{creatinine} 1 {score} ug/kg/min m[H2O] [lb_av] [TCID_50] a_j cal_th
g% 1/min L/(min.m2) ' daL fL pg ng/mL kat meq/L mosm/kg [ppm] [in_i] dB [drp]/min 2.mL m2.5
"""
NO_UNITS = """
mmHg MMOL/L 10e9/L mg/dL/ mmol//L (mg mg) kmin mh u% 克/升 {a}{b} {{a}} mg{ Cel/m Cel2 m0 0 .m m. da
[HG] m- 10*999 µg
"""


@pytest.mark.parametrize("code", UNITS.split())
def test_a_unit_of_the_grammar_is_accepted(code: str):
    assert ucum.is_unit(code)


@pytest.mark.parametrize(
    "code",
    [*NO_UNITS.split(), "", "mmol / L", "mg dL", "mL\n", "x" * 300, "(" * 30 + "m" + ")" * 30],
)
def test_what_is_no_unit_is_refused(code: str):
    assert not ucum.is_unit(code)


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("g/L", "mg/dL", Fraction(100)),
        ("mm[Hg]", "kPa", Fraction(133322, 1_000_000)),
        ("10*9/L", "10*3/uL", Fraction(1)),
        ("min", "s", Fraction(60)),
        ("/min", "Hz", Fraction(1, 60)),
        ("U/L", "ukat/L", Fraction(1, 60)),
        ("fL", "um3", Fraction(1)),
        ("ng/mL", "ug/L", Fraction(1)),
        ("%", "[ppth]", Fraction(10)),
        ("[IU]/L", "m[IU]/mL", Fraction(1)),
        ("[lb_av]", "kg", Fraction(45359237, 100_000_000)),
        ("L/(min.m2)", "L/min/m2", Fraction(1)),
    ],
)
def test_units_of_one_dimension_convert_by_a_factor(source: str, target: str, expected: Fraction):
    assert ucum.factor(source, target) == expected


@pytest.mark.parametrize(("source", "target"), [("mmol/L", "mg/dL"), ("[IU]", "U"), ("m", "s"), ("Cel", "K")])
def test_units_that_no_factor_joins_have_none(source: str, target: str):
    assert ucum.factor(source, target) is None


def test_temperatures_convert_with_their_offset():
    assert ucum.convert(Decimal("37.0"), "Cel", "[degF]") == Decimal("98.6")
    assert ucum.convert(Decimal("98.6"), "[degF]", "Cel") == Decimal("37")
    assert ucum.convert(Decimal("36.6"), "Cel", "K") == Decimal("309.75")
    assert ucum.convert(Decimal(7), "[pH]", "mol/L") is None


def test_every_symbol_of_the_table_can_be_read():
    for code, atom in ucum.atoms().items():
        assert ucum.is_unit(code), code
        if atom.metric:
            assert ucum.is_unit("m" + code), code


@given(st.text(max_size=40))
def test_any_text_is_answered_without_an_error(text: str):
    assert ucum.is_unit(text) in (True, False)


@given(st.lists(st.sampled_from(["m", "mg", "L", "s2", "mol-1", "10*3"]), min_size=1, max_size=6))
def test_a_product_divided_by_itself_is_one(parts: list[str]):
    product = ".".join(parts)
    assert ucum.factor(f"({product})/({product})", "1") == 1


def test_the_table_holds_every_symbol_of_ucum():
    assert len(ucum.atoms()) == 310


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("[psi]", "Pa", 6894.757293168361),
        ("[wood'U]", "[PRU]", 0.06),
        ("[oz_tr]", "g", 31.1034768),
        ("[gal_br]", "L", 4.54609),
        ("[in_i'Hg]", "kPa", 3.3863788),
        ("[car_m]", "mg", 200),
        ("[acr_us]", "m2", 4046.872609874252),
        ("Oe", "A/m", 79.57747154594767),
        ("[IU]", "[iU]", 1),
    ],
)
def test_old_and_customary_units_convert_too(source: str, target: str, expected: float):
    factor = ucum.factor(source, target)
    assert factor is not None
    assert float(factor) == pytest.approx(expected, rel=1e-9)


def test_degrees_of_reaumur_convert_with_their_offset():
    assert ucum.convert(Decimal(80), "[degRe]", "Cel") == Decimal(100)
