"""Everything that brings the exchange up, tries it and measures it; nothing here runs inside hub or hospital."""
