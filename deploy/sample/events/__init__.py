"""From a person's health to what happens in hospitals: registrations, visits, reports, money."""
