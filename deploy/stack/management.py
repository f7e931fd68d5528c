"""RabbitMQ's management interface (HTTP API): users and rights, which AMQP itself cannot make."""

import base64
import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from deploy.stack.errors import Trouble


@dataclass(frozen=True, slots=True)
class Management:
    """One virtual host, seen through the management interface."""

    url: str
    user: str
    password: str
    vhost: str

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return what the interface answers to one request.

        Raises: Trouble if it refuses or is not there.
        """
        word = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        headers = {"Authorization": f"Basic {word}", "Content-Type": "application/json"}
        sent = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api/{path}", sent, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                text = answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                raise Trouble(f"RabbitMQ's management refused {method} {path}: {refused.code}.") from refused
        except OSError as absent:
            raise Trouble(f"RabbitMQ's management at {self.url} does not answer.") from absent
        return json.loads(text) if text else None

    def answers(self) -> bool:
        """Say whether the interface is there and knows us."""
        try:
            self.call("GET", "overview")
        except Trouble:
            return False
        return True

    def ensure_vhost(self) -> None:
        """Create the virtual host, unless it is there, and let the administrator in."""
        self.call("PUT", f"vhosts/{_safe(self.vhost)}", {})
        self.ensure_rights(self.user, configure=".*", write=".*", read=".*")

    def ensure_user(self, name: str, password: str) -> None:
        """Create a user without any rights of administration, or set its password anew."""
        self.call("PUT", f"users/{_safe(name)}", {"password": password, "tags": ""})

    def ensure_rights(self, user: str, *, configure: str, write: str, read: str) -> None:
        """Set what a user may declare, write and read (regular expressions over names)."""
        body = {"configure": configure, "write": write, "read": read}
        self.call("PUT", f"permissions/{_safe(self.vhost)}/{_safe(user)}", body)

    def ensure_topic_rights(self, user: str, exchange: str, *, write: str, read: str) -> None:
        """Set the routing keys with which a user may publish to and bind from a topic exchange."""
        body = {"exchange": exchange, "write": write, "read": read}
        self.call("PUT", f"topic-permissions/{_safe(self.vhost)}/{_safe(user)}", body)

    def consumers(self, queue_prefix: str) -> Counter[str]:
        """Return the number of consumers of each queue that has any and whose name begins so.

        The list of consumers is kept by event; the queues' own counts lag five seconds behind.
        """
        rows = self.call("GET", f"consumers/{_safe(self.vhost)}")
        names = (str(row["queue"]["name"]) for row in rows)
        return Counter(name for name in names if name.startswith(queue_prefix))


def _safe(text: str) -> str:
    return quote(text, safe="")
