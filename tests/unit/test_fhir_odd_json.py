"""Whatever stands in the place of an element, a resource is taken or refused, and nothing breaks."""

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from esb.errors import NotValid
from esb.fhir.validation import check_resource, is_valid
from tests.unit.test_fhir_validation import (
    BUNDLE,
    ENCOUNTER,
    MEDICATION_REQUEST,
    OBSERVATION,
    REPORT,
    changed,
)

ODD_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from(["a", "", "#o", "2020-01-01", "2020-01-01T00:00:00", "2020-01-01T00:00:00Z", "<div"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["start", "end", "low", "high", "value", "code", "offset", "when", "div", "reference"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


def places_of(node, path=()):
    yield path
    for key, child in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(child, (dict, list)):
            yield from places_of(child, (*path, key))
        else:
            yield (*path, key)


TIMED = changed(MEDICATION_REQUEST, dosageInstruction=[{"timing": {"repeat": {"offset": 1, "when": ["AC"]}}}])
RANGED = changed(
    OBSERVATION, valueQuantity=None, valueRange={"low": {"value": 1, "code": "m"}, "high": {"value": 2}}
)


# The first example builds the rules of its type, which takes as long as the machine needs.
@settings(deadline=None)
@given(data=st.data())
def test_odd_json_in_any_place_is_taken_or_refused_and_nothing_else(data):
    resource = copy.deepcopy(data.draw(st.sampled_from([ENCOUNTER, RANGED, TIMED, REPORT, BUNDLE])))
    places = [path for path in places_of(resource) if path and path != ("resourceType",)]
    *steps, last = data.draw(st.sampled_from(places))
    node = resource
    for step in steps:
        node = node[step]
    node[last] = data.draw(ODD_JSON)
    try:
        check_resource(resource)
    except NotValid as refusal:
        assert refusal.issues and not is_valid(resource)
    else:
        assert is_valid(resource)
