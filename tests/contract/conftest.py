"""The hub's application in this process, with a region-wide client and one of each of two hospitals."""

from collections.abc import Iterator

import pytest
from flask import Flask

from tests.hub_world import Caller, hospitals


@pytest.fixture(scope="module")
def app(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The application with the region's client and one client of each of two hospitals."""
    with hospitals(
        module_database_url, HIE_WEB_THREADS="20", HIE_BLOB_DIR=str(tmp_path_factory.mktemp("blobs"))
    ) as made:
        yield made


@pytest.fixture(scope="module")
def call(app: Flask) -> Caller:
    """The region's own client."""
    return Caller(app, "bench")


@pytest.fixture(scope="module")
def h01(app: Flask) -> Caller:
    """A system of hospital H01."""
    return Caller(app, "h01")


@pytest.fixture(scope="module")
def h02(app: Flask) -> Caller:
    """A system of hospital H02."""
    return Caller(app, "h02")
