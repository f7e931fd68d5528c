"""The web floor: Flask behind gunicorn, one SELECT and a string join, without rights, rules or audit."""

from __future__ import annotations

import os

from flask import Flask, Response, request
from psycopg_pool import ConnectionPool

BY_ID = "SELECT content FROM floor_resource WHERE type = 'Patient' AND id = %s"
BY_CODE = "SELECT content FROM floor_resource WHERE compartment = %s AND type = 'Observation' AND code = %s"
BY_NAME = (
    "SELECT content FROM floor_resource WHERE type = 'Patient' AND family = %s AND birth_date = %s LIMIT 50"
)
EVERYTHING = "SELECT content FROM floor_resource WHERE compartment = %s"
TABLE = """
CREATE TABLE floor_resource AS
SELECT compartment, type, id, content,
       content::jsonb #>> '{code,coding,0,code}' AS code,
       content::jsonb #>> '{name,0,family}' AS family, content::jsonb ->> 'birthDate' AS birth_date
FROM resource WHERE NOT deleted
"""
INDEXES = (
    "ALTER TABLE floor_resource ADD PRIMARY KEY (type, id)",
    "CREATE INDEX ON floor_resource (compartment, type, code)",
    "CREATE INDEX ON floor_resource (family, birth_date) WHERE type = 'Patient'",
    "VACUUM ANALYZE floor_resource",
)


def create_app() -> Flask:
    """Return the application; the database is named by FLOOR_DATABASE_URL."""
    app = Flask(__name__)
    pool = ConnectionPool(os.environ["FLOOR_DATABASE_URL"], min_size=4, max_size=8, open=True)

    def answer(query: str, *values: str | None) -> Response:
        with pool.connection() as connection:
            rows = connection.execute(query, values).fetchall()
        entries = ",".join(f'{{"fullUrl":"","resource":{row[0]}}}' for row in rows)
        body = f'{{"resourceType":"Bundle","type":"searchset","entry":[{entries}]}}'
        return Response(body, content_type="application/fhir+json")

    @app.get("/fhir/Patient/<id_>")
    def read(id_: str) -> Response:
        return answer(BY_ID, id_)

    @app.get("/fhir/Observation")
    def observations() -> Response:
        return answer(BY_CODE, request.args.get("patient"), request.args.get("code", "").rpartition("|")[2])

    @app.get("/fhir/Patient")
    def patients() -> Response:
        return answer(BY_NAME, request.args.get("family"), request.args.get("birthdate"))

    @app.get("/fhir/Patient/<id_>/$everything")
    def everything(id_: str) -> Response:
        return answer(EVERYTHING, id_)

    return app
