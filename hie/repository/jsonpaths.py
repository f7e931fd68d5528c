"""Elements of a stored resource reached by SQL: search paths written as PostgreSQL's jsonpath.

Only for what no index holds: whether an element is missing, and what to sort by.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Double, Numeric, case, cast, func, literal_column
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH

from esb.fhir.search_parameters import Path
from hie.schema.repository import Resource


def content() -> Any:
    r"""Return the content of a resource as jsonb, NULL where it was deleted.

    jsonb has no place for `\u0000`; another character stands in for it, for only the place is asked about.
    """
    return func.nullif(func.replace(Resource.content, r"\u0000", r"\u0001"), "").cast(JSONB)


def double_of(value: Any) -> Any:
    """Return a number in jsonb as a double, the nearest there is: a cast alone fails for what none holds."""
    number = cast(value, Numeric)
    least: Any = literal_column("-1.7976931348623157e308")
    most: Any = literal_column("1.7976931348623157e308")
    within = cast(func.least(func.greatest(number, least), most), Double)
    return case((func.abs(number) < literal_column("1e-307"), cast(0, Double)), else_=within)


def text_of(path: Path, leaf: str = "", *, begin: str = "$") -> str:
    """Return the jsonpath of an element; `leaf` is what to take from it, e.g. `.coding[*].code`."""
    out = [begin]
    for step in path.steps:
        if step.startswith("?"):
            key, _, wanted = step[1:].partition("=")
            out.append(f' ? (@."{key}" == "{wanted}")')
        elif step.startswith("["):
            out[-1] = out[-1].removesuffix("[*]") + step
        else:
            out.append(f'."{step}"[*]')
    if path.target and path.type == "Reference":
        out.append(f' ? (@."reference" like_regex "(^|/){path.target}/")')
    return "".join(out) + leaf


def jsonpath(text: str) -> Any:
    """Return a jsonpath that stands in a statement."""
    return cast(text, JSONPATH)
