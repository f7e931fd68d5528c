"""What the hub does for people and systems: lookup, summary, matching, vocabulary, subscriptions, exports."""
