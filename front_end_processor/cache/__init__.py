"""The hospital's local database: every captured message, its fate, and the outbox towards the hub."""
