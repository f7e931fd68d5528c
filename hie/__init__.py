"""The hub of the health information exchange: what every member hospital sees of one person."""
