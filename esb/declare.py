"""Declares exchanges, queues and bindings of the topology over AMQP; harmless when repeated.

Users and permissions are not AMQP's: they come with `topology.definitions`.
"""

from __future__ import annotations

from collections.abc import Sequence

import pika
from pika.exceptions import AMQPError, ChannelClosedByBroker

from esb.errors import NotNow, NotPermitted
from esb.publisher import parameters
from esb.topology import DEAD, RECEIPTS, RECORDS, bindings, queues


def declare(url: str, facilities: Sequence[str], ingest_queues: int, *, ca_file: str | None = None) -> None:
    """Declare what these facilities and this number of ingest queues need.

    Raises: NotPermitted if the user of the URL may not declare or an end exists with other arguments;
        NotNow if the broker cannot be reached.
    """
    try:
        connection = pika.BlockingConnection(parameters(url, name="topology", ca_file=ca_file))
    except (AMQPError, OSError):
        raise NotNow("The broker cannot be reached; check HIE_AMQP_URL and that RabbitMQ runs.") from None
    try:
        channel = connection.channel()
        for exchange in (RECORDS, RECEIPTS, DEAD):
            channel.exchange_declare(exchange, "topic", durable=True)
        for name, arguments in queues(facilities, ingest_queues).items():
            channel.queue_declare(name, durable=True, arguments=arguments)
        for exchange, key, queue in bindings(facilities, ingest_queues):
            channel.queue_bind(queue, exchange, key)
    except ChannelClosedByBroker as error:
        raise NotPermitted(f"The broker refuses the declaration: {error.reply_text}") from None
    finally:
        if connection.is_open:
            connection.close()
