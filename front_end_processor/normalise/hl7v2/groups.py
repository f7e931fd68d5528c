"""Cuts a message into order groups: ORC, its OBR or RX segment, and what hangs on it (HL7 v2.8 ch. 4, 7)."""

from __future__ import annotations

from dataclasses import dataclass, field

from front_end_processor.adapters.hl7v2.er7 import Message, Segment

_HEADS = ("OBR", "RXO", "RXE", "RXD", "RXA")
_VISIT = ("PID", "PD1", "PV1", "PV2", "NK1", "AL1", "IN1")


@dataclass(slots=True)
class Item:
    """One OBX with its value type (OBX-2) and the NTE that follow it."""

    obx: Segment
    value_type: str
    notes: list[Segment] = field(default_factory=list)


@dataclass(slots=True)
class Group:
    """One order: any of its parts may be missing."""

    orc: Segment | None = None
    obr: Segment | None = None
    rxo: Segment | None = None
    rxe: Segment | None = None
    rxd: Segment | None = None
    rxa: Segment | None = None
    notes: list[Segment] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    routes: list[Segment] = field(default_factory=list)
    timings: list[Segment] = field(default_factory=list)
    specimens: list[Segment] = field(default_factory=list)
    diagnoses: list[Segment] = field(default_factory=list)

    def number(self, orc_field: int, head_field: int) -> str:
        """Return an order number: from the OBR, else from the ORC."""
        for segment, place in ((self.obr, head_field), (self.orc, orc_field)):
            first = segment.first(place) if segment else None
            if first:
                return first[1]
        return ""

    @property
    def placer(self) -> str:
        """The number that the ordering system gave."""
        return self.number(2, 2)

    @property
    def filler(self) -> str:
        """The number that the filling system (laboratory, radiology) gave."""
        return self.number(3, 3)


@dataclass(slots=True)
class Groups:
    """The orders of a message, and the OBX that hang on the patient or the visit."""

    orders: list[Group]
    loose: list[Item]


def cut(message: Message, *, specimen_first: bool = False) -> Groups:
    """Return the order groups of a message.

    Args: specimen_first: OUL R22 and R23 name the specimen before the orders made on it.
    """
    orders: list[Group] = []
    loose: list[Item] = []
    current: Group | None = None
    item: Item | None = None
    specimen: Segment | None = None
    for segment in message.segments:
        name = segment.name
        if name == "OBX":
            item = Item(segment, segment.get(2).upper())
            (current.items if current else loose).append(item)
        elif name == "NTE":
            if item is not None:
                item.notes.append(segment)
            elif current is not None:
                current.notes.append(segment)
        elif name == "ORC" or name in _HEADS:
            if current is None or not _continues(current, name):
                current = Group(specimens=[specimen] if specimen is not None else [])
                orders.append(current)
            setattr(current, name.lower(), segment)
            item = None
        elif name == "SPM":
            if specimen_first and (current is None or current.specimens):
                specimen, current = segment, None
            elif current is not None:
                current.specimens.append(segment)
            item = None
        elif name in _VISIT:
            current = item = None
        elif current is not None:
            item = _attach(current, name, segment, item)
    return Groups(orders, loose)


def _continues(group: Group, name: str) -> bool:
    """Does a head segment belong to the group that is open? Not where the group has one already."""
    if getattr(group, name.lower()) is not None:
        return False
    if name == "ORC":  # some OUL senders put it after the OBR
        return group.orc is None and group.obr is not None and not group.items
    if name == "OBR":
        return group.orc is not None and not any((group.rxo, group.rxe, group.rxd, group.rxa, group.items))
    if name == "RXA":  # each administration stands alone, RXO and RXE before it are its order
        return group.obr is None
    return group.obr is None and group.rxa is None


def _attach(group: Group, name: str, segment: Segment, item: Item | None) -> Item | None:
    """Put a segment where it belongs; return the OBX that notes still belong to."""
    if name == "RXR":
        group.routes.append(segment)
    elif name == "TQ1":
        group.timings.append(segment)
    elif name == "DG1":
        group.diagnoses.append(segment)
    else:
        return item
    return None
