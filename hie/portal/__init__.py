"""The portal: pages for doctors, data stewards and auditors, rendered on the server (WCAG 2.2 AA)."""

from hie.portal import lookup, reviews, signin, trail  # noqa: F401 - their routes
from hie.portal.pages import blueprint, error_page, init_app

__all__ = ["blueprint", "error_page", "init_app"]
