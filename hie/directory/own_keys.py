"""The hub's own keys, as `hie keys init` made them (RFC 7517)."""

import json
from pathlib import Path

from esb.errors import Malformed
from esb.seal import Keys, load_keys


def read_own_keys(key_dir: Path) -> Keys:
    """Return the hub's own keys. Raises: Malformed if they are not there or cannot be read."""
    try:
        return load_keys(json.loads((key_dir / "hub.jwks").read_text("utf-8")))
    except (FileNotFoundError, json.JSONDecodeError):
        raise Malformed("The hub has no keys in HIE_KEY_DIR; make them with `hie keys init`.") from None
