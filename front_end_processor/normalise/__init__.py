"""Normalising: what a hospital's system sent -> FHIR R4 resources with stable ids, in one transaction Bundle."""
