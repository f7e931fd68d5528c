"""Why an HL7 v2 message is refused: acknowledgement code and error condition (HL7 tables 0008, 0357)."""

from __future__ import annotations

from esb.errors import Rejected

SEGMENT_SEQUENCE = "100"
FIELD_MISSING = "101"
DATA_TYPE = "102"
NOT_IN_TABLE = "103"
TOO_LONG = "104"
MESSAGE_TYPE = "200"
EVENT_CODE = "201"
VERSION_ID = "203"
UNKNOWN_KEY = "204"
INTERNAL = "207"

CONDITIONS = {
    "0": "Message accepted",
    SEGMENT_SEQUENCE: "Segment sequence error",
    FIELD_MISSING: "Required field missing",
    DATA_TYPE: "Data type error",
    NOT_IN_TABLE: "Table value not found",
    TOO_LONG: "Value too long",
    MESSAGE_TYPE: "Unsupported message type",
    EVENT_CODE: "Unsupported event code",
    VERSION_ID: "Unsupported version id",
    UNKNOWN_KEY: "Unknown key identifier",
    INTERNAL: "Application internal error",
}


class Unreadable(Rejected):
    """The HL7 v2 message cannot be read or is of a kind that is not taken here (acknowledged AR)."""

    ack = "AR"

    def __init__(self, text: str | None = None, *, condition: str = INTERNAL, location: str = "") -> None:
        """Keep the reason, its code in table 0357 and the place as `PID^1^3` (segment, sequence, field)."""
        super().__init__(text)
        self.condition = condition
        self.location = location


class Unusable(Unreadable):
    """The HL7 v2 message lacks something that is needed to keep it (acknowledged AE)."""

    ack = "AE"
