"""The topics one can subscribe to, as data (HL7 Subscriptions R5 Backport IG 1.1, for R4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Resource = dict[str, Any]
# Says whether a version is an event, given the version before it (None for the first).
Change = Callable[[Resource | None, Resource], bool]

BASE = "urn:hie:topic:"
FINAL = frozenset({"final", "amended", "corrected", "appended"})


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic.

    url: its canonical. filters: search parameters that narrow it. needs: the one that must be given.
    """

    url: str
    title: str
    types: tuple[str, ...]
    is_event: Change
    filters: tuple[str, ...]
    needs: str | None = None


def _any(before: Resource | None, now: Resource) -> bool:
    return True


def _becomes(*statuses: str) -> Change:
    """Say of a version that it has one of the statuses and the one before had none of them."""
    wanted = frozenset(statuses)

    def is_event(before: Resource | None, now: Resource) -> bool:
        return now.get("status") in wanted and (before is None or before.get("status") not in wanted)

    return is_event


TOPICS = {
    topic.url: topic
    for topic in (
        Topic(
            BASE + "patient-record-changed",
            "Something in a patient's record was written",
            (
                "Patient",
                "Encounter",
                "Condition",
                "AllergyIntolerance",
                "Observation",
                "DiagnosticReport",
                "MedicationRequest",
                "MedicationStatement",
                "Immunization",
                "Procedure",
                "DocumentReference",
                "ServiceRequest",
            ),
            _any,
            ("patient", "_id"),
            needs="patient",
        ),
        Topic(
            BASE + "encounter-start",
            "An encounter begins",
            ("Encounter",),
            _becomes("in-progress"),
            ("patient", "class", "service-provider"),
        ),
        Topic(
            BASE + "encounter-end",
            "An encounter is finished",
            ("Encounter",),
            _becomes("finished"),
            ("patient", "class", "service-provider"),
        ),
        Topic(
            BASE + "result-final",
            "A report becomes final, or a final one is corrected",
            ("DiagnosticReport",),
            lambda before, now: now.get("status") in FINAL,
            ("patient", "category", "code"),
        ),
    )
}
