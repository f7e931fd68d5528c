"""What every request of the hub shares: settings, the database, tokens in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from hie.config import Config
from hie.security import audit
from hie.security.oauth import TokenCache
from hie.security.throttle import Throttle


@dataclass(frozen=True, slots=True)
class Hub:
    """The running hub of one process; nothing is connected before the first request."""

    config: Config
    engine: Engine
    tokens: TokenCache = field(default_factory=TokenCache)
    throttle: Throttle = field(default_factory=Throttle)

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """Give a session in a transaction that commits at the end and rolls back on any error."""
        with audit.forgotten_if_undone(), Session(self.engine) as session, session.begin():
            yield session


def open_hub(config: Config, *, connections: int = 5) -> Hub:
    """Return a hub with a pool of so many connections."""
    return Hub(
        config,
        create_engine(
            config.database_url,
            hide_parameters=True,
            pool_size=connections,
            max_overflow=0,
            pool_pre_ping=True,
            pool_timeout=10,
            connect_args={"connect_timeout": 5},
        ),
    )
