"""CSV extracts: reads a file by the hospital's column map into rows whose fields fit their format."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

import orjson

from front_end_processor.adapters.drop_folder.errors import Unfinished, WrongFile
from front_end_processor.normalise.hl7v2 import times
from front_end_processor.normalise.profile import Profile

_DIGITS = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,8})?", re.ASCII)
_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_FREE = frozenset({"text", "code", "list", "coded"})
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
# What the hospital counts its patients, visits and documents by stays as it is: other inlets bring it too.
_NUMBER = re.compile(r"_no$|phone$|^merged_into$|^refund_of$|^replaces$")
MAX_FIELD = 1024 * 1024


class Column(NamedTuple):
    """One column of the canonical layout: its name, Chinese header, format, and whether it must be filled."""

    name: str
    zh: str
    format: str
    required: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One row: canonical column -> checked value, the line it begins on, and its text as it came.

    Dates are FHIR dates, instants FHIR dateTimes, codes canonical where known; warnings name what was not.
    """

    values: Mapping[str, str]
    line: int
    text: str
    warnings: tuple[str, ...] = ()

    def __getitem__(self, column: str) -> str:
        """Return a field; empty if it is empty or the hospital does not send the column."""
        return self.values.get(column, "")

    def number(self, column: str) -> orjson.Fragment | None:
        """Return a number with the digits that were sent."""
        value = self[column]
        return orjson.Fragment(value) if value else None

    def instant(self, column: str) -> datetime:
        """Return a datetime column as an aware datetime."""
        return datetime.fromisoformat(self[column])


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be taken, and why, without its values."""

    line: int
    text: str
    reason: str


@dataclass(slots=True)
class Extract:
    """One file as read."""

    kind: str
    charset: str
    header: str
    rows: list[Row] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)


@lru_cache(maxsize=1)
def layouts() -> Mapping[str, tuple[Column, ...]]:
    """Return the canonical columns of each kind of file, as docs/interfaces-csv.md lists them."""
    text = resources.files("front_end_processor.normalise").joinpath("csv_layouts.csv").read_text("utf-8")
    found: dict[str, list[Column]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        column = Column(row["column"], row["zh"], row["format"], row["required"] == "yes")
        found.setdefault(row["kind"], []).append(column)
    return {kind: tuple(columns) for kind, columns in found.items()}


def kind_of(name: str) -> str:
    """Return the kind of a file by its name (`laboratory-20260401-01.csv`). Raises: WrongFile."""
    base = name.lower()
    for kind in layouts():
        if base == f"{kind}.csv" or (base.startswith((f"{kind}-", f"{kind}_")) and base.endswith(".csv")):
            return kind
    raise WrongFile(
        f"The name says no kind; name it <kind>-<yyyymmdd>-<nn>.csv, kind one of {', '.join(layouts())}."
    )


def delimiter_of(profile: Profile) -> str:
    """Return what parts the fields of the hospital's files."""
    return str(profile.csv.get("delimiter") or ",")


def own_charset(profile: Profile) -> str:
    """Return the character set that the hospital says its files are in."""
    return str(profile.csv.get("charset") or profile.default_charset).lower()


def decode(raw: bytes, profile: Profile) -> tuple[str, str]:
    """Return the text of a file and the character set it is in. Raises: WrongFile."""
    own = own_charset(profile)
    for charset in dict.fromkeys(
        ("utf-8-sig" if raw.startswith(b"\xef\xbb\xbf") else "utf-8", own, "gb18030")
    ):
        try:
            return raw.decode(charset), charset
        except (UnicodeDecodeError, LookupError):
            continue
    raise WrongFile(f"The file is neither UTF-8 nor {own}; write it in one character set.")


def read(raw: bytes, kind: str, profile: Profile) -> Extract:
    """Return the rows of a file.

    Raises: WrongFile if the character set or the header is wrong, with the missing columns named;
        Unfinished if the file ends in the middle of a row.
    """
    text, charset = decode(raw, profile)
    if not text.strip():
        raise Unfinished("The file is empty; write it as .part and rename it when it is complete.")
    records = _records(text, delimiter_of(profile))
    _, header, header_text = next(records)
    places = _places(header, kind, profile)
    extract = Extract(kind, charset, header_text)
    last_is_short = False
    checks = _checks(kind, profile)
    for line, fields, record in records:
        if not any(value.strip() for value in fields):
            continue
        last_is_short = len(fields) < len(header)
        if len(fields) != len(header):
            reason = f"has {len(fields)} fields, the header has {len(header)}"
            extract.bad.append(BadRow(line, record, reason))
            continue
        _take(extract, checks, {name: fields[place].strip() for name, place in places.items()}, line, record)
    if last_is_short or not text.endswith(("\n", "\r")):
        raise Unfinished
    return extract


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str], str]]:
    """Yield (line, fields, text as it came) of each record."""
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(iter(lines), delimiter=delimiter)
    begin = 0
    csv.field_size_limit(MAX_FIELD)
    try:
        for fields in reader:
            yield begin + 1, fields, "".join(lines[begin : reader.line_num])
            begin = reader.line_num
    except csv.Error:
        raise WrongFile(
            f"Line {begin + 1} is not CSV; quote fields that hold commas, quotes or line ends."
        ) from None


def _places(header: Sequence[str], kind: str, profile: Profile) -> dict[str, int]:
    """Return where each canonical column stands. Raises: WrongFile with the missing columns named."""
    found = {
        name.strip().strip("\ufeff").casefold(): place for place, name in reversed(list(enumerate(header)))
    }
    own = _own_headers(kind, profile)
    places, missing = {}, []
    for column in layouts()[kind]:
        wanted = [own.get(column.name, ""), column.name, column.zh]
        place = next((found[name.casefold()] for name in wanted if name and name.casefold() in found), None)
        if place is not None:
            places[column.name] = place
        elif column.required:
            missing.append(f"{column.name} ({own.get(column.name) or column.zh})")
    if missing:
        raise WrongFile(
            f"The header of a {kind} file lacks the columns {', '.join(missing)}; see docs/interfaces-csv.md."
        )
    return places


