"""Reports and documents as a doctor reads them: imaging, pathology, examinations, discharge letters."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import datetime
from html import unescape

from esb.blobs import URL
from hie.repository.dates import first_of
from hie.services.lookup.codes import code, local_id, words
from hie.services.lookup.corrections import OldValue, fate, old_values
from hie.services.lookup.sources import Holdings, Json
from hie.services.lookup.when import instant, written

# HL7 table 0074, the sections of a laboratory.
LABORATORY = frozenset(
    [
        "LAB",
        "CH",
        "HM",
        "MB",
        "SR",
        "IMM",
        "BG",
        "BLB",
        "CG",
        "CP",
        "GE",
        "HL",
        "ICU",
        "MCB",
        "MYC",
        "OSL",
        "TX",
        "URN",
        "VR",
        "laboratory",
    ]
)
EXAMINATION_WORDS = ("体检", "总检", "健康检查", "examination", "check-up")
READABLE = frozenset({"text/plain", "text/html", "application/xhtml+xml", "text/xml", "application/xml"})
DATES = ("effectiveDateTime", "effectivePeriod", "date", "issued")
# A tag ends before the next one begins: a text of nothing but "<" is read once, not once for each of them.
# It begins with a letter: "PLT <100" is a result.
TAG_BREAK = re.compile(r"</?(?:p|br|div|tr|li|h\d|title|paragraph|item|table|section)\b[^<>]*>", re.I)
TAG = re.compile(r"<(?:/?[a-z]|[!?])[^<>]*>", re.I)
HEADING = re.compile(
    r"[^\s，。；,.;]{0,8}(?:所见|结论|诊断|提示|印象|意见|表现)[:：]?|(?i:findings|impression|conclusion):?"
)
# What a reader does not see, by how it begins: where it ends.
UNSEEN = re.compile(r"<(script|style)\b|<!--", re.I)
UNSEEN_ENDS = {
    "script": re.compile(r"</script[^<>]*>", re.I),
    "style": re.compile(r"</style[^<>]*>", re.I),
    "": re.compile("-->"),
}


@dataclass(frozen=True, slots=True)
class Report:
    """A report or document of one hospital.

    `kind` is laboratory, imaging, examination or document. `parts` are (heading, text) where heading is
    "findings", "conclusion", "" or the hospital's own. `result_ids` are its results.
    """

    id: str
    type: str
    kind: str
    name: str
    at: datetime
    at_text: str
    facility: str
    author: str
    fate: str
    parts: tuple[tuple[str, str], ...]
    old: tuple[OldValue, ...]
    encounter: str
    result_ids: tuple[str, ...]
    attachment: str


def reports(holdings: Holdings) -> list[Report]:
    """Return the reports and documents, the newest first; what a hospital deleted is kept as withdrawn."""
    made = [_of_report(resource, holdings) for resource in holdings.of("DiagnosticReport")]
    made += [_of_document(resource, holdings) for resource in holdings.of("DocumentReference")]
    for past in holdings.withdrawn:
        gone = {**past.resource, "status": "entered-in-error"}
        if gone.get("resourceType") == "DiagnosticReport":
            made.append(_of_report(gone, holdings))
        elif gone.get("resourceType") == "DocumentReference":
            made.append(_of_document(gone, holdings))
    return sorted(made, key=lambda report: report.at, reverse=True)


def is_examination(*texts: str) -> bool:
    """Return whether words name a physical examination."""
    return any(word in text.lower() for text in texts for word in EXAMINATION_WORDS)


def plain_text(content: str, content_type: str) -> str:
    """Return the readable text of a document; mark-up becomes line breaks, scripts and styles go."""
    if "html" in content_type or "xml" in content_type:
        content = unescape(TAG.sub("", TAG_BREAK.sub("\n", _seen(content))))
    lines = (line.strip() for line in content.replace("\r", "\n").split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _seen(markup: str) -> str:
    """Return mark-up without its scripts, styles and comments; one without an end hides nothing."""
    kept, at = [], 0
    while begin := UNSEEN.search(markup, at):
        end = UNSEEN_ENDS[(begin[1] or "").lower()].search(markup, begin.end())
        if end is None:
            break
        kept.append(markup[at : begin.start()])
        at = end.end()
    return "".join(kept) + markup[at:]


def attachment_bytes(resource: Json) -> tuple[str, bytes] | None:
    """Return (content type, bytes) of the first attachment that carries its data; None if there is none."""
    for attachment in _attachments(resource):
        if attachment.get("data"):
            try:
                data = base64.b64decode(attachment["data"], validate=False)
            except (binascii.Error, ValueError):
                continue
            return str(attachment.get("contentType", "application/octet-stream")), data
    return None


def kept_apart(resource: Json) -> tuple[str, str] | None:
    """Return (content type, name) of the large content that is a report's original; None if it has none.

    Where the report carries other data that is more than text, that is the original.
    """
    inline = attachment_bytes(resource)
    if inline is not None and not _is_readable(inline[0]):
        return None
    for attachment in _attachments(resource):
        url = str(attachment.get("url", ""))
        if url.startswith(URL):
            return str(attachment.get("contentType", "application/octet-stream")), url.removeprefix(URL)
    return None


def _is_readable(content_type: str) -> bool:
    return content_type.split(";", maxsplit=1)[0].strip() in READABLE


def _of_report(resource: Json, holdings: Holdings) -> Report:
    name = words(resource.get("code"))
    parts = tuple(_report_parts(resource, holdings))
    said = "\n".join(text for _, text in parts)
    old = old_values(said, holdings.versions(resource), lambda past: _say(past, holdings))
    return _report(resource, _kind(resource, name), name, parts, old, holdings=holdings)


def _of_document(resource: Json, holdings: Holdings) -> Report:
    name = words(resource.get("type")) or str(resource.get("description", ""))
    kind = "examination" if is_examination(name) else "document"
    parts = tuple(_attached(resource))
    gone = resource.get("status") == "entered-in-error" or resource.get("docStatus") == "entered-in-error"
    stated = {**resource, "status": "entered-in-error" if gone else resource.get("docStatus", "final")}
    old = old_values(
        "\n".join(t for _, t in parts), holdings.versions(resource), lambda past: _say(past, holdings)
    )
    return _report(stated, kind, name, parts, old, holdings=holdings)


def _report(
    resource: Json,
    kind: str,
    name: str,
    parts: tuple[tuple[str, str], ...],
    old: tuple[OldValue, ...],
    *,
    holdings: Holdings,
) -> Report:
    at_text = first_of(resource, *DATES)
    authors = [*(resource.get("resultsInterpreter") or ()), *(resource.get("performer") or ())]
    authors += resource.get("author") or ()
    encounters = (resource.get("context") or {}).get("encounter") or ()
    attached = kept_apart(resource) or attachment_bytes(resource)
    is_shown = attached is None or (isinstance(attached[1], bytes) and _is_readable(attached[0]))
    return Report(
        id=str(resource.get("id", "")),
        type=str(resource.get("resourceType", "")),
        kind=kind,
        name=name,
        at=instant(at_text, holdings.zone),
        at_text=written(at_text, holdings.zone),
        facility=holdings.facility_of(resource),
        author="、".join(dict.fromkeys(str(a["display"]) for a in authors if a.get("display"))),
        fate=fate(resource, old),
        parts=parts,
        old=old,
        encounter=local_id(resource.get("encounter") or (encounters[0] if encounters else None)),
        result_ids=tuple(local_id(result) for result in resource.get("result") or ()),
        attachment="" if attached is None or is_shown else attached[0],
    )


def _kind(resource: Json, name: str) -> str:
    categories = resource.get("category") or ()
    codes = {coding.get("code") for category in categories for coding in category.get("coding") or ()}
    said = [words(category) for category in categories]
    if is_examination(name, *said) or "PE" in codes or "exam" in said:
        return "examination"
    if codes & LABORATORY or any(text in ("laboratory", "检验") for text in said):
        return "laboratory"
    if not categories and resource.get("result"):
        return "laboratory"
    return "imaging"


def _report_parts(resource: Json, holdings: Holdings) -> list[tuple[str, str]]:
    parts = []
    if text := str(resource.get("conclusion", "")).strip():
        parts.append(("conclusion", text))
    coded = [words(concept) for concept in resource.get("conclusionCode") or ()]
    if coded and not parts:
        parts.append(("conclusion", "、".join(coded)))
    narrative = (resource.get("text") or {}).get("div", "")
    attached = _attached(resource)
    for _, said in attached or ([("", plain_text(narrative, "html"))] if narrative else []):
        if rest := without(said, parts[0][1] if parts else ""):
            parts.insert(0, ("findings", rest))
    if not parts and code(resource.get("code")):
        for result in resource.get("result") or ():
            observation = holdings.observation(local_id(result))
            if len(text := str(observation.get("valueString", ""))) > 20:
                parts.append((words(observation.get("code")), text))
    return parts


def without(text: str, conclusion: str) -> str:
    """Return a report's text without the conclusion that is shown apart, and without the headings of both."""
    if conclusion and conclusion in text:
        before, _, after = text.partition(conclusion)
        head, _, last = before.rstrip().rpartition("\n")
        before = head if HEADING.fullmatch(last.strip()) else before
        text = f"{before.strip()}\n\n{after.strip()}".strip()
    first, _, rest = text.partition("\n")
    return rest.strip() if HEADING.fullmatch(first.strip()) and rest else text.strip()


def _attached(resource: Json) -> list[tuple[str, str]]:
    found = attachment_bytes(resource)
    if found is None or not _is_readable(found[0]):
        return []
    charset = "gb18030" if "gb" in found[0].lower().partition("charset=")[2] else "utf-8"
    text = plain_text(found[1].decode(charset, "replace"), found[0])
    return [("", text)] if text else []


def _attachments(resource: Json) -> list[Json]:
    if resource.get("resourceType") == "DocumentReference":
        return [content.get("attachment") or {} for content in resource.get("content") or ()]
    return list(resource.get("presentedForm") or ())


def _say(resource: Json, holdings: Holdings) -> str:
    if resource.get("resourceType") == "DocumentReference":
        return "\n".join(text for _, text in _attached(resource))
    return "\n".join(text for _, text in _report_parts(resource, holdings))
