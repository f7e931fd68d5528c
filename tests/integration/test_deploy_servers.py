"""A region on servers that exist already."""

import os
from pathlib import Path

import pytest

from deploy.stack import ports, postgres
from deploy.stack.errors import Trouble
from deploy.stack.hub import QUEUES
from deploy.stack.postgres import Cluster
from deploy.stack.rabbitmq import Broker
from deploy.stack.region import make_region
from esb import topology


@pytest.fixture
def servers_of_others(cluster: Cluster, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"others_{os.getpid()}"
    postgres.ensure_database(cluster, name, postgres.ACCOUNT)
    url = cluster.url(name)
    monkeypatch.setenv("HIE_DATABASE_URL", url)
    monkeypatch.setenv("HIE_AMQP_URL", broker.url())
    monkeypatch.setenv("HIE_MANAGEMENT_URL", f"http://127.0.0.1:{broker.ports.management}")
    return url


def test_a_region_uses_the_servers_that_exist(servers_of_others: str, broker: Broker, servers_dir: Path):
    region = make_region(servers_dir / "guest", 1, ports.window(200))
    content = region.up()
    try:
        assert content["hub"]["database_url"] == servers_of_others
        assert content["broker"]["amqp_url"] == broker.url()
        assert set(content["pids"]) == {"hub.web", "hub.ingest.1", "hub.ingest.2", "hub.work", "fep.H01"}
        assert len(broker.management.consumers("ingest.")) == QUEUES
        assert broker.management.consumers(topology.receipt_queue("H01")) == {"receipts.H01": 1}
    finally:
        region.down()
    assert broker.management.answers()


def test_a_broker_without_management_is_told_in_one_sentence(
    servers_of_others: str, monkeypatch: pytest.MonkeyPatch, servers_dir: Path
):
    monkeypatch.setenv("HIE_MANAGEMENT_URL", f"http://127.0.0.1:{ports.pick()}")
    with pytest.raises(Trouble, match="set HIE_MANAGEMENT_URL"):
        make_region(servers_dir / "lost", 1, ports.window(200)).up()
