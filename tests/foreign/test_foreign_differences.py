"""The hub's searches against those of an independent in-memory FHIR repository, over the same resources.

Every difference must be of a class in `differences.CLASSES`, checked for each resource that only one finds.
What the hub finds is held against a second opinion too (`oracle`), which has no classes: none hides a fault.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

import pytest

from tests.foreign import oracle
from tests.foreign.conftest import ROOT
from tests.foreign.differences import CLASSES, SPECIFICATION, explain
from tests.foreign.two_servers import SEED, UCUM, Atom, Ours, Peer, atoms, resources
from tests.hub_world import Caller, Json, application

ASKED, TOGETHER = 500, 60
PAGE = ROOT / "docs" / "interfaces-fhir-differences.md"


@dataclass
class World:
    """Both servers with the same resources, and what each found by one parameter.

    values: what the published expressions find in each resource.
    """

    known: dict[tuple[str, str], Json]
    values: dict[tuple[str, str], oracle.Values]
    ours: Ours
    peer: Peer
    found: dict[Atom, tuple[set[str], set[str]]]


@pytest.fixture(scope="module")
def world(module_database_url: str, node: str) -> Iterator[World]:
    """Both servers, asked."""
    known = resources()
    # The peer knows no zone of its own: a day is a day in UTC.
    with Peer(node) as peer, application(module_database_url, HIE_ZONE="UTC") as app:
        peer.load(known)
        ours = Ours(Caller(app))
        ours.load(known)
        found = {
            atom: (ours.search(atom.type, atom.asked), peer.search(atom.type, atom.asked))
            for atom in atoms(known, ASKED)
        }
        names = [(one["resourceType"], one["id"]) for one in known]
        values = dict(zip(names, peer.values(known), strict=True))
        yield World(dict(zip(names, known, strict=True)), values, ours, peer, found)


def test_a_search_by_one_parameter_finds_the_same_or_differs_as_the_specification_decides(
    world: World,
) -> None:
    unexplained = []
    seen: set[str] = set()
    for atom, (ours, theirs) in world.found.items():
        for id_ in sorted(ours ^ theirs):
            name = explain(atom, world.known[atom.type, id_], id_ in ours)
            if name is None:
                unexplained.append((atom, id_, "ours" if id_ in ours else "theirs"))
            else:
                seen.add(name)
    assert unexplained == []
    assert seen == {one.name for one in CLASSES}, "a class that no difference needs is no class"
    assert len(CLASSES) <= 10


def test_most_searches_do_not_differ(world: World) -> None:
    for kind in ("token", "string", "reference", "date", "uri"):
        pairs = [pair for atom, pair in world.found.items() if atom.kind == kind]
        assert sum(ours == theirs for ours, theirs in pairs) > len(pairs) / 3, kind
        assert any(ours and ours == theirs for ours, theirs in pairs), kind


def same(world: World, kinds: tuple[str, ...]) -> list[Atom]:
    """Return the searches by one parameter on which both agree."""
    return [atom for atom, (ours, theirs) in world.found.items() if ours == theirs and atom.kind in kinds]


KINDS = ("token", "string", "reference", "date", "uri")


def test_parameters_together_find_what_each_of_them_finds(world: World) -> None:
    draw = Random(SEED)
    agreed = same(world, KINDS)
    is_telling = 0
    for first in draw.sample(agreed, min(TOGETHER, len(agreed))):
        others = [atom for atom in agreed if atom.type == first.type and atom.code != first.code]
        several = [first, *draw.sample(others, min(len(others), draw.choice((1, 2))))]
        expected = set.intersection(*(world.found[atom][0] for atom in several))
        asked = [atom.asked for atom in several]
        assert world.ours.search(first.type, *asked) == expected, asked
        assert world.peer.search(first.type, *asked) == expected, asked
        is_telling += bool(expected)
    assert is_telling > 10


def test_alternatives_find_what_any_of_them_finds(world: World) -> None:
    draw = Random(SEED)
    agreed = [atom for atom in same(world, KINDS) if atom.modifier in ("", "not") and not atom.prefix]
    is_telling = 0
    for first in draw.sample(agreed, min(TOGETHER, len(agreed))):
        alike = [
            a for a in agreed if (a.type, a.code, a.modifier) == (first.type, first.code, first.modifier)
        ]
        several = draw.sample(alike, min(len(alike), 3))
        # None of them, for :not (search.html#modifiers).
        join = set.intersection if first.modifier == "not" else set.union
        expected = join(*(world.found[atom][0] for atom in several))
        asked = (first.asked[0], ",".join(atom.asked[1] for atom in several))
        assert world.ours.search(first.type, asked) == expected, asked
        # The other takes one date at a time.
        assert first.kind == "date" or world.peer.search(first.type, asked) == expected, asked
        is_telling += bool(expected) and len(several) > 1
    assert is_telling > 10


@pytest.mark.parametrize("order", ["_id", "-_id", "date", "-date", "status"])
def test_an_order_changes_nothing_of_what_is_found(world: World, order: str) -> None:
    agreed = [atom for atom in same(world, KINDS) if atom.type == "Observation"]
    for atom in Random(SEED).sample(agreed, 10):
        assert world.ours.search("Observation", atom.asked, ("_sort", order)) == world.found[atom][0]


def pointing(world: World, type_: str, ids: set[str]) -> set[str]:
    """Return whom resources of a type have as their subject, by id."""
    subjects = (world.known[type_, id_].get("subject", {}).get("reference", "") for id_ in ids)
    return {reference.partition("/")[2] for reference in subjects if reference}


def test_a_chain_finds_what_points_at_what_the_peer_finds(world: World) -> None:
    people = [atom for atom in same(world, KINDS) if atom.type == "Patient"]
    is_telling = 0
    for atom in Random(SEED).sample(people, min(30, len(people))):
        name, value = atom.asked
        targets = ",".join(f"Patient/{id_}" for id_ in sorted(world.peer.search("Patient", atom.asked)))
        expected = world.peer.search("Observation", ("subject", targets)) if targets else set()
        assert world.ours.search("Observation", (f"subject:Patient.{name}", value)) == expected, atom
        is_telling += bool(expected)
    assert is_telling > 10


def test_a_reverse_chain_finds_what_is_pointed_at_by_what_the_peer_finds(world: World) -> None:
    observed = [atom for atom in same(world, KINDS) if atom.type == "Observation"]
    is_telling = 0
    for atom in Random(SEED).sample(observed, min(30, len(observed))):
        name, value = atom.asked
        expected = pointing(world, "Observation", world.peer.search("Observation", atom.asked))
        assert world.ours.search("Patient", (f"_has:Observation:subject:{name}", value)) == expected, atom
        is_telling += bool(expected)
    assert is_telling > 10


Judge = Callable[[oracle.Values], oracle.Verdict]


def judged(world: World, type_: str, judge: Judge) -> tuple[set[str], set[str]]:
    """Return the ids of a type that must be found, and of those that may be."""
    verdicts = {id_: judge(values) for (t, id_), values in world.values.items() if t == type_}
    must = {id_ for id_, verdict in verdicts.items() if verdict.must}
    return must, {id_ for id_, verdict in verdicts.items() if verdict.may}


def by_atom(atom: Atom) -> Judge:
    """Return the judge of a search by one parameter."""
    return lambda values: oracle.judge(
        atom.kind, atom.modifier, atom.prefix, atom.value, values.get(atom.code, ())
    )


def test_whatever_the_hub_finds_by_one_parameter_a_second_opinion_finds_too(world: World) -> None:
    slack = 0
    for atom, (ours, _) in world.found.items():
        if (atom.code, atom.modifier) == ("deceased", "missing"):
            continue  # the class missing-computed: its expression always has a value
        must, may = judged(world, atom.type, by_atom(atom))
        assert must <= ours <= may, (atom, must - ours, ours - may)
        slack += must != may
    # What the server may decide is the rare case, or this would prove nothing.
    assert slack < len(world.found) / 10


UNITS = ("", "", f"|{UCUM}|mg", f"|{UCUM}|g", "||mg", "|urn:other|mg")
DIGITS = ("5.4", "5.40", "5", "0.05", "0.0054", "100", "1e2", "-2", "0", "99.6")
SHARES = ("0.5", "0.50", "0.125", "0.12", "0.13", "0.4", "1", "0")
LOINCS = ("718-7", "2823-3", "4548-4", "LA-a")
# Where numbers are asked for: (type, parameter, values).
MEASURED = (
    ("Observation", "value-quantity", "quantity", DIGITS),
    ("Observation", "component-value-quantity", "quantity", DIGITS),
    ("Observation", "combo-value-quantity", "quantity", DIGITS),
    ("RiskAssessment", "probability", "number", SHARES),
)
SIGNS = ("", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")


def measures(number: int) -> list[Atom]:
    """Return so many searches by numbers and quantities."""
    draw = Random(SEED)
    made = []
    for turn in range(number):
        type_, code, kind, digits = MEASURED[turn % len(MEASURED)]
        unit = draw.choice(UNITS) if kind == "quantity" else ""
        made.append(Atom(type_, code, kind, "", draw.choice(SIGNS), draw.choice(digits) + unit))
    return made


def test_numbers_and_quantities_are_found_as_a_second_opinion_finds_them(world: World) -> None:
    is_telling = 0
    for atom in measures(100):
        ours = world.ours.search(atom.type, atom.asked)
        must, may = judged(world, atom.type, by_atom(atom))
        assert must <= ours <= may, (atom, must - ours, ours - may)
        is_telling += bool(must) and len(ours) < len(judged(world, atom.type, lambda _: oracle.ALL)[0])
    assert is_telling > 50


# A composite and the kinds of its parts.
COMPOSITES = {
    "code-value-quantity": ("token", "quantity"),
    "component-code-value-quantity": ("token", "quantity"),
    "combo-code-value-quantity": ("token", "quantity"),
    "code-value-concept": ("token", "token"),
    "component-code-value-concept": ("token", "token"),
    "combo-code-value-concept": ("token", "token"),
}


def by_composite(code: str, value: str) -> Judge:
    """Return the judge of a search by a composite."""
    return lambda values: oracle.judge_composite(COMPOSITES[code], value, values.get(code, ()))


def test_composites_are_found_as_a_second_opinion_finds_them(world: World) -> None:
    draw = Random(SEED)
    is_telling = 0
    for turn in range(60):
        code = list(COMPOSITES)[turn % len(COMPOSITES)]
        kinds = COMPOSITES[code]
        second = draw.choice(SIGNS) + draw.choice(DIGITS[:4]) + draw.choice(UNITS[:4])
        first = draw.choice(("", "http://loinc.org|")) + draw.choice(LOINCS)
        value = f"{first}${second if kinds[1] == 'quantity' else draw.choice(LOINCS)}"
        ours = world.ours.search("Observation", (code, value))
        must, may = judged(world, "Observation", by_composite(code, value))
        assert must <= ours <= may, (code, value, must - ours, ours - may)
        is_telling += bool(must)
    assert is_telling > 20


def through(world: World, type_: str, code: str, targets: set[str]) -> set[str]:
    """Return the ids of a type whose references by a parameter point to one of these addresses."""
    return {
        id_
        for (t, id_), values in world.values.items()
        if t == type_ and oracle.pointed_at(values.get(code, ())) & targets
    }


def pointed(world: World, type_: str, code: str, ids: set[str], target: str) -> set[str]:
    """Return the ids of a type that references by a parameter, of these resources, point to."""
    found = (oracle.pointed_at(world.values[type_, id_].get(code, ())) for id_ in ids)
    return {
        address.partition("/")[2] for some in found for address in some if address.startswith(f"{target}/")
    }


def test_chains_and_reverse_chains_over_measures_are_followed_as_a_second_opinion_does(world: World) -> None:
    is_telling = 0
    for atom in measures(24):
        name, value = atom.asked
        measured, may = judged(world, atom.type, by_atom(atom))
        if measured != may:
            continue
        whose = pointed(world, atom.type, "subject", measured, "Patient")
        asked = f"_has:{atom.type}:subject:{name}"
        assert world.ours.search("Patient", (asked, value)) == whose, atom
        people = {f"Patient/{id_}" for id_ in whose}
        conditions = through(world, "DiagnosticReport", "subject", people)
        assert world.ours.search("DiagnosticReport", (f"subject:Patient.{asked}", value)) == conditions, atom
        if atom.type == "Observation":
            reports = through(world, "DiagnosticReport", "result", {f"Observation/{i}" for i in measured})
            assert world.ours.search("DiagnosticReport", (f"result.{name}", value)) == reports, atom
            is_telling += bool(reports) and bool(conditions)
    assert is_telling > 5


def test_the_page_lists_the_classes_as_they_are_tested() -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    assert rows == [
        f"| `{one.name}` | {one.hub} | {one.peer} | [{one.section}]({SPECIFICATION}#{one.section}) |"
        for one in CLASSES
    ]
