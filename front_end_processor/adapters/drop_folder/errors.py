"""Why a file is not taken: not yet, or not as it is."""

from __future__ import annotations

from esb.errors import Rejected


class Unfinished(Rejected):
    """The file ends in the middle of a row; write it as .part and rename it when it is complete."""


class WrongFile(Rejected):
    """The file is not one that is taken here; see docs/interfaces-csv.md."""
