"""The hub's application in this process, with a region-wide client and one of each of two hospitals."""

from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from hie.app import create_app
from hie.config import Config
from hie.directory.clients import put_client
from hie.schema.directory import Facility
from tests.hub_world import SECRET, Caller


@pytest.fixture(scope="module")
def app(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The application with the region's client and one client of each of two hospitals."""
    settings = {
        "HIE_DATABASE_URL": module_database_url,
        "HIE_WEB_THREADS": "20",
        "HIE_BLOB_DIR": str(tmp_path_factory.mktemp("blobs")),
    }
    made = create_app(Config.from_env(settings))
    with Session(made.extensions["hie"].engine) as session, session.begin():
        session.add_all([Facility(code=code, name=code, name_en=code, jwks={}) for code in ("H01", "H02")])
        session.flush()
        put_client(session, "bench", SECRET, "system/*.cruds", None)
        put_client(session, "h01", SECRET, "system/*.cruds", "H01")
        put_client(session, "h02", SECRET, "system/*.cruds", "H02")
        put_client(session, "reader", SECRET, "system/Patient.rs", None)
    yield made
    made.extensions["hie"].engine.dispose()


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
