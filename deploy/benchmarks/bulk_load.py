"""Loads people of the sample generator straight through the repository's write path: COPY, no HTTP.

Run by `bench growth` as processes beside each other; each says on stdout how many resources it has written.
"""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime

import orjson
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from deploy.sample.bundles import FACILITY, patient_record
from esb.fhir import lexemes
from hie.api.recording import record
from hie.config import Config
from hie.repository.writes import Write

BATCH_BUNDLES = 8


def main() -> None:
    """Load the people of every n-th seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, required=True, help="first seed")
    parser.add_argument("--until", type=int, required=True, help="seed to stop before")
    parser.add_argument("--step", type=int, required=True, help="how many loaders share the seeds")
    parser.add_argument("--resources", type=int, required=True, help="resources of each person")
    given = parser.parse_args()
    config = Config.from_env(os.environ)
    engine = create_engine(config.database_url, hide_parameters=True)
    writes: list[Write] = []
    bundles = 0
    for seed in range(given.first, given.until, given.step):
        for body in patient_record(given.resources, seed):
            writes += [_write(entry) for entry in lexemes.loads(body)["entry"]]
            bundles += 1
        if bundles >= BATCH_BUNDLES:
            _store(engine, writes, config)
            writes, bundles = [], 0
    if writes:
        _store(engine, writes, config)


def _write(entry: dict[str, object]) -> Write:
    resource = entry["resource"]
    assert isinstance(resource, dict)
    return Write("put", resource["resourceType"], resource["id"], resource, FACILITY)


def _store(engine: Engine, writes: list[Write], config: Config) -> None:
    with Session(engine) as session, session.begin():
        record(session, writes, datetime.now(UTC), config)
    print(orjson.dumps(len(writes)).decode(), flush=True)


if __name__ == "__main__":
    main()
