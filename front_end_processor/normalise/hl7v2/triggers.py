"""Which HL7 v2 messages are taken and what becomes of each: the table behind docs/interfaces-hl7v2.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from front_end_processor.normalise.hl7v2 import (
    charges,
    clinical,
    documents,
    encounter,
    immunizations,
    medications,
    orders,
    patient,
    results,
    scheduling,
)
from front_end_processor.normalise.hl7v2.context import Context
from front_end_processor.normalise.hl7v2.rows import Row


class Step(NamedTuple):
    """One builder: what it does, which resources it makes, from which field maps (type -> rows)."""

    run: Callable[[Context], None]
    resources: tuple[str, ...]
    maps: tuple[tuple[str, tuple[Row, ...]], ...] = ()


_PATIENT_MAPS = (
    ("Patient", patient.PATIENT),
    ("Patient", patient.PRIMARY_CARE),
    ("Patient.contact", patient.CONTACT),
)
_VISIT_MAPS = (("Encounter", encounter.VISIT), ("Encounter", encounter.MORE))
_RESULT_MAPS = (("DiagnosticReport", results.REPORT), ("Observation", results.OBSERVATION))
_OBSERVATION_MAPS = (("Observation", results.OBSERVATION),)

STEPS: Mapping[str, Step] = {
    "patient": Step(patient.owned, ("Patient",), _PATIENT_MAPS),
    "patient?": Step(patient.mentioned, ("Patient",), _PATIENT_MAPS),
    "patient deleted": Step(patient.deleted, ("Patient",), _PATIENT_MAPS),
    "merge": Step(patient.merged, ("Patient", "Binary"), _PATIENT_MAPS),
    "renumber": Step(patient.renumbered, ("Patient", "Binary"), _PATIENT_MAPS),
    "visit": Step(encounter.owned(""), ("Encounter",), _VISIT_MAPS),
    **{
        f"visit {status}": Step(encounter.owned(status), ("Encounter",), _VISIT_MAPS)
        for status in ("planned", "in-progress", "onleave", "finished", "cancelled", "entered-in-error")
    },
    "visit?": Step(encounter.mentioned, ("Encounter",), _VISIT_MAPS),
    "diagnoses": Step(clinical.diagnoses, ("Condition",), (("Condition", clinical.DIAGNOSIS),)),
    "problems": Step(clinical.problems, ("Condition",), (("Condition", clinical.PROBLEM_ROWS),)),
    "allergies": Step(
        clinical.allergies,
        ("AllergyIntolerance",),
        (("AllergyIntolerance", clinical.ALLERGY), ("AllergyIntolerance", clinical.ADVERSE_REACTION)),
    ),
    "procedures": Step(clinical.procedures, ("Procedure",), (("Procedure", clinical.PROCEDURE),)),
    "insurance": Step(clinical.coverages, ("Coverage",), (("Coverage", clinical.COVERAGE),)),
    "observations": Step(results.visit_observations, ("Observation",), _OBSERVATION_MAPS),
    "answers": Step(results.order_observations, ("Observation",), _OBSERVATION_MAPS),
    "results": Step(results.reports, ("DiagnosticReport", "Observation", "Specimen"), _RESULT_MAPS),
    "orders": Step(
        orders.service_requests,
        ("ServiceRequest", "Specimen"),
        (
            ("ServiceRequest", orders.ORDER_CONTROL),
            ("ServiceRequest", orders.ORDER),
            ("ServiceRequest", orders.TIMING),
        ),
    ),
    "referral": Step(orders.referrals, ("ServiceRequest",), (("ServiceRequest", orders.REFERRAL),)),
    "drug orders": Step(
        medications.medication_requests,
        ("MedicationRequest",),
        (
            ("MedicationRequest", medications.REQUESTED),
            ("MedicationRequest", medications.ENCODED),
            ("MedicationRequest", medications.ORDER_CONTROL),
            ("MedicationRequest.dosageInstruction", medications.ROUTE),
        ),
    ),
    "administrations": Step(
        medications.administrations,
        ("MedicationAdministration",),
        (("MedicationAdministration", medications.ADMINISTERED),),
    ),
    "dispenses": Step(
        medications.dispenses, ("MedicationDispense",), (("MedicationDispense", medications.DISPENSED),)
    ),
    "appointment": Step(
        scheduling.appointments,
        ("Appointment",),
        (("Appointment", scheduling.SCHEDULE), ("Appointment", scheduling.SERVICE)),
    ),
    "charges": Step(charges.charge_items, ("ChargeItem",), (("ChargeItem", charges.LINE),)),
    "document": Step(
        documents.documents, ("DocumentReference",), (("DocumentReference", documents.DOCUMENT),)
    ),
    "vaccinations": Step(
        immunizations.immunizations,
        ("Immunization",),
        (("Immunization", immunizations.VACCINATION), ("Immunization", immunizations.ROUTE)),
    ),
}


class Trigger(NamedTuple):
    """What a trigger means, and the builders that run for it, in order."""

    title: str
    steps: tuple[str, ...]

    @property
    def resources(self) -> tuple[str, ...]:
        """The resource types that can arise, in order."""
        return tuple(dict.fromkeys(r for step in self.steps for r in STEPS[step].resources))

    @property
    def needs_visit(self) -> bool:
        """Whether the event is about a visit, so that a message without PV1 is not whole."""
        return any(step.startswith("visit") and not step.endswith("?") for step in self.steps)


_CLINICAL = ("diagnoses", "allergies", "procedures", "insurance", "observations")
_MENTIONED = ("patient?", "visit?")


def _adt(title: str, status: str = "") -> Trigger:
    return Trigger(title, ("patient", f"visit {status}".strip(), *_CLINICAL))


def _move(title: str, status: str = "") -> Trigger:
    return Trigger(title, ("patient", f"visit {status}".strip()))


def _siu(title: str) -> Trigger:
    return Trigger(title, (*_MENTIONED, "diagnoses", "appointment"))


def _mdm(title: str) -> Trigger:
    return Trigger(title, (*_MENTIONED, "document"))


_ACCOUNT = (*_MENTIONED, "diagnoses", "procedures", "insurance", "observations")
_ORDER = (*_MENTIONED, "diagnoses", "allergies", "insurance", "orders", "answers", "charges")
_DRUGS = (*_MENTIONED, "diagnoses", "allergies", "insurance", "drug orders", "answers", "charges")
_PROBLEMS = (*_MENTIONED, "problems", "observations")
_REFERRAL = (*_MENTIONED, "referral", *_CLINICAL)
_RESULTS = (*_MENTIONED, "results")

TRIGGERS: Mapping[str, Trigger] = {
    "ADT^A01": _adt("admit, or begin of a visit"),
    "ADT^A02": _move("transfer"),
    "ADT^A03": _adt("discharge, or end of a visit", "finished"),
    "ADT^A04": _adt("register an outpatient or emergency visit"),
    "ADT^A05": _adt("pre-admit", "planned"),
    "ADT^A06": _adt("outpatient becomes inpatient", "in-progress"),
    "ADT^A07": _adt("inpatient becomes outpatient", "in-progress"),
    "ADT^A08": _adt("update patient and visit"),
    "ADT^A09": _move("patient departing"),
    "ADT^A10": _move("patient arriving"),
    "ADT^A11": _move("cancel admit or registration", "cancelled"),
    "ADT^A12": _move("cancel transfer"),
    "ADT^A13": _adt("cancel discharge", "in-progress"),
    "ADT^A14": _adt("pending admit", "planned"),
    "ADT^A15": _move("pending transfer"),
    "ADT^A16": _move("pending discharge"),
    "ADT^A21": _move("goes on leave", "onleave"),
    "ADT^A22": _move("returns from leave", "in-progress"),
    "ADT^A23": _move("delete a visit", "entered-in-error"),
    "ADT^A25": _move("cancel pending discharge"),
    "ADT^A26": _move("cancel pending transfer"),
    "ADT^A27": _move("cancel pending admit", "cancelled"),
    "ADT^A28": Trigger("add a person", ("patient", "visit?", *_CLINICAL)),
    "ADT^A29": Trigger("delete a person", ("patient deleted",)),
    "ADT^A30": Trigger("merge persons", ("merge",)),
    "ADT^A31": Trigger("update a person", ("patient", "visit?", *_CLINICAL)),
    "ADT^A32": _move("cancel patient arriving"),
    "ADT^A33": _move("cancel patient departing"),
    "ADT^A34": Trigger("merge patients (v2.3)", ("merge",)),
    "ADT^A36": Trigger("merge patients and accounts (v2.3)", ("merge",)),
    "ADT^A38": _move("cancel pre-admit", "cancelled"),
    "ADT^A39": Trigger("merge persons", ("merge",)),
    "ADT^A40": Trigger("merge patients", ("merge",)),
    "ADT^A41": _move("merge accounts"),
    "ADT^A44": _move("move an account"),
    "ADT^A45": _move("move a visit"),
    "ADT^A46": Trigger("change the patient number", ("renumber",)),
    "ADT^A47": Trigger("change the patient number", ("renumber",)),
    "ADT^A52": _move("cancel leave", "in-progress"),
    "ADT^A53": _move("cancel return from leave", "onleave"),
    "ADT^A54": _move("change attending doctor"),
    "ADT^A60": Trigger("update allergies", ("patient?", "visit?", "allergies")),
    "ORU^R01": Trigger("results", _RESULTS),
    "ORU^R30": Trigger("results, order to be placed", _RESULTS),
    "ORU^R31": Trigger("results, order to be looked up", _RESULTS),
    "ORU^R32": Trigger("results, pre-ordered", _RESULTS),
    "ORU^W01": Trigger("waveform results", _RESULTS),
    "OUL^R21": Trigger("results, unsolicited", _RESULTS),
    "OUL^R22": Trigger("results by specimen", _RESULTS),
    "OUL^R23": Trigger("results by container", _RESULTS),
    "OUL^R24": Trigger("results by order", _RESULTS),
    "ORM^O01": Trigger("order of any kind", (*_ORDER[:-2], "drug orders", *_ORDER[-2:])),
    "OML^O21": Trigger("laboratory order", _ORDER),
    "OML^O33": Trigger("laboratory order by specimen", _ORDER),
    "OMG^O19": Trigger("general clinical order", _ORDER),
    "OMI^O23": Trigger("imaging order", _ORDER),
    "OMP^O09": Trigger("pharmacy order", _DRUGS),
    "RDE^O01": Trigger("encoded drug order (v2.3)", _DRUGS),
    "RDE^O11": Trigger("encoded drug order", _DRUGS),
    "RDE^O25": Trigger("drug order refilled", _DRUGS),
    "RDS^O01": Trigger("drug dispensed (v2.3)", (*_MENTIONED, "dispenses")),
    "RDS^O13": Trigger("drug dispensed", (*_MENTIONED, "dispenses")),
    "RAS^O01": Trigger("drug given (v2.3)", (*_MENTIONED, "administrations", "answers")),
    "RAS^O17": Trigger("drug given", (*_MENTIONED, "administrations", "answers")),
    "VXU^V04": Trigger(
        "vaccination",
        (*_MENTIONED, "insurance", "vaccinations", "answers"),
    ),
    "SIU^S12": _siu("appointment booked"),
    "SIU^S13": _siu("appointment rescheduled"),
    "SIU^S14": _siu("appointment changed"),
    "SIU^S15": _siu("appointment cancelled"),
    "SIU^S16": _siu("appointment discontinued"),
    "SIU^S17": _siu("appointment deleted"),
    "SIU^S26": _siu("patient did not appear"),
    "DFT^P03": Trigger("charges", (*_ACCOUNT, "charges")),
    "DFT^P11": Trigger("charges, expanded", (*_ACCOUNT, "charges")),
    "BAR^P01": Trigger("account added", (*_ACCOUNT, "allergies")),
    "BAR^P02": Trigger("account purged", _MENTIONED),
    "BAR^P05": Trigger("account updated", (*_ACCOUNT, "allergies")),
    "BAR^P12": Trigger("diagnoses and procedures updated", _ACCOUNT),
    "MDM^T01": _mdm("document notified"),
    "MDM^T02": _mdm("document with content"),
    "MDM^T05": _mdm("addendum notified"),
    "MDM^T06": _mdm("addendum with content"),
    "MDM^T08": _mdm("document edited, with content"),
    "MDM^T09": _mdm("replacement notified"),
    "MDM^T10": _mdm("replacement with content"),
    "MDM^T11": _mdm("document cancelled"),
    "REF^I12": Trigger("referral", _REFERRAL),
    "REF^I13": Trigger("referral changed", _REFERRAL),
    "REF^I14": Trigger("referral cancelled", _REFERRAL),
    "PPR^PC1": Trigger("problem added", _PROBLEMS),
    "PPR^PC2": Trigger("problem updated", _PROBLEMS),
    "PPR^PC3": Trigger("problem deleted", _PROBLEMS),
}
