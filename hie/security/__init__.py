"""Who may do what, and the proof of what was done: actors, one policy, OAuth 2, passwords, audit."""
