"""What goes wrong on the way up, told in one plain sentence."""


class Trouble(Exception):
    """Something the caller can mend; its text is one plain sentence that says what and how."""
