"""The one policy: who may do what, as a decision whose reach is a SQL condition of the query itself.

Because the reach is part of the SQL, totals, pages, chains and includes cannot tell what is hidden.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache

from sqlalchemy import ColumnElement, and_, exists, false, func, not_, or_, select, true
from sqlalchemy.orm import aliased

from hie.schema.mpi import Identity
from hie.schema.repository import NO_COMPARTMENT, Resource, ResourceHistory, ResourceKey
from hie.schema.security import AuditEventRow, Relation
from hie.security.actor import Actor
from hie.security.rules import BESIDE, LETTERS, PUBLISHED, Reach, rule_for
from hie.security.scopes import allowed_types

BINARY = "Binary"
# As it stands in a stored text: a quote within a value has a backslash before it.
HAS_CONTEXT = '"securityContext":'
CONTEXT = (
    r'"securityContext":\{[^{}]*"reference":"(?:[^"]*/)?'
    r'([A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64})(?:/_history/[^"]*)?"'
)


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided.

    where: condition over `Resource`, to be ANDed to every read and search of the request (for AuditEvent
        over `AuditEventRow`).
    people: the same reach as a condition over `Identity`.
    past: what holds of each version of `ResourceHistory` besides, as its own securityContext says.
    masked: only masked demographics may be shown.
    """

    allowed: bool
    reason: str
    where: ColumnElement[bool]
    people: ColumnElement[bool]
    masked: bool = False
    past: ColumnElement[bool] = field(default_factory=true)


def decide(actor: Actor, action: str, resource_type: str, *, now: datetime | None = None) -> Decision:
    """Say whether the actor may do the action on the type, and how far that reaches.

    Args:
        action: read, search, everything, create, update, patch, delete, match, find, confirm, review,
            link, operate, explain, map.
        resource_type: a FHIR type, `*` for all of them, or Person, Message, Search, Code.
        now: the instant relations are judged at; the database's clock if not given.
    """
    if now is not None:
        return _decide(actor, action, resource_type, now)
    return _standing(replace(actor, purpose="", request_id="", name=""), action, resource_type)


@lru_cache(maxsize=2000)
def _standing(actor: Actor, action: str, resource_type: str) -> Decision:
    """Remember decisions that hold at any time: to build their SQL takes longer than to run it."""
    return _decide(actor, action, resource_type, None)


def _decide(actor: Actor, action: str, resource_type: str, now: datetime | None) -> Decision:
    rule = rule_for(actor.role, action, resource_type)
    if rule is None:
        return _denied(f"role {actor.role} may not {action} {resource_type}")
    types: frozenset[str] | None = None
    if actor.kind == "client":
        letter = LETTERS.get(action)
        if letter is None and action not in BESIDE:
            return _denied(f"a client may not {action} {resource_type}")
        types = allowed_types(actor.scopes, letter) if letter else None
        if types is not None and (not types or resource_type not in types | {"*"}):
            return _denied(f"no scope of the token allows {action} of {resource_type}")
    if resource_type == "AuditEvent":
        trail = _trail(actor, rule.reach)
        return Decision(True, rule.reach, trail, false())
    where = _resources(actor, rule.reach, now)
    if types is not None:
        where = and_(where, Resource.type.in_(sorted(types)))
    if rule.types not in ("*", "PUBLISHED", "Person", "Message"):
        where = and_(where, Resource.type == rule.types)
    past: ColumnElement[bool] = true()
    # A whole record needs nothing more: what is kept with a Patient has no context but that Patient.
    is_look = action in ("read", "search") and resource_type in ("*", BINARY)
    if is_look and (rule.reach is not Reach.ALL or types):
        where = and_(where, _is_open(actor, Resource, now))
        past = _is_open(actor, ResourceHistory, now)
    return Decision(True, rule.reach, where, _people(actor, rule.reach, now), rule.masked, past)


def _denied(reason: str) -> Decision:
    return Decision(False, reason, false(), false())


