"""The hub's searches against those of an independent in-memory FHIR repository, over the same resources.

Every difference must be of a class in `differences.CLASSES`, checked for each resource that only one finds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import pytest

from tests.foreign.conftest import ROOT
from tests.foreign.differences import CLASSES, SPECIFICATION, explain
from tests.foreign.two_servers import SEED, Atom, Ours, Peer, atoms, resources
from tests.hub_world import Caller, Json, application

ASKED, TOGETHER = 500, 80
PAGE = ROOT / "docs" / "interfaces-fhir-differences.md"


@dataclass
class World:
    """Both servers with the same resources, and what each found by one parameter."""

    known: dict[tuple[str, str], Json]
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
        yield World({(one["resourceType"], one["id"]): one for one in known}, ours, peer, found)


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
        assert world.peer.search(first.type, asked) == expected, asked
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
    for atom in Random(SEED).sample(people, min(40, len(people))):
        name, value = atom.asked
        targets = ",".join(f"Patient/{id_}" for id_ in sorted(world.peer.search("Patient", atom.asked)))
        expected = world.peer.search("Observation", ("subject", targets)) if targets else set()
        assert world.ours.search("Observation", (f"subject:Patient.{name}", value)) == expected, atom
        is_telling += bool(expected)
    assert is_telling > 10


def test_a_reverse_chain_finds_what_is_pointed_at_by_what_the_peer_finds(world: World) -> None:
    observed = [atom for atom in same(world, KINDS) if atom.type == "Observation"]
    is_telling = 0
    for atom in Random(SEED).sample(observed, min(40, len(observed))):
        name, value = atom.asked
        expected = pointing(world, "Observation", world.peer.search("Observation", atom.asked))
        assert world.ours.search("Patient", (f"_has:Observation:subject:{name}", value)) == expected, atom
        is_telling += bool(expected)
    assert is_telling > 10


def test_the_page_lists_the_classes_as_they_are_tested() -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    assert rows == [
        f"| `{one.name}` | {one.hub} | {one.peer} | [{one.section}]({SPECIFICATION}#{one.section}) |"
        for one in CLASSES
    ]
