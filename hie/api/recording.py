"""Writes of the API with all that belongs to them: versions, the person of each Patient, relations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from psycopg.errors import DeadlockDetected, SerializationFailure
from sqlalchemy import and_, exists, or_, select, tuple_
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from esb.fhir import lexemes
from hie.api import asking, pointing
from hie.config import Config
from hie.errors import Conflict, NotPermitted, NotSupported, PreconditionFailed
from hie.repository import contents, store
from hie.repository.read import OWNER
from hie.repository.writes import ANY, NotYours, Outcome, Write
from hie.schema.repository import Resource, ResourceKey
from hie.security.ownership import check_own_patients
from hie.security.policy import decide
from hie.services.registering import CHANGED, follow_writes
from hie.services.subscriptions import keeping
from hie.terminology.feeding import feed

# What is said of anything an asker may not see or touch: the same words, whatever is there.
NEUTRAL = "You may not do this here."
TERMINOLOGY = frozenset({"CodeSystem", "ValueSet", "ConceptMap"})


def record(
    session: Session,
    writes: Sequence[Write],
    now: datetime,
    config: Config,
    *,
    are_definite: bool = False,
    places: Mapping[tuple[str, str], str] | None = None,
) -> list[Outcome]:
    """Write resources; persons, relations and subscriptions follow; return what became of each.

    Args:
        are_definite: all references are known to lead somewhere; spares the search for what they lead to.
        places: where each resource stands in a Bundle, for messages.

    Raises: as `store.write`; Rejected for a reference that leads nowhere; NotPermitted, in neutral words, for
        another facility's id; Conflict where two askers wait for each other.
    """
    hidden = _hidden(session, writes)
    if hidden:
        rest = [one for one in writes if (one.type, one.id) not in hidden]
        done = record(session, rest, now, config, are_definite=are_definite, places=places)
        known = {(outcome.type, outcome.id): outcome for outcome in done}
        return [known.get((one.type, one.id)) or _left_alone(one, now) for one in writes]
    try:
        return _record(session, writes, now, config, are_definite=are_definite, places=places)
    except (DeadlockDetected, SerializationFailure):
        raise Conflict from None
    except OperationalError as error:
        if isinstance(error.orig, DeadlockDetected | SerializationFailure):
            raise Conflict from None
        raise


def _hidden(session: Session, writes: Sequence[Write]) -> set[tuple[str, str]]:
    """Return what is to be deleted, belongs to another facility and may not be seen: it is not there."""
    keys = [(one.type, one.id) for one in writes if one.method == "delete" and one.facility is not None]
    if not keys:
        return set()
    seen = or_(
        *(and_(Resource.type == t, decide(asking.actor(), "read", t).where) for t in {t for t, _ in keys})
    )
    statement = select(ResourceKey.type, ResourceKey.id).where(
        tuple_(ResourceKey.type, ResourceKey.id).in_(keys),
        ResourceKey.facility.is_distinct_from(asking.actor().facility),
        ~exists().where(OWNER, ~Resource.deleted, seen),
    )
    return {(type_, id_) for type_, id_ in session.execute(statement)}


def _left_alone(write: Write, now: datetime) -> Outcome:
    """Return what becomes of a deletion of what is not there. Raises: PreconditionFailed."""
    if write.if_match == ANY:
        raise PreconditionFailed(f"There is no {write.type}/{write.id}.")
    if write.if_match:
        raise PreconditionFailed(f"{write.type}/{write.id} has another version by now; read it again.")
    return Outcome(write.type, write.id, 0, "unchanged", b"", now)


def _record(
    session: Session,
    writes: Sequence[Write],
    now: datetime,
    config: Config,
    *,
    are_definite: bool,
    places: Mapping[tuple[str, str], str] | None,
) -> list[Outcome]:
    has_subscriptions = any(write.type == "Subscription" for write in writes)
    if has_subscriptions:
        keeping.ask(writes)
    try:
        outcomes = store.write(session, writes, now, config.zone)
    except NotYours:
        raise NotPermitted(NEUTRAL) from None
    if any(w.method == "patch" and contents.MARK in o.content for w, o in zip(writes, outcomes, strict=True)):
        # Else a patch could point at a content that another brought.
        raise NotSupported("A Binary of this size is not patched; send it anew.")
    if not are_definite:
        pointing.check(session, writes, outcomes, config.base_url + "/fhir", places)
    owners = ((outcome.compartment, write.facility) for write, outcome in zip(writes, outcomes, strict=True))
    check_own_patients(session, owners)
    if has_subscriptions:
        outcomes = keeping.follow(session, outcomes, config, now, asking.actor())
    for write, outcome in zip(writes, outcomes, strict=True):
        if write.type in TERMINOLOGY:
            _feed_terminology(session, write, outcome)
    follow_writes(session, writes, outcomes, now, days=config.relation_days, zone=config.zone)
    return outcomes


def _feed_terminology(session: Session, write: Write, outcome: Outcome) -> None:
    """Let the terminology's tables follow a code system, value set or map."""
    if outcome.fate in CHANGED:
        resource = write.resource or lexemes.loads(outcome.content)
        feed(session, write.type, write.id, resource, write.facility)
    elif outcome.fate == "deleted":
        feed(session, write.type, write.id, None, write.facility)
