"""All tables of the hub, by subject, and their one migration history."""

from hie.schema.base import Base
from hie.schema.directory import ROLES, AccessToken, AppClient, AppUser, Facility, PortalSession
from hie.schema.exchange import attempt, inbox, outbox, set_aside
from hie.schema.exports import ExportMark, Job, JobFile
from hie.schema.mpi import Identity, IdentityKey, NotSame, Person, PersonLink, ReviewItem
from hie.schema.repository import NO_COMPARTMENT, Resource, ResourceHistory, ResourceKey, SearchDate
from hie.schema.security import AuditEventRow, AuditSeal, Relation
from hie.schema.subscriptions import SubscriptionEvent, SubscriptionRow
from hie.schema.terminology import (
    CodeSystem,
    Concept,
    ConceptMap,
    ConceptMapRow,
    LocalCode,
    TerminologyMark,
    ValueSet,
)

__all__ = [
    "NO_COMPARTMENT",
    "ROLES",
    "AccessToken",
    "AppClient",
    "AppUser",
    "AuditEventRow",
    "AuditSeal",
    "Base",
    "CodeSystem",
    "Concept",
    "ConceptMap",
    "ConceptMapRow",
    "ExportMark",
    "Facility",
    "Identity",
    "IdentityKey",
    "Job",
    "JobFile",
    "LocalCode",
    "NotSame",
    "Person",
    "PersonLink",
    "PortalSession",
    "Relation",
    "Resource",
    "ResourceHistory",
    "ResourceKey",
    "ReviewItem",
    "SearchDate",
    "SubscriptionEvent",
    "SubscriptionRow",
    "TerminologyMark",
    "ValueSet",
    "attempt",
    "inbox",
    "outbox",
    "set_aside",
]
