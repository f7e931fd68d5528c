"""A private region on one machine: PostgreSQL, RabbitMQ, the hub, one front-end processor per hospital."""
