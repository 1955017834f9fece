"""Groups are convex and their order respects every edge, on thousands of random graphs."""

from __future__ import annotations

import random

import pytest
from sodalite.resolve import convex_groups, ordered


def random_edges(rng: random.Random, n: int) -> dict[int, set[int]]:
    return {k: {rng.randrange(k) for _ in range(rng.choice([0, 1, 1, 2, 3]))} if k else set() for k in range(n)}


def test_groups_of_3000_random_graphs_can_run_as_one():
    for seed in range(3000):
        rng = random.Random(seed)
        n = rng.randint(1, 20)
        before = random_edges(rng, n)
        members = {k for k in range(n) if rng.random() < rng.choice([0.3, 0.6, 0.9])}
        groups = convex_groups([(k,) for k in range(n)], before, members)
        assert sorted(k for g in groups for k in g) == sorted(members), seed
        grouped = {k for g in groups for k in g}
        units = [tuple(g) for g in groups] + [(k,) for k in range(n) if k not in grouped]
        order = ordered(units, before)  # raises if they hang on each other in a cycle
        place = {k: at for at, u in enumerate(order) for k in units[u]}
        for node, needed in before.items():
            assert all(place[p] <= place[node] for p in needed), seed


def test_neighbours_form_one_group():
    assert convex_groups([(0,), (1,), (2,), (3,)], {1: {0}, 2: {1}, 3: {2}}, {1, 2}) == [[1, 2]]


def test_a_node_outside_between_two_splits_them():
    assert convex_groups([(0,), (1,), (2,)], {1: {0}, 2: {1, 0}}, {0, 2}) == [[0], [2]]


def test_file_order_where_free():
    assert ordered([(0,), (2,), (1,), (3,)], {3: {0}}) == [0, 2, 1, 3]


def test_a_cycle_is_an_error():
    with pytest.raises(ValueError, match="cycle"):
        ordered([(0, 2), (1,)], {1: {0}, 2: {1}})
