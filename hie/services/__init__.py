"""What the hub does for people: lookup, referral, booking, consultation, care, reports, notices."""
