"""Opens an envelope: is it from whom it says, as the broker checked, and is it meant for us?"""

import threading
import time
from collections.abc import Callable
from typing import Any

from esb.consumer import Delivery
from esb.envelope import TYPE, VERSION, Entry, unpack
from esb.errors import Malformed, NotNow
from esb.relay import claims_of
from esb.seal import Keys, NotTrusted, PublicKeys, load_public, open_sealed

REFRESH_S = 2.0


class Directory:
    """The facilities' public keys as last read; unknown or renewed ones are read again, not too often.

    Nobody is refused by keys that were read before the message came: it waits until they may be read again.
    """

    def __init__(self, read: Callable[[], dict[str, dict[str, Any]]]) -> None:
        self._read = read
        self._keys: dict[str, PublicKeys] = {}
        self._read_at = -REFRESH_S
        self._doubted: dict[str, float] = {}
        self._lock = threading.Lock()

    def keys_of(self, facility: str) -> PublicKeys:
        """Return a facility's public keys, read again if it is not among them.

        Raises: NotTrusted if it is not registered; NotNow if that was looked up a moment ago.
        """
        if facility not in self._keys:
            with self._lock:
                self._refresh()
        return self.known_keys_of(facility)

    def known_keys_of(self, facility: str) -> PublicKeys:
        """Return a facility's public keys as last read. Raises: NotTrusted if it is not among them."""
        if facility not in self._keys:
            raise NotTrusted("The sender is not registered; add it with `hie facility add`.")
        return self._keys[facility]

    def is_registered(self, facility: str) -> bool:
        """Say whether a facility has keys here."""
        return facility in self._keys

    def look_again(self, message: str) -> None:
        """See to it that the keys were read after a message was first doubted.

        Raises: NotNow if they were read a moment before; the message waits and is doubted again.
        """
        with self._lock:
            if self._read_at <= self._doubted.setdefault(message, time.monotonic()):
                self._refresh()
            del self._doubted[message]

    def _refresh(self) -> None:
        if time.monotonic() - self._read_at < REFRESH_S:
            raise NotNow("The hospitals' keys were read a moment ago; they are read again shortly.")
        self._keys = {code: load_public(jwks) for code, jwks in self._read().items()}
        self._read_at = time.monotonic()


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

    Raises: NotTrusted, Malformed; NotNow while its sender's keys cannot be read again.
    """
    facility = sender_of(delivery)
    properties = delivery.properties
    headers = properties.headers or {}
    if properties.type != TYPE or headers.get("version") != VERSION:
        raise Malformed("The envelope's type or version is not known here.")
    claims = claims_of(facility, delivery.route, properties.message_id or "")
    signature = str(headers.get("signature", ""))

    def opened() -> list[Entry]:
        sender = directory.known_keys_of(facility)
        return unpack(open_sealed(delivery.body, signature, claims, sender=sender, own=own))

    try:
        return opened()
    except NotTrusted:
        directory.look_again(f"{facility} {properties.message_id}")
    return opened()
