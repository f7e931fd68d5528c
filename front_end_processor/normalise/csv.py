"""CSV extracts -> entries per patient and source time; docs/interfaces-csv.md lists the files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from esb.errors import Issue, NotValid
from esb.fhir.bundles import transaction
from esb.fhir.lexemes import dumps
from front_end_processor.normalise.csv_money import charges, control_totals, settlements
from front_end_processor.normalise.csv_people import patients, visits
from front_end_processor.normalise.csv_results import examinations, laboratory
from front_end_processor.normalise.csv_rows import Extract, Row
from front_end_processor.normalise.csv_values import Draft
from front_end_processor.normalise.fhir_ids import Resolve
from front_end_processor.normalise.ids import Ids
from front_end_processor.normalise.model import Normalised
from front_end_processor.normalise.profile import Profile

SENDER = "files"
ROWS_PER_MESSAGE = 1000

MAPPINGS: Mapping[str, Callable[[Draft, Sequence[Row]], None]] = {
    "patients": patients,
    "visits": visits,
    "laboratory": laboratory,
    "examinations": examinations,
    "charges": charges,
    "settlements": settlements,
    "control_totals": control_totals,
}
# The column by which a later row of the same thing is told from an earlier one.
SOURCE_TIME: Mapping[str, str] = {"control_totals": "generated_at"}
UPDATED = "updated_at"


@dataclass(frozen=True, slots=True)
class CsvMade:
    """What rows became: entries, and names to remember."""

    entries: Sequence[Normalised]
    aliases: Sequence[tuple[str, str, str]]


def normalise_csv(
    extract: Extract, profile: Profile, ids: Ids, resolve: Resolve, *, control_id: str, now: datetime
) -> CsvMade:
    """Return what the rows of an extract become: an entry per patient and source time, oldest first.

    Raises: NotValid with the line and reason of each row that cannot be taken.
    """
    if extract.bad:
        raise NotValid(issues=[Issue(f"line {bad.line}", bad.reason, "value") for bad in extract.bad])
    remembered: dict[tuple[str, str], str] = {}
    entries, aliases = [], []

    def known(type_: str, local: str) -> str | None:
        return remembered.get((type_, local)) or resolve(type_, local)

    for (patient_no, source_at), rows in groups(extract, now).items():
        draft = Draft(profile, ids, known, patient_no)
        MAPPINGS[extract.kind](draft, rows)
        remembered |= {(type_, local): id_ for type_, local, id_ in draft.aliases}
        aliases += draft.aliases
        warnings = dict.fromkeys([*draft.warnings, *(text for row in rows for text in row.warnings)])
        entries.append(
            Normalised(
                kind=f"CSV {extract.kind}",
                sender=SENDER,
                control_id=control_id,
                source_at=source_at,
                patient_key=patient_no,
                bundle=dumps(transaction(draft.entries())),
                charset=extract.charset,
                warnings=tuple(warnings),
            )
        )
    return CsvMade(entries, aliases)


def groups(extract: Extract, now: datetime) -> dict[tuple[str, datetime], list[Row]]:
    """Return the rows by patient number and source time, oldest first."""
    column = SOURCE_TIME.get(extract.kind, UPDATED)
    found: dict[tuple[str, datetime], list[Row]] = {}
    for row in extract.rows:
        found.setdefault((row["patient_no"], row.instant(column) if row[column] else now), []).append(row)
    return dict(sorted(found.items(), key=lambda item: item[0][1]))


def parts(extract: Extract, now: datetime) -> list[Extract]:
    """Return an extract in parts of about ROWS_PER_MESSAGE rows; what belongs to one entry stays together."""
    found: list[Extract] = []
    for rows in groups(extract, now).values():
        if not found or len(found[-1].rows) + len(rows) > ROWS_PER_MESSAGE:
            found.append(Extract(extract.kind, extract.charset, extract.header))
        found[-1].rows += rows
    return found


def halves(extract: Extract, now: datetime) -> list[Extract]:
    """Return a part in two, between entries; nothing where it is one entry."""
    found = list(groups(extract, now).values())
    middle = len(found) // 2
    return [
        Extract(extract.kind, extract.charset, extract.header, [row for rows in half for row in rows])
        for half in (found[:middle], found[middle:])
        if middle
    ]


def text_of(extract: Extract) -> bytes:
    """Return the rows of an extract as a file of its own: the header and the rows as they came."""
    end = "" if extract.header.endswith(("\n", "\r")) else "\n"
    lines = [row.text for row in extract.rows] + [bad.text for bad in extract.bad]
    ended = (line if line.endswith(("\n", "\r")) else line + "\n" for line in lines)
    whole = extract.header + end + "".join(ended)
    return whole.encode(extract.charset)
