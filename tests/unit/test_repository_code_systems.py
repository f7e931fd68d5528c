"""A code, a flag: their system is that of their value set, though they do not state it (R4 search.html)."""

from zoneinfo import ZoneInfo

import pytest

from esb.fhir.search_parameters import PARAMETERS
from hie.repository.conditions import Manner, condition
from hie.repository.extract import index_of
from tests.in_memory import is_found

GENDER = "http://hl7.org/fhir/administrative-gender"
FLAGS = "http://terminology.hl7.org/CodeSystem/special-values"
ZONE = ZoneInfo("Asia/Shanghai")
PATIENT = {"resourceType": "Patient", "id": "x", "gender": "male", "active": True, "telecom": []}
DOCUMENT = {"resourceType": "DocumentReference", "id": "x"} | {
    "content": [{"attachment": {"contentType": "text/plain", "language": "zh"}}]
}
MAP = {"resourceType": "ConceptMap", "id": "x", "useContext": [], "status": "active"}


@pytest.mark.parametrize(
    ("resource", "code", "value", "is_there"),
    [
        (PATIENT, "gender", "male", True),
        (PATIENT, "gender", f"{GENDER}|male", True),
        (PATIENT, "gender", f"{GENDER}|MALE", True),
        (PATIENT, "gender", "|male", True),
        (PATIENT, "gender", f"{GENDER}|", True),
        (PATIENT, "gender", "http://x|male", False),
        (PATIENT, "gender", "http://x|", False),
        (PATIENT, "gender", f"{GENDER}|female", False),
        (PATIENT, "gender", f"{GENDER}|nonsense", False),
        (PATIENT | {"gender": "nonsense"}, "gender", f"{GENDER}|", False),
        (PATIENT, "active", f"{FLAGS}|true", True),
        (PATIENT, "active", f"{GENDER}|true", False),
        (PATIENT, "active", f"{FLAGS}|false", False),
        (DOCUMENT, "language", "urn:ietf:bcp:47|zh", True),
        (DOCUMENT, "contenttype", "text/plain", True),
        (MAP, "status", "http://hl7.org/fhir/publication-status|active", True),
    ],
)
def test_a_system_beside_a_code_must_be_the_one_of_its_value_set(
    resource: dict[str, object], code: str, value: str, is_there: bool
) -> None:
    parameter = PARAMETERS[str(resource["resourceType"])][code]
    asked = condition(str(resource["resourceType"]), parameter, "", value, Manner(ZONE))
    assert is_found(asked, index_of(resource, "", ZONE)) is is_there


def test_every_code_of_a_listed_value_set_knows_its_system() -> None:
    unknown = {
        f"{type_}.{parameter.code}"
        for type_, parameters in PARAMETERS.items()
        for parameter in parameters.values()
        for path in parameter.paths
        if parameter.kind == "token" and path.type == "code" and not path.systems
    }
    assert unknown == {
        "CapabilityStatement.format",
        "CodeSystem.code",
        "CodeSystem.language",
        "ConceptMap.source-code",
        "ConceptMap.target-code",
        "DocumentReference.contenttype",
        "DocumentReference.language",
        "Library.content-type",
        "OperationDefinition.code",
        "SearchParameter.code",
        "Subscription.payload",
        "ValueSet.code",
    }
