"""Alembic's entry to the cache's migrations: online only, SQLite or PostgreSQL."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool

from front_end_processor.cache.tables import metadata

engine = create_engine(context.config.attributes["url"], poolclass=pool.NullPool, hide_parameters=True)
with engine.connect() as connection:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET lock_timeout = '5s'")
        connection.commit()
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
