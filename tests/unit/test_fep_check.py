"""`fep check`: what it says of a processor's surroundings."""

import pytest

from front_end_processor.check import findings
from front_end_processor.config import Config
from tests.fep_world import settings


@pytest.mark.parametrize(
    ("broker", "hub", "ports"),
    [
        ("amqp://127.0.0.1", "https://127.0.0.1", (5672, 443)),
        ("amqps://127.0.0.1", "http://127.0.0.1", (5671, 80)),
        ("amqps://127.0.0.1:9", "http://127.0.0.1:9", (9, 9)),
    ],
)
def test_an_address_without_a_port_is_tried_at_that_of_its_scheme(tmp_path, broker, hub, ports):
    config = Config.from_env(settings(tmp_path, FEP_AMQP_URL=broker, FEP_HUB_URL=hub))
    said = {found.what: found.text for found in findings(config)}
    assert said["broker"].startswith(f"127.0.0.1:{ports[0]} ")
    assert said["hub"].startswith(f"127.0.0.1:{ports[1]} ")
