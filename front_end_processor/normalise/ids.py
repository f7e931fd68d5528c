"""Ids of resources: an HMAC of facility, type and local id; stable under re-send and opaque to others.

What the local id of a type is, is agreed between all inlets of a hospital, so that a visit that came by
HL7 v2 and its charges that came by file meet:

* Patient: the hospital's own patient number.
* Encounter: the visit number.
* ServiceRequest: the placer's order number (the filler's where there is none).
* DiagnosticReport: `<filler order or report number>|<code of the panel>`.
* Observation: `<filler order or report number>|<item code>|<sub-id>`.
* ChargeItem: the number of the charge line.
* Appointment, DocumentReference, Specimen: the number of the thing.
"""

from __future__ import annotations

import hashlib

from esb.fhir.identifiers import facility_system

_BLOCK = 64  # bytes of a SHA-256 block
# An id is 130 bits in base32hex (RFC 4648), written two characters at a time.
_BASE32HEX = "0123456789abcdefghijklmnopqrstuv"
_PAIRS = tuple(first + second for first in _BASE32HEX for second in _BASE32HEX)
_SHIFTS = tuple(range(120, -1, -10))


class Ids:
    """The ids and identifier systems of one facility."""

    __slots__ = ("_inner", "_outer", "_systems", "facility", "key")

    def __init__(self, key: bytes, facility: str) -> None:
        self.key = key
        self.facility = facility
        self._systems: dict[str, str] = {}
        # HMAC (RFC 2104) from states prepared once: the library's own call lets go of the interpreter each
        # time, and a message needs dozens.
        block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + f"{facility}|".encode())
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def of(self, type_: str, local_id: str) -> str:
        """Return the id of a resource of the facility by the number the facility gave it.

        The same as `esb.fhir.identifiers.resource_id`, which a test holds it to.
        """
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(f"{type_}|{local_id}".encode())
        outer.update(inner.digest())
        bits = int.from_bytes(outer.digest()[:17]) >> 6
        return "".join([_PAIRS[bits >> shift & 1023] for shift in _SHIFTS])

    def system(self, kind: str) -> str:
        """Return the identifier system of one of the facility's own number ranges, e.g. `mrn`, `visit`."""
        system = self._systems.get(kind)
        if system is None:
            system = self._systems[kind] = facility_system(self.facility, kind)
        return system
