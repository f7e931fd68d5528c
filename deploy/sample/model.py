"""What happens to a person in a hospital, before any hospital's make gives it a form."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime

from deploy.sample.clinic.staff import Doctor
from deploy.sample.names import Name
from deploy.sample.people import Person


@dataclass(frozen=True, slots=True)
class Event:
    """One thing a hospital sends: when, which hospital, by what road, and the bytes.

    `resources` counts the FHIR resources that arise from it for the first time (updates count nothing).
    """

    at: datetime  # wall clock of the hospital, naive: the hospital's zone is a matter of its profile
    facility: str
    kind: str  # hl7 | fhir | csv
    name: str
    body: bytes
    resources: int = 0


@dataclass(slots=True)
class Known:
    """A person as one hospital wrote them down."""

    person: Person
    facility: str
    number: str
    name: Name
    id_type: str
    id_no: str
    phone: str
    address: str
    born: date | None
    since: datetime
    allergies: list[str] = field(default_factory=list)
    pinyin: bool = False
    merged_into: str = ""
    deceased: datetime | None = None


@dataclass(slots=True)
class Result:
    """One measured or observed value as the hospital prints it."""

    code: str
    name: str
    loinc: str
    value: str
    unit: str
    ucum: str
    low: str
    high: str
    flag: str
    numeric: bool
    status: str = "final"
    number: int = 1

    @property
    def range(self) -> str:
        """Return the reference range as printed."""
        if self.low and self.high:
            return f"{self.low}-{self.high}"
        return f"<{self.high}" if self.high else self.low


@dataclass(slots=True)
class Report:
    """A report with results or narrative; `kind` is laboratory or one of the code set exam_type."""

    kind: str
    number: str
    order: str
    code: str
    name: str
    loinc: str
    ordered: datetime
    collected: datetime
    reported: datetime
    doctor: Doctor
    verifier: Doctor
    results: list[Result] = field(default_factory=list)
    findings: str = ""
    conclusion: str = ""
    abnormal: bool = False
    abnormal_findings: list[str] = field(default_factory=list)
    specimen: str = ""
    specimen_code: str = ""
    specimen_no: str = ""
    site: str = ""
    modality: str = ""
    status: str = "final"
    revisions: list[Report] = field(default_factory=list)  # corrected or withdrawn, later


@dataclass(slots=True)
class Prescription:
    """One drug ordered."""

    number: str
    drug: str  # key of DRUGS
    at: datetime
    packs: int
    days: int
    doctor: Doctor


@dataclass(slots=True)
class Charge:
    """One charge line; price in 1/10000 yuan, amount in fen; a refund is negative and names its line."""

    number: str
    order: str
    code: str
    name: str
    national: str
    category: str
    quantity: str
    unit: str
    price_e4: int
    amount_fen: int
    level: str
    at: datetime
    doctor: Doctor
    refund_of: str = ""
    settlement: str = ""


@dataclass(slots=True)
class Settlement:
    """One settlement; payers in fen by the names of layouts.PAYERS."""

    number: str
    invoice: str
    status: str  # code set settlement_status
    replaces: str
    at: datetime
    total_fen: int
    payers: dict[str, int]
    lines: list[Charge]  # lines that came with it


@dataclass(slots=True)
class Appointment:
    """A booking and what became of it: (at, action), action book | reschedule | cancel."""

    number: str
    start: datetime
    minutes: int
    doctor: Doctor
    steps: list[tuple[datetime, str, datetime]]  # when, action, start it gives


@dataclass(slots=True)
class Visit:
    """One visit with all that came of it."""

    known: Known
    number: str
    kind: str  # code set visit_type
    start: datetime
    end: datetime | None
    doctor: Doctor
    bed: str
    complaint: str
    diagnoses: list[tuple[str, str]]
    reports: list[Report] = field(default_factory=list)
    prescriptions: list[Prescription] = field(default_factory=list)
    charges: list[Charge] = field(default_factory=list)
    settlements: list[Settlement] = field(default_factory=list)
    appointment: Appointment | None = None
    summary: str = ""
    summary_no: str = ""
    transfer: tuple[datetime, str] | None = None  # when, new bed
    cancelled: datetime | None = None
    operation: tuple[str, str] | None = None
    died: bool = False

    @property
    def facility(self) -> str:
        """Return the hospital's code."""
        return self.known.facility


@dataclass(frozen=True, slots=True)
class Change:
    """Something about a registration: register, update or merge (of `old` into `known`)."""

    at: datetime
    action: str
    known: Known
    old: Known | None = None


@dataclass(slots=True)
class Life:
    """What a person's years brought: registrations, changes, visits, all in the order of making."""

    person: Person
    changes: list[Change] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
