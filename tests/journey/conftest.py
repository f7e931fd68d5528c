"""Fixtures of the journeys: the portal of a small world; and a look at the region when a test fails."""

from collections.abc import Generator

import pytest

from tests.journey import aftermath
from tests.journey.portal_site import site

__all__ = ["site"]

_SEEN = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the state of the region to the first test that fails in it."""
    report = yield
    region = getattr(item, "funcargs", {}).get("region")
    if report.failed and region and not item.session.stash.get(_SEEN, False):
        item.session.stash[_SEEN] = True
        report.sections.append(("the region", aftermath.describe(region)))
    return report
