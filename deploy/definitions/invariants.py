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
    "rqg-1": "resource.exists() xor action.exists()",
    "ras-2": "probability.empty() or probability <= 100",
    "nsd-1": "kind != 'root' or uniqueId.where(type = 'uuid').empty()",
    "trd-3": "(type = 'named-event' implies name.exists()) and (type = 'periodic' implies timing.exists())"
    " and (type in ('data-changed' | 'data-added' | 'data-modified' | 'data-removed' | 'data-accessed' |"
    " 'data-access-ended') implies data.exists())",
}
# Stated of a type, about each element at a path below it: (path, the same in words that JSON Schema has).
MOVED = {
    "mea-1": (
        "Measure.group.stratifier",
        "(code.exists() or description.exists() or criteria.exists()) xor component.exists()",
    ),
    "mrp-2": ("MeasureReport.group.stratifier.stratum", "value.exists() xor component.exists()"),
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
        "CapabilityStatement cpb-7",
        "CapabilityStatement.rest cpb-9",
        "CapabilityStatement.rest.resource cpb-12",
        "CareTeam.participant ctm-1",
        "CodeSystem csd-1",
        "MedicationDispense mdd-1",
        "MessageDefinition.focus md-1",
        "MolecularSequence.referenceSeq msq-6",
        "NamingSystem nsd-2",
        "Observation obs-7",
        "Questionnaire que-2",
        "Questionnaire.item.enableWhen que-7",
        "Reference ref-1",
        "RiskAssessment.prediction.probability[x] ras-1",
        "TerminologyCapabilities.codeSystem tcp-1",
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
            if f"{path} {constraint.key}" not in BY_RESOURCE:
                self.left_out[f"{path} {constraint.key}"] = constraint.human

    def _human(self, key: str) -> str:
        """Return what the type on top of a moved invariant's path says of it."""
        stated = self._definitions.constraints[MOVED[key][0].partition(".")[0]]
        return next(constraint.human for constraint in stated if constraint.key == key)

    def rules(self, path: str, constraints: tuple[Constraint, ...]) -> list[Schema]:
        """Return the rules for what stands at a path (a type, or an element with children)."""
        found = []
        moved = [
            Constraint(key, self._human(key), expression)
            for key, (at, expression) in MOVED.items()
            if at == path
        ]
        for constraint in (*constraints, *moved):
            if constraint.key in MOVED and constraint not in moved:
                continue
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
