"""The work process: exports, imports, asynchronous requests and notices, away from ingest and web."""
