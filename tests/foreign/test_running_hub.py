"""What never reaches the application: heads too large for the server get a 4xx, and it goes on serving."""

import http.client
from urllib.parse import urlsplit

import pytest

from deploy.stack import web
from tests.foreign.conftest import Hub

HUGE = "a" * 300_000


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (f"/fhir/Patient?name={HUGE}", {}),
        (f"/fhir/Patient/{HUGE}", {}),
        ("/fhir/Patient", {"Authorization": f"Bearer {HUGE}"}),
        ("/fhir/Patient", {f"X-Many-{number}": "a" * 1000 for number in range(300)}),
        ("/fhir/Patient", {"X-Request-Id": HUGE}),
    ],
    ids=["query", "path", "token", "many headers", "one header"],
)
def test_a_head_of_any_size_is_refused_or_answered_and_the_hub_lives_on(
    hub: Hub, path: str, headers: dict[str, str]
) -> None:
    connection = http.client.HTTPConnection(urlsplit(hub.root).netloc, timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        status = connection.getresponse().status
    except (ConnectionResetError, BrokenPipeError):
        # The server hung up before all of it was sent; there is no answer to read.
        status = 431
    finally:
        connection.close()
    assert 400 <= status < 500
    assert web.status(f"{hub.root}/healthz") == 200
