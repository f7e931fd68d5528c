"""Everything that brings the exchange up, tries it and measures it; no part of hub or hospital runs this."""
