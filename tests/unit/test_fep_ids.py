"""Ids of resources: the fast way gives what the plain one gives."""

from hypothesis import given
from hypothesis import strategies as st

from esb.fhir.identifiers import resource_id
from front_end_processor.normalise.ids import Ids


@given(st.binary(min_size=1, max_size=100), st.text(max_size=40))
def test_an_id_is_the_hmac_of_facility_type_and_number(key, number):
    assert Ids(key, "H01").of("Patient", number) == resource_id(key, "H01", "Patient", number)
