"""Control totals: what each hospital says it recorded, by day and kind; a month to a file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, time

from deploy.sample.csv_files import encode, yuan
from deploy.sample.ids import facility_index
from deploy.sample.model import Change, Event, Visit


class Totals:
    """Counts of everything made, by hospital, day, kind and invoice category."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, date, str, str], list[int]] = defaultdict(lambda: [0, 0])

    def _add(self, facility: str, day: date, kind: str, category: str = "", fen: int = 0) -> None:
        entry = self._counts[facility, day, kind, category]
        entry[0] += 1
        entry[1] += fen

    def change(self, change: Change) -> None:
        """Count a registration."""
        if change.action == "register":
            self._add(change.known.facility, change.at.date(), "patients")

    def visit(self, visit: Visit) -> None:
        """Count a visit with its reports, charge lines and settlements."""
        facility = visit.facility
        if visit.cancelled:
            return
        self._add(facility, visit.start.date(), "visits")
        for report in visit.reports:
            kind = "laboratory" if report.kind == "laboratory" else "examinations"
            self._add(facility, report.reported.date(), kind)
        by_category = facility_index(facility) == 4
        for line in visit.charges:
            for category in ("", line.category) if by_category else ("",):
                self._add(facility, line.at.date(), "charges", category, line.amount_fen)
        for settlement in visit.settlements:
            self._add(facility, settlement.at.date(), "settlements", "", settlement.total_fen)

    def events(self, today: date) -> Iterator[Event]:
        """Yield the control-total files, counted on the reference date."""
        at = datetime.combine(today, time(23, 59))
        files: dict[tuple[str, str], list[dict[str, object]]] = defaultdict(list)
        for (facility, day, kind, category), (count, fen) in sorted(self._counts.items()):
            money = kind in ("charges", "settlements")
            files[facility, f"{day:%Y%m}"].append(
                {
                    "accounting_date": day,
                    "total_kind": kind,
                    "category_code": category,
                    "item_count": count,
                    "amount": yuan(fen) if money else "",
                    "generated_at": at,
                }
            )
        for (facility, _), rows in sorted(files.items()):
            last = max(str(row["accounting_date"]) for row in rows).replace("-", "")
            body = encode(facility, "control_totals", rows)
            yield Event(at, facility, "csv", f"control_totals-{last}-01.csv", body, len(rows))
