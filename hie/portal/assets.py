"""Static files of the portal, each under a name that changes with its content so browsers may keep it."""

import hashlib
from functools import cache
from pathlib import Path

from flask import Response, send_from_directory, url_for
from werkzeug.exceptions import NotFound

FOLDER = Path(__file__).parent / "static"
KEEP_S = 365 * 24 * 3600
SERVED = frozenset({".css", ".js", ".svg"})


@cache
def digest(name: str) -> str:
    """Return the first characters of the file's SHA-256."""
    return hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()[:12]


def asset(name: str) -> str:
    """Return the URL of a static file."""
    return url_for("portal.static_file", name=name, v=digest(name))


def serve(name: str) -> Response:
    """Answer with a static file."""
    if Path(name).suffix not in SERVED:
        raise NotFound
    response = send_from_directory(FOLDER, name, max_age=KEEP_S)
    response.cache_control.public = True
    response.cache_control.immutable = True
    return response
