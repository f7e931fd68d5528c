"""TXA with OBX -> DocumentReference with its content (HL7 v2.8 ch. 9)."""

from __future__ import annotations

from front_end_processor.adapters.hl7v2.er7 import Segment
from front_end_processor.adapters.hl7v2.errors import SEGMENT_SEQUENCE, Unusable
from front_end_processor.normalise.hl7v2 import datatypes as dt
from front_end_processor.normalise.hl7v2 import values
from front_end_processor.normalise.hl7v2.context import Context, Resource
from front_end_processor.normalise.hl7v2.rows import Row, compile_rows, fill

# trigger -> how the document relates to its parent (TXA-13)
RELATED = {
    "MDM^T05": "appends",
    "MDM^T06": "appends",
    "MDM^T09": "replaces",
    "MDM^T10": "replaces",
}
_FORMATS = {"TX": "text/plain", "FT": "text/plain", "TEXT": "text/plain", "IM": "image/jpeg"}
_AVAILABILITY = {"OB": "superseded", "CA": "entered-in-error", "DE": "entered-in-error"}

DOCUMENT = (
    Row("TXA-2", "type", dt.concept("document_type")),
    Row("TXA-6", "date", dt.instant),
    Row("TXA-4", "context.period.start", dt.date_time),
    Row("TXA-9", "author[]", dt.practitioners),
    Row("TXA-5", "author[]", dt.practitioners),
    Row("TXA-22", "authenticator", dt.practitioner_field),
    Row("TXA-17", "docStatus", dt.code("document_status")),
    Row("TXA-25", "description", dt.text),
)
_DOCUMENT = compile_rows(DOCUMENT)


def _number(segment: Segment, field: int) -> str:
    """Return a document number: an EI whose first part may be empty."""
    repeat = segment.first(field)
    return (repeat.whole(1) or repeat.whole(3) or repeat.whole(2)) if repeat else ""


def documents(ctx: Context) -> None:
    """TXA with the OBX after it -> DocumentReference. Raises: Unusable without TXA."""
    txa = ctx.message.first("TXA")
    if txa is None:
        raise Unusable("The message has no TXA segment.", condition=SEGMENT_SEQUENCE, location="TXA^1")
    number = _number(txa, 12) or _number(txa, 15) or _number(txa, 14)
    if not number:
        ctx.warn("TXA-12: no document number, the message's own is used")
        number = f"message:{ctx.message.msh.get(10)}"
    resource: Resource = {
        "resourceType": "DocumentReference",
        "id": ctx.ids.of("DocumentReference", number),
        "identifier": [ctx.identifier("document", number)],
        "status": "entered-in-error"
        if ctx.event == "MDM^T11"
        else _AVAILABILITY.get(txa.get(19).upper(), "current"),
        "subject": ctx.patient,
    }
    fill(ctx, txa, resource, _DOCUMENT)
    if "date" not in resource:
        written = ctx.instant(txa, 7) or ctx.instant(txa, 4)
        if written:
            resource["date"] = written
    if not resource.get("author"):
        resource.pop("author", None)
    if ctx.encounter is not None:
        resource.setdefault("context", {})["encounter"] = [ctx.encounter]
    parent, relation = _number(txa, 13), RELATED.get(ctx.event)
    if parent and relation and parent != number:
        target = {"reference": f"DocumentReference/{ctx.ids.of('DocumentReference', parent)}"}
        resource["relatesTo"] = [{"code": relation, "target": target}]
    resource["content"] = _contents(ctx, txa)
    ctx.add(resource)


def _contents(ctx: Context, txa: Segment) -> list[Resource]:
    """Return the files of the document; its text rows are one file. Without OBX only what it is called."""
    title = txa.get(16) or txa.get(25) or txa.get(2, 2) or txa.get(2)
    lines: list[str] = []
    files: list[Resource] = []
    started = False
    for segment in ctx.message.segments:
        started = started or segment.name == "TXA"
        if not started or segment.name != "OBX":
            continue
        if segment.get(2).upper() in ("ED", "RP"):
            found = values.attachment(ctx, segment)
            if found:
                files.append(found)
        else:
            line = segment.text(5)
            if line:
                lines.append(line)
    if lines:
        text = "\n".join(lines)
        attachment: Resource = {
            "contentType": "text/plain; charset=utf-8",
            "data": dt.to_base64(text.encode()),
        }
        if title:
            attachment["title"] = title
        files.insert(0, attachment)
    if not files:
        files = [{"contentType": _FORMATS.get(txa.get(3).upper(), "application/octet-stream")}]
        if title:
            files[0]["title"] = title
    return [{"attachment": one} for one in files]
