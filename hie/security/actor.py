"""The actor: who acts, from which facility, in which role, for which purpose of use (HL7 v3 PurposeOfUse)."""

from dataclasses import dataclass, replace
from typing import Literal

from hie.security.scopes import Scope

# Purposes a person may state; the code system is http://terminology.hl7.org/CodeSystem/v3-ActReason.
PURPOSES = {
    "TREAT": "treatment",
    "ETREAT": "emergency treatment",
    "COC": "coordination of care, e.g. a consultation",
    "CAREMGT": "care management",
    "HOPERAT": "operations",
    "PATRQT": "asked for by the patient",
}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. A client or user without a facility serves the region as a whole.

    role: of a client `system` (region) or `facility`; of a user one of the roles of the directory.
    scopes: what a client's token allows; empty for users, whose rights come from their role.
    """

    kind: Literal["client", "user", "system", "nobody"]
    id: str
    facility: str | None
    role: str
    scopes: tuple[Scope, ...] = ()
    purpose: str = "TREAT"
    request_id: str = ""
    name: str = ""

    def for_request(self, request_id: str, purpose: str | None = None) -> "Actor":
        """Return this actor as the one behind a request."""
        return replace(self, request_id=request_id, purpose=purpose or self.purpose)


def client_actor(client_id: str, facility: str | None, scopes: tuple[Scope, ...]) -> Actor:
    """Return a registered system, a facility's or the region's, with the rights it has at hand."""
    role, purpose = ("facility", "TREAT") if facility else ("system", "HOPERAT")
    return Actor("client", client_id, facility, role, scopes, purpose=purpose)


# Who has not signed in treats nobody.
NOBODY = Actor("nobody", "anonymous", None, "nobody", purpose="HOPERAT")


def system_actor(name: str, facility: str | None = None) -> Actor:
    """Return the hub itself at work, e.g. `ingest`, for a facility's messages."""
    return Actor("system", name, facility, "system", purpose="HOPERAT")


# Whoever runs a command of the hub.
OPERATOR = system_actor("operator")