def _own_headers(kind: str, profile: Profile) -> dict[str, str]:
    """Return the headers that the hospital's profile names, those of one kind over those of all."""
    headers = profile.csv.get("headers") or {}
    if not isinstance(headers, Mapping):
        return {}
    special = headers.get(kind)
    return {
        **{name: text for name, text in headers.items() if isinstance(text, str)},
        **(special if isinstance(special, Mapping) else {}),
    }


@dataclass(frozen=True, slots=True)
class _Check:
    """How one column is read."""

    column: Column
    codes: Mapping[str, str] | None
    is_code: bool


def _checks(kind: str, profile: Profile) -> tuple[tuple[_Check, ...], Profile]:
    own = profile.csv.get("codes") or {}
    checks = []
    for column in layouts()[kind]:
        is_coded = column.format not in _FREE | _PARSERS.keys()
        codes = (
            {str(k).casefold(): str(v) for k, v in (own.get(column.format) or {}).items()}
            if is_coded
            else None
        )
        is_code = column.format not in {"text", "list"} and not _NUMBER.search(column.name)
        checks.append(_Check(column, codes, is_code))
    return tuple(checks), profile


def _take(
    extract: Extract, checks: tuple[tuple[_Check, ...], Profile], sent: dict[str, str], line: int, record: str
) -> None:
    values: dict[str, str] = {}
    warnings: list[str] = []
    faults: list[str] = []
    for check in checks[0]:
        name, value = check.column.name, sent.get(check.column.name, "")
        if not value.isprintable() and (cleaned := _CONTROL.sub(" ", value).strip()) != value:
            warnings.append(f"{name}: control characters are replaced by blanks")
            value = cleaned
        if check.is_code and not value.isalnum():  # FHIR R4 datatypes.html#code: single blanks
            value = " ".join(value.split())
        if check.codes is not None:
            value = check.codes.get(value.casefold(), value)
            if value and value not in CANONICAL.get(check.column.format, ()):
                warnings.append(f"{name}: code is not in the set {check.column.format}, kept as it came")
        if not value:
            if check.column.required:
                faults.append(f"{name} ({check.column.zh}) is empty")
            continue
        parse = _PARSERS.get(check.column.format)
        if parse is not None:
            parsed = parse(value, checks[1])
            if parsed is None:
                faults.append(f"{name} ({check.column.zh}) is no {_SAID[check.column.format]}")
                continue
            value = parsed
        values[name] = value
    if faults:
        extract.bad.append(BadRow(line, record, "; ".join(faults)))
        return
    extract.rows.append(Row(values, line, record, tuple(warnings)))


def _date(value: str, profile: Profile) -> str | None:
    moment = _moment(value, profile, "date")
    return moment.date if moment and len(moment.date) == 10 and _is_plausible(moment.date) else None


def _datetime(value: str, profile: Profile) -> str | None:
    moment = _moment(value, profile, "datetime")
    if moment is None or moment.instant is None or not _is_plausible(moment.date):
        return None
    instant = moment.instant
    shift = instant.utcoffset() or timedelta()
    if shift.seconds % 60:  # local mean time of long ago: FHIR has no seconds in an offset
        instant = instant.replace(tzinfo=timezone(timedelta(minutes=shift // timedelta(minutes=1))))
    return instant.isoformat()


def _moment(value: str, profile: Profile, kind: str) -> times.Moment | None:
    moment = times.parse(value, profile.zone)
    own = profile.csv.get(kind)
    if moment is None and own:
        try:
            parsed = datetime.strptime(value, str(own)).replace(tzinfo=profile.zone)
        except ValueError:
            return None
        return times.parse(parsed.strftime("%Y%m%d%H%M%S"), profile.zone)
    return moment


def _is_plausible(day: str) -> bool:
    return date(1850, 1, 1) <= date.fromisoformat(day) <= date(2200, 1, 1)


def _decimal(value: str, _profile: Profile) -> str | None:
    plain = value.replace(",", "") if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", value) else value
    return plain if _DIGITS.fullmatch(plain) else None


def _integer(value: str, _profile: Profile) -> str | None:
    return str(int(value)) if _INTEGER.fullmatch(value) else None


_PARSERS = {"date": _date, "datetime": _datetime, "decimal": _decimal, "money": _decimal, "integer": _integer}
_SAID = {
    "date": "date that exists",
    "datetime": "date and time that exists",
    "decimal": "number",
    "money": "amount",
    "integer": "whole number",
}

# The canonical codes of each code set, as docs/interfaces-csv.md lists them.
CANONICAL: Mapping[str, frozenset[str]] = {
    name: frozenset(codes.split())
    for name, codes in {
        "sex": "1 2 0 9",
        "id_type": "resident_id passport permit_hmt foreign_pr birth_certificate officer",
        "relation": "spouse child parent other",
        "record_status": "normal merged withdrawn",
        "visit_type": "outpatient emergency inpatient examination",
        "visit_status": "in_progress finished cancelled",
        "exam_type": "imaging ultrasound ecg endoscopy physical vital_signs",
        "flag": "N H L HH LL A",
        "result_status": "final corrected withdrawn",
        "charge_status": "normal refund",
        "settlement_status": "normal reversal reissue",
        "total_kind": "patients visits laboratory examinations charges settlements",
    }.items()
}
