"""The contract between hospitals and hub: envelope, seal, topology, exactly-once tables, the FHIR model."""
