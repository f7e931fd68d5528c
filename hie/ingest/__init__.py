"""Takes in what the hospitals send: opened, checked, identified and stored, each entry exactly once."""
