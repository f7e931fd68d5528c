"""What can be wrong with a question to the terminology."""

from hie.errors import Rejected


class NotKnown(Rejected):
    """This terminology is not known here; load it (hie terminology load) or write it as a resource first."""

    http = 422
    code = "not-found"


class TooCostly(Rejected):
    """The expansion is too large for one answer; ask for pages with count and offset, or give a filter."""

    http = 422
    code = "too-costly"
