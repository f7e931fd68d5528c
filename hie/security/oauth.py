"""OAuth 2.0 client credentials (RFC 6749 §4.4) by Authlib, and bearer tokens (RFC 6750) turned into actors.

Tokens are 256 random bits; only their SHA-256 is stored. No web framework here: `hie.app` binds it.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Request
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6749.util import extract_basic_authorization
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from sqlalchemy import Engine, delete, insert, select
from sqlalchemy.orm import Session

from hie.errors import NotAuthenticated
from hie.schema.directory import AccessToken, AppClient
from hie.security.actor import Actor, client_actor
from hie.security.scopes import narrow, parse_scopes
from hie.security.secrets import is_secret, new_token, nobody_hash, token_hash

CACHE_S = 5.0
CACHE_SIZE = 10_000
METHODS = ("client_secret_basic", "client_secret_post")
NO_CLIENT = {
    "error": "invalid_client",
    "error_description": "Client id and secret do not fit; check both, or ask the operator for a new secret.",
}


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client as Authlib asks for it; an unknown one matches no secret, in the same time."""

    client_id: str
    secret_hash: str
    scope: str
    known: bool

    def get_client_id(self) -> str:
        """Return the client's id."""
        return self.client_id

    def check_client_secret(self, secret: str) -> bool:
        """Say whether the secret is this client's."""
        return is_secret(secret, self.secret_hash) and self.known

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Say whether the client may authenticate so: by Basic or in the form."""
        return method in METHODS and endpoint == "token"

    def check_grant_type(self, grant_type: str) -> bool:
        """Say whether the client may use the grant: client credentials only."""
        return grant_type == ClientCredentialsGrant.GRANT_TYPE

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """Return the scopes to grant of those asked for."""
        return narrow(self.scope, scope)


class _Grant(ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS


class _Request(OAuth2Request):
    # TLS ends in front of this process, so the scheme seen here says nothing about the caller's connection.
    def __init__(self, headers: Mapping[str, str], form: dict[str, str]) -> None:
        super().__init__("POST", "https://hub/oauth/token", headers=headers)
        self.payload = BasicOAuth2Payload(form)

    @property
    def form(self) -> dict[str, str]:
        return cast(dict[str, str], self.payload.data)


class _Server(AuthorizationServer):
    def __init__(self, session: Session, now: datetime, lifetime_s: int) -> None:
        super().__init__()
        self._session, self._now = session, now
        self.register_grant(_Grant)
        self.register_token_generator(
            "default",
            BearerTokenGenerator(lambda **_: new_token(), expires_generator=lambda *_: lifetime_s),
        )

    def query_client(self, client_id: str) -> Client:
        """Return the client, or one that no secret fits."""
        row = self._session.get(AppClient, client_id) if "\0" not in client_id else None
        if row is None or row.disabled_at is not None:
            return Client(client_id, nobody_hash(), "", known=False)
        return Client(row.id, row.secret_hash, row.scope, known=True)

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        """Store the token's hash."""
        self._session.execute(delete(AccessToken).where(AccessToken.expires_at < self._now))
        self._session.execute(
            insert(AccessToken).values(
                token_hash=token_hash(token["access_token"]),
                client_id=request.client.client_id,
                scope=token["scope"],
                expires_at=self._now + timedelta(seconds=token["expires_in"]),
            )
        )

    def create_oauth2_request(self, request: _Request) -> _Request:
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> tuple[int, Any, list[tuple[str, str]]]:
        return status, body, list(headers)

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """The token endpoint's answer."""

    status: int
    body: dict[str, Any]
    headers: list[tuple[str, str]]


def token_answer(
    session: Session, headers: Mapping[str, str], form: dict[str, str], *, now: datetime, lifetime_s: int
) -> TokenAnswer:
    """Answer a request to the token endpoint; the caller commits and throttles.

    An unknown client and a wrong secret get one answer, by Basic or by form.
    """
    server = _Server(session, now, lifetime_s)
    try:
        status, body, answered = server.create_token_response(_Request(headers, form))
    except UnicodeDecodeError:
        status, body, answered = 401, NO_CLIENT, []
    if body.get("error") == "invalid_client":
        status, body = 401, NO_CLIENT
        answered = [*answered, ("WWW-Authenticate", 'Basic realm="hie"')]
    return TokenAnswer(status, body, answered)


def named_client(headers: Mapping[str, str], form: Mapping[str, str]) -> str:
    """Return the client id a token request states, proven or not, as an audit row can hold it."""
    try:
        named, _ = extract_basic_authorization(headers)
    except UnicodeDecodeError:
        named = None
    return str(named or form.get("client_id") or "").replace("\0", "")[:64]


class TokenCache:
    """Turns bearer tokens into actors; remembers each for a few seconds: so late may a revocation act."""

    def __init__(self) -> None:
        self._seen: dict[bytes, tuple[float, datetime, Actor]] = {}
        self._lock = threading.Lock()

    def actor(self, engine: Engine, token: str, now: datetime) -> Actor:
        """Return the actor a token stands for. Raises: NotAuthenticated if it is unknown or has expired."""
        key = token_hash(token)
        clock = time.monotonic()
        hit = self._seen.get(key)
        if hit and hit[0] > clock and hit[1] > now:
            return hit[2]
        query = (
            select(AccessToken.scope, AccessToken.expires_at, AppClient.id, AppClient.facility)
            .join(AppClient, AppClient.id == AccessToken.client_id)
            .where(
                AccessToken.token_hash == key, AccessToken.expires_at > now, AppClient.disabled_at.is_(None)
            )
        )
        with engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotAuthenticated("The bearer token is unknown or has expired; get one at /oauth/token.")
        scope, expires_at, client_id, facility = row
        actor = client_actor(client_id, facility, parse_scopes(scope))
        with self._lock:
            if len(self._seen) >= CACHE_SIZE:
                self._seen.clear()
            self._seen[key] = (clock + CACHE_S, expires_at, actor)
        return actor


def bearer_token(authorization: str | None) -> str:
    """Return the token of an Authorization header. Raises: NotAuthenticated if it holds none."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAuthenticated("A bearer token is needed: Authorization: Bearer …; get one at /oauth/token.")
    return token.strip()


def smart_configuration(base_url: str) -> dict[str, Any]:
    """Return the SMART configuration (SMART App Launch 2.2 §2.1) of the hub."""
    return {
        "issuer": base_url,
        "token_endpoint": f"{base_url}/oauth/token",
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": list(METHODS),
        "scopes_supported": ["system/*.cruds", "system/*.rs"],
        "capabilities": ["client-confidential-symmetric", "permission-v2"],
    }
