"""Reads a FHIR Subscription: what it asks for, where it is told; refuses what is not offered."""

from __future__ import annotations

import re
from datetime import datetime, tzinfo
from typing import Any

from esb.errors import NotPermitted
from hie.errors import Issue, NotSupported, NotValid
from hie.repository.criteria import split
from hie.repository.dates import span
from hie.security.allowed import is_allowed
from hie.services.subscriptions.topics import TOPICS, Topic

BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
JSON = "application/fhir+json"
CONTENTS = ("empty", "id-only", "full-resource")
HEADER = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}): ?([\x20-\x7e\t]{0,4000})")
OURS = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection"})
MOST_HEADERS, MOST_FILTERS = 10, 20


def wrong(path: str, text: str) -> NotValid:
    """Return the error for an element of a Subscription."""
    return NotValid(f"{path}: {text}", issues=[Issue(path, text)])


def read(resource: dict[str, Any], notify_to: tuple[str, ...], zone: tzinfo) -> dict[str, Any]:
    """Return the columns of `SubscriptionRow` that a Subscription stands for.

    Raises: NotValid, NotSupported; NotPermitted for an endpoint that no operator listed.
    """
    channel = resource.get("channel", {})
    if channel.get("type") != "rest-hook":
        text = "only rest-hook is offered; email, sms, websocket and message are not"
        raise NotSupported(f"Subscription.channel.type: {text}.")
    topic = TOPICS.get(resource["criteria"])
    if topic is None and ":" in resource["criteria"].partition("?")[0]:
        raise NotSupported(f"Subscription.criteria: known topics are {', '.join(TOPICS)}.")
    return {
        "topic": topic.url if topic else None,
        "filters": _topic_filters(resource, topic) if topic else [_criteria(resource["criteria"])],
        "endpoint": _endpoint(channel, notify_to),
        "headers": _headers(channel),
        "payload": _topic_payload(channel) if topic else _payload(channel),
        "heartbeat_s": _number(channel, "backport-heartbeat-period") if topic else None,
        "most": min(_number(channel, "backport-max-count") or 1, 100) if topic else 1,
        "ends_at": _end(resource, zone),
    }


def types(row: dict[str, Any]) -> list[str]:
    """Return the resource types a subscription is about."""
    if row["topic"] is None:
        return [split(row["filters"][0])[0]]
    named = {split(text)[0] for text in row["filters"]}
    return [type_ for type_ in TOPICS[row["topic"]].types if not named or type_ in named]


def _criteria(text: str) -> str:
    split(text)
    return text


def _topic_filters(resource: dict[str, Any], topic: Topic) -> list[str]:
    """Return the filters, each for one type of the topic; a bare `?a=b` is for all of them."""
    given = _extensions(resource.get("_criteria", {}), "backport-filter-criteria", "valueString")
    filters: list[str] = []
    for text in given:
        of_all = text.startswith("?")
        for full in [type_ + text for type_ in topic.types] if of_all else [text]:
            type_, params = split(full)
            if type_ not in topic.types or not params:
                raise wrong("Subscription.criteria", f"a filter begins with {' or '.join(topic.types)}")
            names = {name.partition(":")[0] for name, _ in params}
            if not names <= set(topic.filters):
                raise wrong("Subscription.criteria", f"the topic is filtered by {', '.join(topic.filters)}")
            filters.append(_of_patient(params) if type_ == "Patient" else full)
    if topic.needs and not filters:
        raise wrong("Subscription.criteria", f"the topic needs a filter by {topic.needs}")
    if len(filters) > MOST_FILTERS * len(topic.types):
        raise wrong("Subscription.criteria", f"at most {MOST_FILTERS} filters are taken")
    return filters


def _of_patient(params: list[tuple[str, str]]) -> str:
    """Return the filter of a Patient itself: `patient` is its id."""
    ids = ["_id=" + ",".join(one.rpartition("/")[2] for one in value.split(",")) for _, value in params]
    return "Patient?" + "&".join(ids)


def _endpoint(channel: dict[str, Any], notify_to: tuple[str, ...]) -> str:
    endpoint = channel.get("endpoint")
    if not isinstance(endpoint, str) or not endpoint.startswith(("http://", "https://")):
        raise wrong("Subscription.channel.endpoint", "a rest-hook needs an http or https address")
    if not is_allowed(endpoint, notify_to):
        raise NotPermitted("Subscription.channel.endpoint is not among those the operator has listed.")
    return endpoint.rstrip("/")


def _headers(channel: dict[str, Any]) -> list[str]:
    headers = channel.get("header", [])
    if len(headers) > MOST_HEADERS:
        raise wrong("Subscription.channel.header", f"at most {MOST_HEADERS} headers are sent")
    for header in headers:
        found = HEADER.fullmatch(header)
        if found is None or found[1].lower() in OURS:
            raise wrong(
                "Subscription.channel.header", "a header is written as Name: value, and not one of HTTP's own"
            )
    return list(headers)


def _payload(channel: dict[str, Any]) -> str:
    if "payload" not in channel:
        return "none"
    if channel["payload"] != JSON:
        raise NotSupported(f"Subscription.channel.payload is {JSON}, or is left out.")
    return "resource"


def _topic_payload(channel: dict[str, Any]) -> str:
    if channel.get("payload", JSON) != JSON:
        raise NotSupported(f"Subscription.channel.payload is {JSON}.")
    given = _extensions(channel.get("_payload", {}), "backport-payload-content", "valueCode")
    if len(given) != 1 or given[0] not in CONTENTS:
        raise wrong(
            "Subscription.channel.payload", f"backport-payload-content is one of {', '.join(CONTENTS)}"
        )
    return str(given[0])


def _number(channel: dict[str, Any], name: str) -> int | None:
    for key in ("valueUnsignedInt", "valuePositiveInt"):
        for value in _extensions(channel, name, key):
            if isinstance(value, int) and 0 < value <= 1_000_000:
                return value
    return None


def _extensions(element: dict[str, Any], name: str, key: str) -> list[Any]:
    given = element.get("extension", [])
    return [one[key] for one in given if one.get("url") == BACKPORT + name and key in one]


def _end(resource: dict[str, Any], zone: tzinfo) -> datetime | None:
    found = span(resource["end"], zone) if "end" in resource else None
    return found[0] if found else None
