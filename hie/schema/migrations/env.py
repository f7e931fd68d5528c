"""Alembic's entry: runs the migrations on the connection that `hie.schema.migrate` opened."""

from alembic import context
from sqlalchemy import text

from hie.schema import Base

connection = context.config.attributes["connection"]
connection.execute(text("SET lock_timeout = '10s'"))
connection.commit()
context.configure(connection=connection, target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
