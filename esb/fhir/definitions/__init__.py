"""Rules and parameters generated from the FHIR R4 (4.0.1) definitions by deploy/definitions; see NOTICE."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent


@cache
def load(name: str) -> Any:
    """Return a generated file's content; read once per process."""
    return json.loads((_HERE / f"{name}.json").read_bytes())
