"""The private RabbitMQ node."""

import os
import signal
import ssl
from pathlib import Path

import pika

from deploy.stack import ports, rabbitmq
from deploy.stack.processes import wait_until
from deploy.stack.rabbitmq import Broker

QUORUM = {"x-queue-type": "quorum"}


def test_the_broker_is_reached_on_loopback_with_tls_too(broker: Broker) -> None:
    trust = ssl.create_default_context(cafile=str(broker.certificates.ca))
    parameters = pika.URLParameters(broker.url(tls=True))
    parameters.ssl_options = pika.SSLOptions(trust, "localhost")
    with pika.BlockingConnection(parameters) as connection:
        assert connection.is_open


def test_a_killed_broker_comes_back_with_its_messages(servers_dir: Path) -> None:
    broker = rabbitmq.throwaway(servers_dir / "killed")
    with pika.BlockingConnection(pika.URLParameters(broker.url())) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("kept", durable=True, arguments=QUORUM)
        channel.basic_publish("", "kept", b"one", mandatory=True)
    rabbitmq.settle(broker)
    beam = rabbitmq.running(broker)
    assert beam is not None
    os.kill(beam.pid, signal.SIGKILL)

    rabbitmq.launch(broker, dies_with_parent=True)
    rabbitmq.wait(broker)

    with pika.BlockingConnection(pika.URLParameters(broker.url())) as connection:
        assert connection.channel().basic_get("kept", auto_ack=True)[2] == b"one"
    rabbitmq.stop(broker)
    assert wait_until(
        lambda: not any(ports.answers(port) for port in broker.ports.named().values()), timeout_s=10
    )
