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
    say(f"  {text}: done in {time.monotonic() - began:.0f} s")
