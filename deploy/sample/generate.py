"""The province as a stream: what its hospitals would send, cohort by cohort, each in time order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import count

from deploy.sample import csv_files, ids
from deploy.sample.csv_files import Extracts
from deploy.sample.events.life import life
from deploy.sample.fhir import messages as fhir
from deploy.sample.hl7v2 import messages as hl7
from deploy.sample.model import Change, Event, Visit
from deploy.sample.people import Person, block
from deploy.sample.totals import Totals

TODAY = date(2026, 11, 1)
YEARS = 3
COHORT = 2_000  # people made and sorted together: the memory needed does not grow with the province
PERIOD_DAYS = 7  # one extract a week
HOSPITALS = ("H01", "H02", "H03", "H04", "H05")


def people(number: int, seed: int, today: date = TODAY, first: int = 0) -> Iterator[Person]:
    """Yield people `first` to `number`; a person is the same however many others are made."""
    if number > ids.LIMIT:
        raise ValueError(f"the province has numbers for {ids.LIMIT} people, not for {number}")
    for block_number in range(first // ids.BLOCK, -(-number // ids.BLOCK)):
        for person in block(seed, block_number, today):
            if first <= person.number < number:
                yield person


def province(
    number: int,
    seed: int = 1,
    hospitals: Sequence[str] = HOSPITALS,
    today: date = TODAY,
    years: int = YEARS,
) -> Iterator[Event]:
    """Yield what the hospitals would send about so many people.

    The people come in cohorts of 2,000: within a cohort all events are in time order, and one person's events
    always are. The control totals of all days come last, counted on the reference date.
    """
    totals = Totals()
    for serial, first in enumerate(range(0, number, COHORT), start=1):
        extracts = Extracts(today - timedelta(days=366 * years + 30), today, PERIOD_DAYS, serial)
        events: list[Event] = []
        for person in people(min(first + COHORT, number), seed, today, first):
            story = life(person, seed, hospitals, today, years)
            serials = count(1)
            for change in story.changes:
                totals.change(change)
                events += _change(change, next(serials), extracts)
            for visit in story.visits:
                totals.visit(visit)
                events += _visit(visit, extracts)
        events += extracts.events()
        events.sort(key=lambda e: (e.at, e.facility, e.name))
        yield from events
    yield from totals.events(today)


def _change(change: Change, serial: int, extracts: Extracts) -> Iterator[Event]:
    """Yield or collect a registration by the make of the hospital."""
    make = ids.facility_index(change.known.facility)
    if make == 3:
        yield from fhir.change(change, serial)
    elif make == 4:
        csv_files.registration(change, extracts)
    else:
        yield from hl7.change(change, serial)


def _visit(visit: Visit, extracts: Extracts) -> Iterator[Event]:
    """Yield or collect a visit by the make of the hospital."""
    make = ids.facility_index(visit.facility)
    if make == 3:
        writer = fhir.VisitWriter(visit)
        yield from writer.visits()
        yield from writer.clinical()
        yield from writer.charges()
        return
    if make == 4:
        csv_files.visit(visit, extracts)
        csv_files.charges(visit, extracts)
    elif make == 5:  # a mixture: visits by HL7 v2, results by FHIR, money by files
        yield from hl7.VisitWriter(visit).visits()
        yield from fhir.VisitWriter(visit).clinical()
        csv_files.charges(visit, extracts)
    else:
        v2 = hl7.VisitWriter(visit)
        yield from v2.visits()
        yield from v2.clinical()
        yield from v2.charges()
    csv_files.settlements(visit, extracts)
