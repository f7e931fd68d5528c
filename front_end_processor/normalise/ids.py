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

from esb.fhir.identifiers import facility_system, resource_id


class Ids:
    """The ids and identifier systems of one facility."""

    __slots__ = ("_systems", "facility", "key")

    def __init__(self, key: bytes, facility: str) -> None:
        self.key = key
        self.facility = facility
        self._systems: dict[str, str] = {}

    def of(self, type_: str, local_id: str) -> str:
        """Return the id of a resource of the facility by the number the facility gave it."""
        return resource_id(self.key, self.facility, type_, local_id)

    def system(self, kind: str) -> str:
        """Return the identifier system of one of the facility's own number ranges, e.g. `mrn`, `visit`."""
        system = self._systems.get(kind)
        if system is None:
            system = self._systems[kind] = facility_system(self.facility, kind)
        return system
