"""Progress lines on stderr, so that stdout stays readable by machines."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


def say(text: str) -> None:
    """Print one line of progress."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Announce a step, and say afterwards how long it took."""
    say(f"  {text} ...")
    began = time.monotonic()
    yield
    took_s = time.monotonic() - began
    if took_s >= 1:
        say(f"  {text}: done in {took_s:.0f} s")