def _resources(
    actor: Actor, reach: Reach, now: datetime | None, of: type[Resource] = Resource
) -> ColumnElement[bool]:
    """The reach as a condition over `Resource`, or over an alias of it."""
    if reach is Reach.ALL:
        return true()
    if reach is Reach.OWN:
        own = exists().where(Identity.id == of.compartment, _people(actor, reach, now)).correlate(of)
        return and_(of.facility == (actor.facility or ""), or_(of.compartment == NO_COMPARTMENT, own))
    published = and_(of.compartment == NO_COMPARTMENT, of.type.in_(sorted(PUBLISHED)))
    if reach is Reach.PUBLIC:
        return published
    if reach in (Reach.OWN_OR_RELATED, Reach.RELATED, Reach.UNRESTRICTED):
        reached = _people(actor, reach, now)
        compartment = exists().where(Identity.id == of.compartment, reached).correlate(of)
        conditions = [published, and_(of.compartment != NO_COMPARTMENT, compartment)]
        if reach is Reach.OWN_OR_RELATED and actor.facility:
            conditions.append(and_(of.compartment == NO_COMPARTMENT, of.facility == actor.facility))
        return or_(*conditions)
    return false()


def _is_open(
    actor: Actor, of: type[Resource] | type[ResourceHistory], now: datetime | None
) -> ColumnElement[bool]:
    """The condition that a row is no Binary, or one whose securityContext, if it has one, may be read.

    Source: FHIR R4 binary.html, Binary.securityContext.
    """
    rule = rule_for(actor.role, "read", "*")
    reach = Reach.PUBLIC if rule is None else rule.reach
    context, key = aliased(Resource), aliased(ResourceKey)
    named = func.substring(of.content, CONTEXT)
    is_its = and_(context.compartment == key.compartment, context.type == key.type, context.id == key.id)
    seen = [
        key.type == func.split_part(named, "/", 1),
        key.id == func.split_part(named, "/", 2),
        ~context.deleted,
        _resources(actor, reach, now, context),
    ]
    types = allowed_types(actor.scopes, LETTERS["read"]) if actor.kind == "client" else None
    if types is not None:
        seen.append(key.type.in_(sorted(types)))
    return or_(
        of.type != BINARY,
        func.strpos(of.content, HAS_CONTEXT) == 0,
        select(key.id).join(context, is_its).where(*seen).correlate(of).exists(),
    )


def _people(actor: Actor, reach: Reach, now: datetime | None) -> ColumnElement[bool]:
    """The reach as a condition over `Identity`."""
    if reach is Reach.ALL:
        return true()
    if reach is Reach.UNRESTRICTED:
        return or_(not_(_is_restricted()), _has_relation(actor, now, granted=True))
    if reach in (Reach.RELATED, Reach.OWN_OR_RELATED):
        related = or_(
            and_(_has_relation(actor, now), not_(_is_restricted())),
            _has_relation(actor, now, granted=True),
        )
        if reach is Reach.OWN_OR_RELATED and actor.facility:
            return or_(Identity.facility == actor.facility, related)
        return related
    if reach is Reach.OWN and actor.facility:
        return Identity.facility == actor.facility
    return false()


def _is_restricted() -> ColumnElement[bool]:
    """A person is restricted as soon as one of the source records says so; unlinking takes it back."""
    sibling = aliased(Identity)
    return exists().where(sibling.person_id == Identity.person_id, sibling.restricted).correlate(Identity)


def _has_relation(actor: Actor, now: datetime | None, *, granted: bool = False) -> ColumnElement[bool]:
    """An open relation of the actor's facility, or of this user alone where the row names a user."""
    if actor.facility is None:
        return false()
    user = actor.id if actor.kind == "user" else ""
    return exists(
        select(Relation.id)
        .where(
            Relation.person_id == Identity.person_id,
            Relation.facility == actor.facility,
            Relation.until > (func.now() if now is None else now),
            or_(Relation.username.is_(None), Relation.username == user),
            Relation.kind == "granted" if granted else Relation.kind != "granted",
        )
        .correlate(Identity)
    )


def _trail(actor: Actor, reach: Reach) -> ColumnElement[bool]:
    """The reach as a condition over `AuditEventRow`."""
    if reach is Reach.ALL or (reach is Reach.OWN_TRAIL and actor.facility is None):
        return true()
    return AuditEventRow.facility == actor.facility
