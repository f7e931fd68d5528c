"""Adapters: how a hospital's systems are spoken to. Each gets a `capture()` function and knows no FHIR."""
