"""Schemathesis asks every operation of the OpenAPI document, well and badly: no 5xx, answers as described."""

import json
import re
from typing import Any

import hypothesis.strategies as st
import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from hie.api.routes import routes_of
from tests.hub_world import Caller, created

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
# Of the addresses that stand once for each type these are asked; the others have the same code behind them.
TYPES = ("Basic", "RiskAssessment")
EXAMPLES = 3


@pytest.fixture(scope="module")
def operations(app: Flask, call: Caller) -> dict[str, Any]:
    """The operations of the document, by method and address."""
    created(call, {"resourceType": "Basic", "code": {"text": "x"}})
    document = call("GET", "/openapi.json").get_json()
    marked = {route.path for route in routes_of(app)}
    document["paths"] = {
        path: item
        for path, item in document["paths"].items()
        if path in marked or path.split("/")[2] in TYPES
    }
    named = set(re.findall(r"#/components/parameters/([^\"]+)", json.dumps(document["paths"])))
    shared = document["components"]["parameters"]
    document["components"]["parameters"] = {name: shared[name] for name in named}
    schema = schemathesis.openapi.from_dict(document)
    schema.app = app
    found = [one.ok() for one in schema.get_all_operations() if isinstance(one, Ok)]
    return {f"{one.method.upper()} {one.path}": one for one in found}


def bounded(mode: GenerationMode, operation: Any, call: Caller) -> None:
    """Ask an operation a number of times, always the same ones."""

    @given(case=operation.as_strategy(generation_mode=mode), spare=st.none())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any, spare: None) -> None:
        sent = {"Authorization": f"Bearer {call.token}", "Accept-Encoding": "identity"}
        answer = case.call(headers=sent)
        case.validate_response(answer, checks=CHECKS)

    ask()


MODES = {"as described": GenerationMode.POSITIVE, "otherwise": GenerationMode.NEGATIVE}


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES.keys())
def test_every_operation_answers_as_the_document_describes(
    operations: dict[str, Any], call: Caller, mode: GenerationMode
) -> None:
    failed = {}
    for name, operation in operations.items():
        try:
            bounded(mode, operation, call)
        except (FailureGroup, Failure) as error:
            failed[name] = str(error)[:1500]
        except Unsatisfiable:
            # Nothing can be sent to it that is not as described.
            assert mode is GenerationMode.NEGATIVE, name
    assert failed == {}, "\n\n".join(f"{name}\n{why}" for name, why in failed.items())
    assert len(operations) > 30
