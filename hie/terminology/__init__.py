"""Code systems, value sets and maps: what codes mean, which belong together, and which are not mapped yet.

Search modifiers ask here: `:in` and `:not-in` `codes_of`, `:below` `descendants`, `:above` `ancestors`.
"""

from hie.terminology.hierarchy import ancestors, descendants, is_subsumed
from hie.terminology.members import codes_of

__all__ = ["ancestors", "codes_of", "descendants", "is_subsumed"]
