"""The FHIR R4 repository: one write path, a search index of hashed tokens, reads that never parse JSON."""
