"""Writes docs/interfaces-csv.md: `python -m deploy.sample.layouts_page > docs/interfaces-csv.md`."""

from __future__ import annotations

import sys

from deploy.sample.dialects import CODED_FORMATS, CODES, DIALECTS
from deploy.sample.layouts import CATEGORIES, FORMATS, LAYOUTS, PAYERS

HEAD = """# CSV files of the drop folder

Written by `python -m deploy.sample.layouts_page` from the tables beside it; a test keeps the two alike.

* One file holds rows of one kind: `<kind>-<yyyymmdd>-<nn>.csv`, kind as headed below.
* Written as `<name>.part` and renamed when complete; a `.part` is never read.
* RFC 4180: comma, double quotes where needed, CRLF or LF, one header row. UTF-8 (a byte order mark is
  allowed) or GB18030, by hospital. The header names the columns, so their order does not matter. An unknown
  column is ignored; a missing required column fails the file.
* A row is named by its key and may be sent again: the later `updated_at` wins.
* Afterwards the file is in `done/`, or in `failed/` with a `.reason.txt`. If only some rows were bad, they
  are in `failed/<name>.rejected.csv` with a column `reason` that names every fault of the row.
* A layout's canonical names are the contract. A hospital's column map says which of its headers, date formats
  and codes stand for them; those of the five sample hospitals are in the last sections.
"""


def _head(*names: str) -> str:
    return f"| {' | '.join(names)} |\n{'|---' * len(names)}|"


def page() -> str:
    """Return the whole page."""
    out = [HEAD]
    for layout in LAYOUTS.values():
        out.append(f"\n## {layout.kind} ({layout.zh})\n\n{layout.about}\n\nKey: {', '.join(layout.key)}\n")
        out.append(_head("column", "Chinese header", "H05's header", "format", "required", "meaning"))
        for c in layout.columns:
            must = "yes" if c.required else ""
            out.append(
                f"| `{c.name}` | {c.zh} | {DIALECTS['H05'].header(c)} | {c.format} | {must} | {c.meaning} |"
            )
    out.append("\n## Formats\n\n" + _head("format", "what may stand there"))
    out += [f"| {name} | {text.replace('|', chr(92) + '|')} |" for name, text in FORMATS.items()]
    out.append(
        "\n## Codes\n\n| code set | canonical | meaning | H04 writes | H05 writes |\n|---|---|---|---|---|"
    )
    for code_set in sorted(CODED_FORMATS):
        for code, (meaning, h04, h05) in CODES[code_set].items():
            out.append(f"| {code_set} | `{code}` | {meaning} | {h04 or '(empty)'} | {h05} |")
    out.append("\n## Invoice categories\n\n" + _head("code", "name"))
    out += [f"| {code} | {name} |" for code, name in CATEGORIES.items()]
    out.append(f"\n## Payers\n\n`total_amount` = {' + '.join(f'`{p}`' for p in PAYERS)}.")
    out.append("\n## How the sample hospitals write\n")
    out.append(_head("hospital", "headers", "character set", "date", "time", "codes", "kinds it sends"))
    for d in DIALECTS.values():
        codes = "canonical" if d.codes is None else f"{d.facility}'s own, above"
        headers = {"zh": "Chinese", "vendor": "its vendor's", "canonical": "canonical"}[d.headers]
        row = (d.facility, headers, d.encoding, f"`{d.date}`", f"`{d.datetime}`", codes, ", ".join(d.kinds))
        out.append(f"| {' | '.join(row)} |")
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
