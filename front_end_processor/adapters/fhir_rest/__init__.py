"""FHIR R4 over HTTP as an inlet: what a hospital's own FHIR systems send."""
