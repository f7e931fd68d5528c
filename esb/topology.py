"""Exchanges, queues, bindings and permissions of the bus, as data (RabbitMQ definitions).

A hospital publishes to `records` with key `<facility>.<partition>`, may read only `receipts.<facility>` and
declares nothing. Partitions are bound to N quorum queues with single active consumer: order per patient,
parallel across patients. Change a queue's name here and nowhere else.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from esb.envelope import PARTITIONS
from esb.errors import Rejected

VHOST = "hie"
RECORDS = "records"
RECEIPTS = "receipts"
DEAD = "dead"
DEAD_QUEUE = "dead.ingest"
INGEST_PREFIX = "ingest."
RECEIPT_PREFIX = "receipts."
HUB_USER = "hub"
# It is a word of a routing key, a user of the broker, and part of a queue's name.
FACILITY_CODE = re.compile(r"[A-Za-z0-9_-]{1,32}")
RESERVED = (HUB_USER, "admin", "guest")

# Poison is decided by the consumer; the broker's own limit is only a backstop against a crash loop.
DELIVERY_LIMIT = 1000
QUORUM = {"x-queue-type": "quorum"}
RECEIPT_ARGUMENTS = {
    **QUORUM,
    "x-delivery-limit": DELIVERY_LIMIT,
    "x-dead-letter-exchange": DEAD,
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}
INGEST_ARGUMENTS = {**RECEIPT_ARGUMENTS, "x-single-active-consumer": True}
# Copies for an engineer to look at: what they hold is sent again by its outbox, so the oldest may go.
DEAD_ARGUMENTS = {**QUORUM, "x-max-length-bytes": 2**30, "x-overflow": "drop-head"}


def check_facility_code(code: str) -> None:
    """Check that a facility's code can stand on the bus. Raises: Rejected."""
    if not FACILITY_CODE.fullmatch(code) or code in RESERVED:
        raise Rejected(
            "A facility's code is 1 to 32 letters, digits, - and _, and none of " + ", ".join(RESERVED) + "."
        )


def ingest_queue(number: int) -> str:
    """Return the name of the n-th ingest queue."""
    return f"{INGEST_PREFIX}{number}"


def receipt_queue(facility: str) -> str:
    """Return the name of the queue a facility reads its receipts from."""
    return f"{RECEIPT_PREFIX}{facility}"


def record_route(facility: str, partition: int) -> str:
    """Return the routing key of a facility's records of one partition."""
    return f"{facility}.{partition}"


def queues(facilities: Iterable[str], ingest_queues: int) -> dict[str, dict[str, Any]]:
    """Return the arguments of every queue by its name."""
    ingest = {ingest_queue(n): INGEST_ARGUMENTS for n in range(ingest_queues)}
    receipts = {receipt_queue(facility): RECEIPT_ARGUMENTS for facility in facilities}
    return {**ingest, DEAD_QUEUE: DEAD_ARGUMENTS, **receipts}


def bindings(facilities: Iterable[str], ingest_queues: int) -> list[tuple[str, str, str]]:
    """Return (exchange, routing key, queue) of every binding."""
    records = [(RECORDS, f"*.{p}", ingest_queue(p % ingest_queues)) for p in range(PARTITIONS)]
    receipts = [(RECEIPTS, facility, receipt_queue(facility)) for facility in facilities]
    return [*records, (DEAD, "#", DEAD_QUEUE), *receipts]


def permissions(user: str) -> dict[str, str]:
    """Return what a user may configure, write and read: the hub's user all ends, a facility its own only."""
    if user == HUB_USER:
        return {
            "configure": "^$",
            "write": f"^({RECEIPTS}|{DEAD})$",
            "read": rf"^({re.escape(INGEST_PREFIX)}\d+|{re.escape(DEAD_QUEUE)})$",
        }
    return {"configure": "^$", "write": f"^{RECORDS}$", "read": f"^{re.escape(receipt_queue(user))}$"}


def topic_permissions(user: str) -> list[dict[str, str]]:
    """Return which routing keys a user may write: a facility only its own."""
    if user == HUB_USER:
        return [{"exchange": RECEIPTS, "write": ".*", "read": ".*"}]
    return [{"exchange": RECORDS, "write": rf"^{re.escape(user)}\.([0-9]|[1-5][0-9]|6[0-3])$", "read": "^$"}]


def definitions(passwords: Mapping[str, str], *, admin: str, ingest_queues: int) -> dict[str, Any]:
    """Return the whole topology in the form `rabbitmqctl import_definitions` reads.

    Args:
        passwords: by user name; the admin, the hub's user and one user per facility (its code).
        admin: which of them administers the broker.
    """
    facilities = [user for user in passwords if user not in (admin, HUB_USER)]
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    place = {"vhost": VHOST}
    return {
        "vhosts": [{"name": VHOST}],
        "users": [_user(name, password, name == admin) for name, password in passwords.items()],
        "permissions": [{"user": admin, **place, **everything}]
        + [{"user": user, **place, **permissions(user)} for user in (HUB_USER, *facilities)],
        "topic_permissions": [
            {"user": user, **place, **rule}
            for user in (HUB_USER, *facilities)
            for rule in topic_permissions(user)
        ],
        "exchanges": [
            {"name": name, **place, "type": "topic", "durable": True, "auto_delete": False, "arguments": {}}
            for name in (RECORDS, RECEIPTS, DEAD)
        ],
        "queues": [
            {"name": name, **place, "durable": True, "auto_delete": False, "arguments": arguments}
            for name, arguments in queues(facilities, ingest_queues).items()
        ],
        "bindings": [
            {
                "source": exchange,
                **place,
                "destination": queue,
                "destination_type": "queue",
                "routing_key": key,
                "arguments": {},
            }
            for exchange, key, queue in bindings(facilities, ingest_queues)
        ],
    }


def _user(name: str, password: str, is_admin: bool) -> dict[str, Any]:
    salt = secrets.token_bytes(4)
    digest = base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
    return {
        "name": name,
        "password_hash": digest,
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": ["administrator"] if is_admin else [],
    }
