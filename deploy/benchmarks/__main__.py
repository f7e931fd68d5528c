"""`deploy/bench NAME`: runs one benchmark; with --json the last line of stdout is its report."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from deploy.benchmarks import record
from deploy.benchmarks.figures import Report

NAMES = {
    "road": "MLLP at five hospitals to searchable at the hub; bundles over the same road",
    "ingest": "transaction bundles to the hub's FHIR API",
    "lookup": "$everything and the portal's record page at 10,000 and at 200,000 resources",
    "repository": "ingest, reads, searches and $everything of the FHIR API beside a bare Flask and psycopg",
    "growth": "searches, disk and bulk export from 30,000 to two million resources",
    "kill": "20,000 messages while every process in turn dies by kill -9",
}
# Those that can be given real bundles instead of the sample generator's.
TAKES_DATA = ("ingest", "repository")


def main() -> int:
    """Run the benchmark that was asked for; return 1 if a figure misses what it must reach."""
    names = "\n".join(f"  {name:10} {text}" for name, text in NAMES.items())
    parser = argparse.ArgumentParser(
        prog="deploy/bench",
        description="Measure, with the floor in the same run.",
        epilog=f"benchmarks:\n{names}\n\nexample: deploy/bench ingest --data synthea/ --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=NAMES, metavar="NAME")
    parser.add_argument(
        "--data", type=Path, help=f"directory of *.json.gz transaction bundles ({', '.join(TAKES_DATA)})"
    )
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object, last")
    parser.add_argument("--record", action="store_true", help="also write the report into docs/benchmarks.md")
    chosen = parser.parse_args()
    if chosen.data and chosen.name not in TAKES_DATA:
        parser.error(
            f"--data is taken by {' and '.join(TAKES_DATA)} only; {chosen.name} makes its own material"
        )
    if chosen.data and not chosen.data.is_dir():
        parser.error(f"--data {chosen.data} is no directory; name one of *.json.gz transaction bundles")
    report: Report = importlib.import_module(f"deploy.benchmarks.{chosen.name}").run(chosen.data)
    print(record.table(report), file=sys.stderr)
    if chosen.record:
        record.write(report, " ".join(["deploy/bench", *(a for a in sys.argv[1:] if a != "--record")]))
    if chosen.json:
        print(json.dumps(report.as_dict(), ensure_ascii=False), flush=True)
    return 1 if any(figure.is_missed for figure in report.figures) else 0


if __name__ == "__main__":
    sys.exit(main())
