"""What hospitals with FHIR R4 send: transaction Bundles under their own numbers."""
