"""Generates esb/fhir/definitions from the published FHIR R4 (4.0.1) definitions; run by hand."""
