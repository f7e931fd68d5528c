"""Writes docs/interfaces-hl7v2.md from the tables that the mapping itself runs on.

Run: `python -m front_end_processor.normalise.hl7v2.page > docs/interfaces-hl7v2.md`
"""

# ruff: noqa: E501 - the lines are those of the page
from __future__ import annotations

import sys

from front_end_processor.normalise.hl7v2.rows import Row
from front_end_processor.normalise.hl7v2.triggers import STEPS, TRIGGERS

_HEAD = """# HL7 v2 interface

Generated from the tables the mapping runs on; change those, then run
`python -m front_end_processor.normalise.hl7v2.page > docs/interfaces-hl7v2.md`.

MLLP on the port of `FEP_MLLP`; versions 2.1 to 2.9; one message per frame; acknowledged once it is durable.
Character set: MSH-18, else UTF-8 if the bytes are, else the profile's `charset`. Times without an offset are in
the profile's `zone`. Numbers keep their digits. An unknown code is kept as it came, in the hospital's own
coding system; an impossible date is left out; both give a warning that the console shows.

| answer | when |
|---|---|
| AA (CA) | kept |
| AE (CE) | read, but something needed is missing: no PID, no patient number, no MSH-10, no SCH, TXA or MRG where the event is about it |
| AR (CR) | cannot be read, or its type, event or version is not taken; a broken frame; over the size limit |
| none | the connection is gone; what came of a frame is kept as set aside |

A frame is answered once, whatever MSH-15 and MSH-16 ask for, because an MLLP sender waits for it. A broken frame
is answered as soon as it is known to be broken: at its end, at the next start byte, at the sender's end of
writing, or when its rest stays away for 60 s. MSA-2 is the control id of its header, empty where there is none.

Whose message it is: the number of kind `mrn` in PID-3 (types MR, PI, PT, or none) of the hospital's own authority,
then any of that kind, then PID-2, PID-4. Kinds of numbers: `codes/identifier_type.csv` and the profile's
`authorities`. Ids of resources come from the hospital's own numbers (`normalise/ids.py`), so a correction reaches
what it corrects whatever its position in the message.

**Absent, null, cut.** An absent field says nothing, `""` says that the value is gone (HL7 v2 chapter 2). A snapshot
is believed to be whole. A message about a visit that has no PV1, or whose PID has neither PID-7 nor PID-8, may have
been cut: it gets a warning, makes the Patient where nobody knew it, and else changes only the elements whose
fields it holds (JSON Patch); numbers, and elements that several fields fill, stay unless all of these are there.

**Owned or mentioned.** An event about the patient or the visit writes a full snapshot: what it leaves out is gone.
A message that only mentions them (results, orders, charges) writes them where nothing is known yet, and
nothing else. In the table these are marked with `?`.

## Triggers
| trigger | meaning | resources | built by |
|---|---|---|---|
"""
_FIELDS = """
## Fields
One table per builder; the rows are the maps in `front_end_processor/normalise/hl7v2/`. `[]` means *added to*.
A hospital's own fields of Patient and Encounter (Z segments too) stand in its profile under `hl7v2.fields`.
"""
# what the builders do beyond the rows, by builder
_MORE = {
    "patient": "The Han name first, pinyin second. An old 15-digit resident ID is given in its new form too.",
    "merge": "Survivor: PUT (a mention where PID-7 or PID-8 is empty). Each MRG-1: a mention of that Patient, "
    "then its PATCH: not active, replaced-by the survivor.",
    "renumber": "The new number: PUT. MRG-1: PATCH as in a merge.",
    "patient deleted": "Patient, no longer active.",
    "visit": "Id: PV1-19, else PID-18, else patient and PV1-44; PV1-2 `N` is no visit. Status: finished with "
    "PV1-45, planned if pre-admitted, else in progress; other events say it (`visit finished`). Diagnoses of "
    "the message are linked with role (DG1-6) and rank (DG1-15).",
    "diagnoses": "One per visit and code (DG1-20 wins). DG1-6 gives the verification, DG1-21 `D` takes it back.",
    "allergies": "One per patient and substance. Severity AL1-4, manifestations AL1-5.",
    "results": "Report: filler order and OBR-4; item: filler order, OBX-3, OBX-4. Value by OBX-2 (NM SN CE CWE ST "
    "TX FT DT TM TS DTM DR NR; ED and RP become presentedForm), unit OBX-6 (UCUM where known), status OBX-11 "
    "(empty: unknown, or what the profile says; U, D and W without a value change the status alone), "
    "notes NTE. A report of TX, FT, ED or RP only is text: conclusion and presentedForm. Specimen from SPM, "
    "before v2.5 from OBR-15.",
    "orders": "Known by the placer's number. Status: ORC-1, then ORC-5. Specimen from SPM or OBR-15.",
    "drug orders": "RXE wins over RXO. Dose RXE-3, RXE-5; timing TQ1-3 or RXE-1; supply RXE-10 to RXE-12.",
    "administrations": "Time RXA-3 to RXA-4, dose RXA-6 and RXA-7, status RXA-20.",
    "dispenses": "Quantity RXD-4 and RXD-5, prescription RXD-7.",
    "appointment": "Time TQ1-7, SCH-11 or AIS-4; participants AIP, AIL, AIG; status SCH-25 unless the event says it.",
    "charges": "Id FT1-2. Amount FT1-11 as priceOverride, negative for CD, CR, RF; quantity FT1-10; price of one "
    "FT1-12; category FT1-17, FT1-7 or the table charge_category. Billed with a settlement in FT1-3, else billable. What a refund takes back: FT1-33, or FT1-9.",
    "document": "Id TXA-12. Text rows of OBX are one text file, ED and RP are files. T05, T06 append to TXA-13, "
    "T09, T10 replace it.",
    "vaccinations": "Dose RXA-6 and RXA-7, status RXA-20, route RXR.",
    "referral": "PRD with role RP refers, RT is referred to.",
    "problems": "One per PRB-4. Status PRB-14, PRB-1 `DE` takes it back.",
    "observations": "OBX of the visit (height, weight), by visit, code and sub-id.",
    "answers": "OBX of an order, by order number, code and sub-id.",
}


def render() -> str:
    """Return the page."""
    lines = [_HEAD.rstrip("\n")]
    for kind, trigger in TRIGGERS.items():
        names = ", ".join(name if name != "Binary" else "Patient (PATCH)" for name in trigger.resources)
        lines.append(f"| {kind} | {trigger.title} | {names} | {', '.join(trigger.steps)} |")
    lines.append(_FIELDS)
    seen: set[str] = set()
    for name, step in STEPS.items():
        plain = name.rstrip("?").split(" in-")[0]
        plain = "visit" if plain.startswith("visit") else plain
        if plain in seen:
            continue
        seen.add(plain)
        lines += [f"### {plain}", _MORE.get(plain, ""), ""]
        if step.maps and plain not in ("merge", "renumber", "patient deleted", "answers"):
            lines += ["| field | element |", "|---|---|"]
            lines += [_line(element, row) for element, rows in step.maps for row in rows]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _line(type_: str, row: Row) -> str:
    return f"| {row.source} | {type_}.{row.element} |"


if __name__ == "__main__":
    sys.stdout.write(render())
