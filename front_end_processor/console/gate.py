"""The console's door: one password, guessing slowed down, one session per sign-in."""

from __future__ import annotations

import hmac
import time

TRIES, TRIES_S = 5, 60.0
MAX_PEERS = 1000


class Gate:
    """Compares passwords, and slows down who guesses."""

    def __init__(self, password: str) -> None:
        """Prepare it; with an empty password nobody enters."""
        self._password = password.encode()
        self._failures: dict[str, list[float]] = {}

    def is_shut(self, peer: str) -> bool:
        """Return whether too many tries failed lately from an address."""
        recent = [at for at in self._failures.get(peer, ()) if time.monotonic() - at < TRIES_S]
        if recent:
            self._failures[peer] = recent
        else:
            self._failures.pop(peer, None)
        return len(recent) >= TRIES

    def admits(self, given: str, peer: str) -> bool:
        """Return whether the password is right; note a failure."""
        if self._password and hmac.compare_digest(given.encode(), self._password):
            self._failures.pop(peer, None)
            return True
        now = time.monotonic()
        if len(self._failures) >= MAX_PEERS:  # each address is asked about only by itself
            self._failures = {one: at for one, at in self._failures.items() if now - at[-1] < TRIES_S}
        self._failures.setdefault(peer, []).append(now)
        return False
