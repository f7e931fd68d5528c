"""The canonical model: FHIR R4 (4.0.1) resources as plain dicts."""
