"""The International Patient Summary (IPS 1.1) of a person, from the records of all hospitals."""
