"""Logs as JSON lines on stderr: codes, counts and our ids, never a patient's data."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog


def configure(level: str = "info") -> None:
    """Send structlog, and what libraries log from warning on, to stderr as JSON lines."""
    number = getattr(logging, level.upper(), logging.INFO)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_traceback,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    line = '{"library": "%(name)s", "level": "%(levelname)s", "event": "%(message)s"}'
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format=line)
    # pika reports every attempt while the broker is away; the relay says it once.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)


def _without_traceback(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop exception texts: they may quote what a hospital sent."""
    event.pop("exc_info", None)
    event.pop("exception", None)
    return event
