"""Asks a web server on loopback whether it is there."""

import urllib.error
import urllib.request


def status(url: str, timeout_s: float = 5) -> int | None:
    """Return the HTTP status of a page, None if nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code
    except OSError:
        return None
