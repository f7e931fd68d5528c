"""Long work: jobs that survive the death of their worker; bulk exports (HL7 Bulk Data Access IG 2)."""
