"""A brake on guessing: after some failures under one name, the next tries wait."""

import threading
import time
from collections import OrderedDict

from hie.errors import TooManyTries

FAILURES = 10
WINDOW_S = 60.0
NAMES = 10_000


class Throttle:
    """Counts failures by name (client id, address) inside a sliding window, in this process."""

    def __init__(self, failures: int = FAILURES, window_s: float = WINDOW_S) -> None:
        self._limit, self._window_s = failures, window_s
        self._failed: OrderedDict[str, list[float]] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, name: str) -> None:
        """Raise TooManyTries while the name has failed too often."""
        with self._lock:
            if len(self._recent(name)) >= self._limit:
                raise TooManyTries()

    def failed(self, name: str) -> None:
        """Count a failure."""
        with self._lock:
            self._failed[name] = [*self._recent(name), time.monotonic()]
            self._failed.move_to_end(name)
            while len(self._failed) > NAMES:
                self._failed.popitem(last=False)

    def succeeded(self, name: str) -> None:
        """Forget the failures of a name."""
        with self._lock:
            self._failed.pop(name, None)

    def _recent(self, name: str) -> list[float]:
        begin = time.monotonic() - self._window_s
        return [at for at in self._failed.get(name, []) if at > begin]
