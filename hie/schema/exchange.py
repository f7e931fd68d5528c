"""The exactly-once tables of the hub's end of the bus, as esb defines them."""

from __future__ import annotations

from esb.inbox import inbox_tables
from esb.outbox import outbox_table
from hie.schema.base import Base

outbox = outbox_table(Base.metadata)
inbox, set_aside, attempt = inbox_tables(Base.metadata)
