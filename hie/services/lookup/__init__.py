"""Record lookup: find a person, confirm who it is, read one merged record (IHE QEDm, WS/T 790.13)."""
