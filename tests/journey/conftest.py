"""Fixtures of the journeys: the portal of a small world."""

from tests.journey.portal_site import site

__all__ = ["site"]
