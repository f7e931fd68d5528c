"""Which loopback ports are free."""

import random
import socket
from collections.abc import Mapping

from deploy.stack.errors import Trouble
from deploy.stack.processes import wait_until

# Below the range from which Linux gives ports to outgoing connections.
LOW, HIGH = 20000, 31000
ADVICE = "stop it or choose another --port-base"
NAMED = 2


def is_free(port: int) -> bool:
    """Say whether a server could listen on this loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True


def answers(port: int, timeout_s: float = 1) -> bool:
    """Say whether somebody listens on this loopback port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout_s):
            return True
    except OSError:
        return False


def check_free(port: int, what: str) -> None:
    """Make sure that a port can be had.

    Raises: Trouble, naming the port, if somebody else has it.
    """
    # A process that was killed a moment ago may still hold it.
    if not wait_until(lambda: is_free(port), timeout_s=3):
        raise Trouble(f"Port {port} (for {what}) is in use by another process; {ADVICE}.")


def check_all_free(wanted: Mapping[str, int]) -> None:
    """Make sure that all of these ports can be had, before anything is started.

    Args:
        wanted: ports by what they are for.
    Raises: Trouble, naming the first ports that somebody else has.
    """
    # A process that was killed a moment ago may still hold one.
    if wait_until(lambda: all(map(is_free, wanted.values())), timeout_s=3):
        return
    taken = [f"{port} (for {what})" for what, port in wanted.items() if not is_free(port)]
    if len(taken) == 1:
        raise Trouble(f"Port {taken[0]} is in use by another process; {ADVICE}.")
    if taken:
        more = f" and {len(taken) - NAMED} more" if len(taken) > NAMED else ""
        named = f"{', '.join(taken[:NAMED])}{more}"
        raise Trouble(f"Ports {named} are in use, by another region perhaps; {ADVICE}.")


def pick() -> int:
    """Return a port that is free now, drawn at random so that runs side by side rarely meet."""
    return window(1)


def window(size: int) -> int:
    """Return the first of several adjacent ports that are free now."""
    chance = random.SystemRandom()
    for _ in range(200):
        first = chance.randrange(LOW, HIGH - size)
        if all(is_free(port) for port in range(first, first + size)):
            return first
    raise Trouble(f"No {size} adjacent free ports between {LOW} and {HIGH}; stop what is no longer needed.")
