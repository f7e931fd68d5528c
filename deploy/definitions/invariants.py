"""Turns the published invariants into rules, and says which stay out (FHIR R4 conformance-rules.html)."""

from __future__ import annotations

from typing import Any

from deploy.definitions.elements import Constraint, Definitions
from deploy.definitions.fhirpath import NotExpressibleError, compile_invariant

Schema = dict[str, Any]

# The same statement in words that JSON Schema has.
REWORDED = {
    "org-1": "identifier.exists() or name.exists()",
    "ipn-1": "identifier.exists() or name.exists()",
    "cpb-2": "description.exists() or software.exists() or implementation.exists()",
    "tcp-2": "description.exists() or software.exists() or implementation.exists()",
    "que-1": "(type = 'group' implies item.exists()) and (type = 'display' implies item.empty())",
}
# Element -> functions in esb/fhir/invariants.py that look at it wherever it stands.
BY_FUNCTION = {
    "Period": ["per-1"],
    "Range": ["rng-2"],
    "Count": ["cnt-3"],
    "Timing.repeat": ["tim-9"],
}
# Checked by the functions of esb/fhir/invariants.py that look at a whole resource.
BY_RESOURCE = frozenset(
    {
        "Bundle bdl-11",
        "Bundle bdl-12",
        "Bundle bdl-3",
        "Bundle bdl-4",
        "Bundle bdl-7",
        "Bundle.entry bdl-8",
        "CareTeam.participant ctm-1",
        "CodeSystem csd-1",
        "MedicationDispense mdd-1",
        "Observation obs-7",
        "Questionnaire que-2",
        "Reference ref-1",
        "Task inv-1",
        "xhtml txt-1",
        "xhtml txt-2",
    }
)


class Invariants:
    """Compiles invariants and remembers what could not be compiled."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self.left_out: dict[str, str] = {}

    def leave_out(self, path: str, constraints: tuple[Constraint, ...]) -> None:
        """Remember invariants that are not checked."""
        for constraint in constraints:
            self.left_out[f"{path} {constraint.key}"] = constraint.human

    def rules(self, path: str, constraints: tuple[Constraint, ...]) -> list[Schema]:
        """Return the rules for what stands at a path (a type, or an element with children)."""
        found = []
        for constraint in constraints:
            expression = REWORDED.get(constraint.key, constraint.expression)
            try:
                rule = compile_invariant(self._definitions, path, expression)
            except NotExpressibleError:
                by_function = BY_FUNCTION.get(path, ())
                if f"{path} {constraint.key}" not in BY_RESOURCE and constraint.key not in by_function:
                    self.left_out[f"{path} {constraint.key}"] = constraint.human
                continue
            found.append({"allOf": [rule], "$comment": f"{constraint.key}: {constraint.human}"})
        return found
