"""Normalising: what a hospital sent -> FHIR R4 resources with stable ids, in one transaction Bundle."""
