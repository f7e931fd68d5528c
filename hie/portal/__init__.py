"""The portal: pages for doctors, stewards, auditors and operators, rendered on the server (WCAG 2.2 AA)."""

from hie.portal import codes, lookup, reviews, searches, signin, trail  # noqa: F401 - their routes
from hie.portal.pages import blueprint, error_page, init_app

__all__ = ["blueprint", "error_page", "init_app"]
