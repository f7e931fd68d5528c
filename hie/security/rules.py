"""The policy as a table: which role may do which action on which resource types, and how far it reaches.

`docs/security.md` prints this table; a test keeps the two alike.
"""

from dataclasses import dataclass
from enum import StrEnum


class Reach(StrEnum):
    """How far a permission goes; `hie.security.policy` turns each into SQL."""

    ALL = "everything in the region"
    PUBLIC = "what belongs to no patient and is published"
    OWN = "what the own facility wrote"
    RELATED = "records of persons with an open relation, unless restricted"
    OWN_OR_RELATED = "records of the own facility, and of persons with an open relation unless restricted"
    UNRESTRICTED = "everybody who is not restricted"
    OWN_TRAIL = "rows of the own facility; all rows for a regional user"


# Resource types that belong to no patient and that every signed-in actor may read.
PUBLISHED = frozenset(
    {
        "ActivityDefinition",
        "CapabilityStatement",
        "CodeSystem",
        "ConceptMap",
        "Endpoint",
        "HealthcareService",
        "ImplementationGuide",
        "InsurancePlan",
        "Library",
        "Location",
        "Measure",
        "Medication",
        "MedicationKnowledge",
        "NamingSystem",
        "OperationDefinition",
        "Organization",
        "OrganizationAffiliation",
        "PlanDefinition",
        "Practitioner",
        "PractitionerRole",
        "Questionnaire",
        "Schedule",
        "SearchParameter",
        "Slot",
        "StructureDefinition",
        "StructureMap",
        "Substance",
        "ValueSet",
    }
)

READING = ("read", "search", "everything")
WRITING = ("create", "update", "patch", "delete")

ANY = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the policy: a role may do these actions on these types within a reach.

    masked: only masked demographics may be shown.
    """

    role: str
    actions: tuple[str, ...]
    types: str
    reach: Reach
    masked: bool = False


RULES: tuple[Rule, ...] = (
    # The hub itself, and region-wide clients (back-load, benchmarks): what their scopes say.
    Rule("system", (*READING, *WRITING), ANY, Reach.ALL),
    Rule("system", READING, "AuditEvent", Reach.ALL),
    Rule("system", ("match",), "Patient", Reach.ALL),
    Rule("system", ("explain",), "Search", Reach.ALL),
    Rule("system", ("map",), "Code", Reach.ALL),
    # A hospital's own systems.
    Rule("facility", READING, ANY, Reach.OWN_OR_RELATED),
    Rule("facility", WRITING, ANY, Reach.OWN),
    Rule("facility", ("match",), "Patient", Reach.UNRESTRICTED, masked=True),
    Rule("facility", ("map",), "Code", Reach.OWN_TRAIL),
    # Doctors and the referral office: find masked, confirm, then read.
    Rule("doctor", READING, ANY, Reach.RELATED),
    Rule("doctor", ("find", "confirm"), "Person", Reach.UNRESTRICTED, masked=True),
    Rule("doctor", ("match",), "Patient", Reach.UNRESTRICTED, masked=True),
    Rule("referral", READING, ANY, Reach.RELATED),
    Rule("referral", ("find", "confirm"), "Person", Reach.UNRESTRICTED, masked=True),
    Rule("referral", ("match",), "Patient", Reach.UNRESTRICTED, masked=True),
    # The steward compares demographics to tell who is who, and sees no clinical row.
    Rule("steward", (*READING, "match"), "Patient", Reach.UNRESTRICTED),
    Rule("steward", READING, "Person", Reach.UNRESTRICTED),
    Rule("steward", ("find", "review", "link"), "Person", Reach.UNRESTRICTED),
    Rule("steward", READING, "PUBLISHED", Reach.PUBLIC),
    # Engineers and operators run the exchange; they see what is published, and how things run.
    Rule("engineer", READING, "PUBLISHED", Reach.PUBLIC),
    Rule("engineer", ("operate",), "Message", Reach.OWN_TRAIL),
    Rule("operator", READING, "PUBLISHED", Reach.PUBLIC),
    Rule("operator", ("operate",), "Message", Reach.ALL),
    Rule("operator", ("explain",), "Search", Reach.ALL),
    # What a hospital's own codes are in the region's: the codes, and no resource that holds one.
    Rule("engineer", ("map",), "Code", Reach.OWN_TRAIL),
    Rule("operator", ("map",), "Code", Reach.ALL),
    Rule("operator", READING, "AuditEvent", Reach.OWN_TRAIL),
    # The auditor sees the trail, not the record.
    Rule("auditor", READING, "AuditEvent", Reach.OWN_TRAIL),
    Rule("auditor", READING, "PUBLISHED", Reach.PUBLIC),
)

# SMART letter that a client's scopes must hold for an action; the others are for users only.
LETTERS = {
    "read": "r",
    "search": "s",
    "everything": "r",
    "match": "s",
    "create": "c",
    "update": "u",
    "patch": "u",
    "delete": "d",
}

# Asked beside another action of the same request, which the scopes decide.
BESIDE = frozenset({"explain", "map"})


def rule_for(role: str, action: str, resource_type: str) -> Rule | None:
    """Return the row that decides, the most particular one first; None means: denied.

    `resource_type` may be `*` for what reaches over all types (transaction, search of everything).
    """
    rows = [rule for rule in RULES if rule.role == role and action in rule.actions]
    exact = [rule for rule in rows if rule.types == resource_type]
    if exact:
        return exact[0]
    if resource_type == "AuditEvent":
        return None
    if resource_type in PUBLISHED:
        rows.sort(key=lambda rule: rule.types != "PUBLISHED")
        rows = [rule for rule in rows if rule.types in ("PUBLISHED", ANY)]
    else:
        rows = [rule for rule in rows if rule.types == ANY]
    return rows[0] if rows else None
