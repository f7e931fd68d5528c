"""Opens an envelope: is it from whom it says, as the broker checked, and is it meant for us?"""

import threading
import time
from collections.abc import Callable
from typing import Any

import structlog

from esb.consumer import Delivery
from esb.envelope import TYPE, VERSION, Entry, unpack
from esb.errors import Malformed
from esb.relay import claims_of
from esb.seal import Keys, NotTrusted, PublicKeys, load_public, open_sealed

log = structlog.get_logger(__name__)

# A key that was taken away is trusted no longer than this.
MOST_AGE_S = 60.0
# How often what one facility sends may have the keys read again.
DOUBT_EVERY_S = 60.0


class Directory:
    """The facilities' public keys as last read; they are read again at an age, and when one is in doubt.

    A facility whose keys cannot be used stands for itself: the others are not kept from sending.
    """

    def __init__(self, read: Callable[[], dict[str, dict[str, Any]]]) -> None:
        self._read = read
        self._keys: dict[str, PublicKeys] = {}
        self._read_at = float("-inf")
        self._doubted: dict[str, float] = {}
        self._lock = threading.Lock()

    def keys_of(self, facility: str) -> PublicKeys:
        """Return a facility's public keys. Raises: NotTrusted if there are none that can be used."""
        if time.monotonic() - self._read_at > MOST_AGE_S:
            with self._lock:
                if time.monotonic() - self._read_at > MOST_AGE_S:
                    self._refresh()
        if facility not in self._keys:
            self.look_again(facility)
        if facility not in self._keys:
            raise NotTrusted(
                "The sender is not registered with keys that can be used; mend that with `hie facility add`."
            )
        return self._keys[facility]

    def is_registered(self, facility: str) -> bool:
        """Say whether a facility has keys here."""
        return facility in self._keys

    def look_again(self, facility: str) -> bool:
        """Read the keys again for a facility in doubt, once in a while; say whether they were."""
        with self._lock:
            now = time.monotonic()
            if now - self._doubted.get(facility, float("-inf")) < DOUBT_EVERY_S:
                return False
            self._refresh()
            self._doubted[facility] = now
            return True

    def _refresh(self) -> None:
        found = {}
        for code, jwks in self._read().items():
            try:
                found[code] = load_public(jwks)
            except Malformed as fault:
                log.error("directory.keys_refused", facility=code, reason=fault.text)
        self._keys, self._read_at = found, time.monotonic()


def sender_of(delivery: Delivery) -> str:
    """Return the facility that published a message, as the broker checked it. Raises: NotTrusted."""
    facility = delivery.route.partition(".")[0]
    properties = delivery.properties
    headers = properties.headers or {}
    if not facility or properties.user_id != facility or headers.get("facility") != facility:
        raise NotTrusted("The envelope's sender is not the user that published it.")
    return facility


def open_envelope(delivery: Delivery, directory: Directory, own: Keys) -> list[Entry]:
    """Return the entries of an envelope whose sender, signature and seal hold.

    Raises: NotTrusted, Malformed.
    """
    facility = sender_of(delivery)
    properties = delivery.properties
    headers = properties.headers or {}
    if properties.type != TYPE or headers.get("version") != VERSION:
        raise Malformed("The envelope's type or version is not known here.")
    claims = claims_of(facility, delivery.route, properties.message_id or "")
    signature = str(headers.get("signature", ""))

    def opened() -> list[Entry]:
        sender = directory.keys_of(facility)
        return unpack(open_sealed(delivery.body, signature, claims, sender=sender, own=own))

    try:
        return opened()
    except NotTrusted:
        if not directory.look_again(facility):
            raise
    return opened()
