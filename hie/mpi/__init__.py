"""The master patient index: which source records (identities) belong to one person (IHE PIXm, PDQm, PMIR)."""
