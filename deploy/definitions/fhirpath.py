"""Turns the simple FHIRPath invariants of R4 into JSON Schema (FHIRPath N1; FHIR R4 fhirpath.html).

"Simple" is: elements exist, are empty, equal a literal or are compared with a number, joined by
and, or, xor, implies and not. What needs more (dates, joins between elements, counting) is not
expressible and stays to functions in esb/fhir/invariants.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from deploy.definitions.elements import Definitions, Element
from deploy.definitions.primitives import PRIMITIVES

Schema = dict[str, Any]
# Builds the schema of "this value satisfies ..." for what stands at the end of a path.
Leaf = Callable[[str], Schema]

NEVER: Schema = {"not": {}}
_TOKEN = re.compile(
    r"\s*('(?:[^'\\]|\\.)*'|<=|>=|!=|[()=<>|,]|\$this|%?[A-Za-z_]\w*(?:\.|\b)|\d+(?:\.\d+)?|\.)"
)
_CONSTANTS = {"%ucum": "http://unitsofmeasure.org", "true": True, "false": False}


class NotExpressibleError(Exception):
    """The invariant says more than JSON Schema can."""


def compile_invariant(definitions: Definitions, context: str, expression: str) -> Schema:
    """Return the schema that an element at the context path must satisfy.

    Raises: NotExpressibleError if the expression is not a simple one.
    """
    parser = _Parser(definitions, context, _tokens(expression))
    schema = parser.implication()
    if parser.rest:
        raise NotExpressibleError(expression)
    return schema


def _tokens(expression: str) -> list[str]:
    tokens: list[str] = []
    at = 0
    while at < len(expression.rstrip()):
        match = _TOKEN.match(expression, at)
        if match is None:
            raise NotExpressibleError(expression)
        tokens += [part for part in re.split(r"(?<=\w)(\.)$", match[1]) if part] if match[1] != "." else ["."]
        at = match.end()
    return tokens


class _Parser:
    """Recursive descent over the tokens; every method returns the schema of a truth value."""

    def __init__(self, definitions: Definitions, context: str, tokens: list[str]) -> None:
        self.definitions = definitions
        self.context = context
        self.rest = tokens

    def implication(self) -> Schema:
        left = self.disjunction()
        while self._take("implies"):
            left = {"anyOf": [_negate(left), self.disjunction()]}
        return left

    def disjunction(self) -> Schema:
        left = self.conjunction()
        while self._next() in ("or", "xor"):
            keyword = "anyOf" if self._take_any() == "or" else "oneOf"
            left = (
                {keyword: [*left.get(keyword, [left]), self.conjunction()]}
                if keyword == "anyOf"
                else {keyword: [left, self.conjunction()]}
            )
        return left

    def conjunction(self) -> Schema:
        parts = [self.equality()]
        while self._take("and"):
            parts.append(self.equality())
        return parts[0] if len(parts) == 1 else {"allOf": parts}

    def equality(self) -> Schema:
        left = self.term()
        if self._take("="):  # two truth values
            right = self.term()
            return {"anyOf": [{"allOf": [left, right]}, {"not": {"anyOf": [left, right]}}]}
        return left

    def term(self) -> Schema:
        if self._take("("):
            inner = self.implication()
            self._expect(")")
            return self._negated(inner)
        return self.path()

    def path(self) -> Schema:
        """Read a path and what is asked of it."""
        names: list[str] = []
        filters: Schema | None = None
        while True:
            name = self._take_any()
            if not re.fullmatch(r"\$this|%?[A-Za-z_]\w*", name):
                raise NotExpressibleError(name)
            if self._next() == "(":
                self._expect("(")
                if name == "where":
                    at = self._below(names)
                    filters = _Parser(self.definitions, at, self.rest).implication()
                    self._expect(")")
                else:
                    self._expect(")")
                    return self._negated(self._asked(name, names, filters))
            elif filters is not None:
                raise NotExpressibleError("path behind a filter")
            else:
                names.append(name)
            if not self._take("."):
                return self._compared(names)

    def _asked(self, function: str, names: list[str], filters: Schema | None) -> Schema:
        leaf: Leaf | None = (lambda _: filters) if filters is not None else None
        if function == "exists":
            return self.exists(names, leaf)
        if function == "empty":
            return _negate(self.exists(names, leaf))
        if function == "count" and filters is None:
            return self._counted(names)
        if function == "hasValue" and filters is None:
            return self.exists(names, lambda _: {})
        raise NotExpressibleError(function)

    def _counted(self, names: list[str]) -> Schema:
        """Return the schema of `x.count() <= 1` or `x.count() > 1`, for an element that repeats."""
        operator, limit = self._take_any(), self._literal()
        if (
            len(names) != 1
            or not self._element(self.context, names[0])[0].many
            or operator not in ("<=", ">")
        ):
            raise NotExpressibleError("count")
        above = {"required": names, "properties": {names[0]: {"minItems": limit + 1}}}
        return above if operator == ">" else {"not": above}

    def _negated(self, schema: Schema) -> Schema:
        while self._take("."):
            self._expect("not")
            self._expect("(")
            self._expect(")")
            schema = _negate(schema)
        return schema

    def _compared(self, names: list[str]) -> Schema:
        operator = self._next()
        if operator in ("=", "!=", "<", "<=", ">", ">="):
            self._take_any()
            value = self._literal()
            return self.exists(names, lambda _: _comparison(operator, value))
        if self._take("in"):
            self._expect("(")
            values = [self._literal()]
            while self._take("|"):
                values.append(self._literal())
            self._expect(")")
            return self.exists(names, lambda _: {"enum": values})
        return self.exists(names, lambda _: {"const": True})

    def exists(self, names: list[str], leaf: Leaf | None) -> Schema:
        """Return the schema of: something stands at the path (and satisfies the leaf)."""
        steps = [name for name in names if name not in ("$this", "%resource")]
        if steps and steps[0] == self.context.partition(".")[0]:
            steps = steps[1:]
        if "%resource" in names and "." in self.context:
            raise NotExpressibleError("the resource seen from an element")
        if not steps:
            return leaf("") if leaf else {}
        return self._at(self.context, steps, leaf)

    def _at(self, at: str, steps: list[str], leaf: Leaf | None) -> Schema:
        element, below = self._element(at, steps[0])
        found: list[Schema] = []
        for key, type_ in element.keys().items():
            if len(steps) == 1 and leaf is None:
                found += [{"required": [name]} for name in _names(key, type_)]
                continue
            inner = self._at(below, steps[1:], leaf) if len(steps) > 1 else leaf(type_)  # type: ignore[misc]
            value = {"type": "array", "contains": inner} if element.many else inner
            found.append({"required": [key]} | ({"properties": {key: value}} if inner else {}))
        return found[0] if len(found) == 1 else {"anyOf": found}

    def _element(self, at: str, name: str) -> tuple[Element, str]:
        found = self.definitions.child(at, name)
        if found is None:
            raise NotExpressibleError(f"{at}.{name}")
        return found

    def _below(self, names: list[str]) -> str:
        at = self.context
        for name in names:
            at = self._element(at, name)[1]
        return at

    def _literal(self) -> Any:
        token = self._take_any()
        if token.startswith("'"):
            return token[1:-1]
        if re.fullmatch(r"\d+(\.\d+)?", token):
            return float(token) if "." in token else int(token)
        if token in _CONSTANTS:
            return _CONSTANTS[token]
        raise NotExpressibleError(token)

    def _next(self) -> str:
        return self.rest[0] if self.rest else ""

    def _take_any(self) -> str:
        if not self.rest:
            raise NotExpressibleError("end of expression")
        return self.rest.pop(0)

    def _take(self, token: str) -> bool:
        if self._next() == token:
            self.rest.pop(0)
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise NotExpressibleError(f"{token} expected")


def _names(key: str, type_: str) -> list[str]:
    return [key, f"_{key}"] if type_ in PRIMITIVES else [key]


def _negate(schema: Schema) -> Schema:
    return schema["not"] if set(schema) == {"not"} else {"not": schema}


def _comparison(operator: str, value: Any) -> Schema:
    if operator == "=":
        return {"const": value}
    if operator == "!=":
        return {"not": {"const": value}}
    keyword = {"<": "exclusiveMaximum", "<=": "maximum", ">": "exclusiveMinimum", ">=": "minimum"}[operator]
    return {keyword: value}
