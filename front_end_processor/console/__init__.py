"""The console: what came in, its fate and why, when it reached the hub; for the hospital's engineer."""
