"""Distinct people for named slots. Guards a quorum from one person who sits in two chairs, and from a greedy count.

Maximum bipartite matching by augmenting paths (Kuhn 1955): with voters A in teams x and y, and B in x, the slots x
and y are filled only if A takes y, whatever the order of the votes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from weighthouse.access.model import Slot


class Filling(msgspec.Struct, frozen=True):
    """Who fills which slot, and which slots still lack how many."""

    filled: tuple[tuple[str, str], ...]
    missing: tuple[Slot, ...]

    @property
    def complete(self) -> bool:
        return not self.missing


def fill(slots: Sequence[Slot], teams_of: Mapping[str, Collection[str]]) -> Filling:
    """Match the people of `teams_of` (person to teams) to `slots`; as many seats as possible, each person once."""
    seats = [(slot, number) for slot in slots for number in range(slot.count)]
    taken: dict[str, int] = {}  # person to the index of the seat

    def seat_of(index: int, tried: set[str]) -> bool:
        team = seats[index][0].team
        for person in sorted(teams_of):
            if person in tried or team not in teams_of[person]:
                continue
            tried.add(person)
            if person not in taken or seat_of(taken[person], tried):
                taken[person] = index
                return True
        return False

    for index in range(len(seats)):
        seat_of(index, set())
    by_seat = {index: person for person, index in taken.items()}
    filled = tuple((seats[index][0].name, by_seat[index]) for index in sorted(by_seat))
    missing = []
    for slot in slots:
        lacking = slot.count - sum(1 for name, _ in filled if name == slot.name)
        if lacking:
            missing.append(Slot(slot.name, slot.team, lacking))
    return Filling(filled, tuple(missing))
