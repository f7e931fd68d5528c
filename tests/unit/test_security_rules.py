"""The policy's table, scopes and secrets, without a database."""

import re
from pathlib import Path

import pytest

from hie.errors import Rejected, TooManyTries
from hie.security.rules import RULES
from hie.security.scopes import narrow, parse_scopes
from hie.security.secrets import hash_secret, is_secret
from hie.security.throttle import Throttle

DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"


def test_the_document_prints_the_table_as_it_is() -> None:
    printed = [
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in DOCUMENT.read_text("utf-8").splitlines()
        if re.match(r"\| (system|facility|doctor|referral|steward|engineer|operator|auditor) \|", line)
    ]
    table = [
        (r.role, ", ".join(r.actions), r.types, r.reach + (", masked" if r.masked else "")) for r in RULES
    ]
    assert printed == table


@pytest.mark.parametrize(
    "scope", ["", "patient/*.rs", "system/*.sr", "system/*.", "system/Observation.rs?category=x", "openid"]
)
def test_a_scope_that_cannot_be_honoured_is_refused(scope: str) -> None:
    with pytest.raises(Rejected):
        parse_scopes(scope)


@pytest.mark.parametrize(
    ("allowed", "wanted", "granted"),
    [
        ("system/*.cruds", None, "system/*.cruds"),
        ("system/*.cruds", "system/Patient.rs", "system/Patient.rs"),
        ("system/*.read", "system/Patient.rs", "system/Patient.rs"),
        ("system/*.rs", "system/Patient.cruds system/Patient.r", "system/Patient.r"),
        ("system/Patient.rs", "system/*.rs", None),
        ("system/Patient.rs", "launch/patient", None),
    ],
)
def test_no_more_is_granted_than_is_allowed(allowed: str, wanted: str | None, granted: str | None) -> None:
    assert narrow(allowed, wanted) == granted


def test_a_secret_is_known_by_its_hash_alone() -> None:
    hashed = hash_secret("correct horse")
    assert is_secret("correct horse", hashed)
    assert not is_secret("wrong horse", hashed)
    assert hashed != hash_secret("correct horse")


def test_a_success_forgets_the_failures() -> None:
    brake = Throttle(failures=2)
    brake.failed("x")
    brake.failed("x")
    with pytest.raises(TooManyTries):
        brake.check("x")
    brake.succeeded("x")
    brake.check("x")
