"""Blocks alive together never share a byte; blocks that are not may."""

from __future__ import annotations

import random

import pytest
from sodalite.plan import ALIGNMENT, Block, aligned, blank, place


@pytest.mark.parametrize("gap", [0, 64])
@pytest.mark.parametrize("seed", range(150))
def test_blocks_alive_together_do_not_overlap(seed, gap):
    rng = random.Random(seed)
    blocks = []
    for _ in range(rng.randint(0, 50)):
        first = rng.randint(0, 30)
        blocks.append(Block(rng.choice([0, 1, 64, 65, 300, 5000]), first, first + rng.randint(0, 10)))
    offsets, size = place(blocks, gap=gap)
    for i, (a, at) in enumerate(zip(blocks, offsets, strict=True)):
        assert at % ALIGNMENT == 0
        assert not a.nbytes or at + a.nbytes + gap <= size
        for b, bt in zip(blocks[:i], offsets[:i], strict=True):
            if a.nbytes and b.nbytes and a.first <= b.last and b.first <= a.last:
                assert at + a.nbytes + gap <= bt or bt + b.nbytes + gap <= at


def test_lifetimes_that_do_not_meet_share():
    assert place([Block(100, 0, 1), Block(100, 2, 3)]) == ([0, 0], 128)


def test_without_sharing_each_has_its_own():
    assert place([Block(100, 0, 1), Block(100, 2, 3)], share=False) == ([0, 128], 256)


def test_a_hole_is_used():
    offsets, size = place([Block(256, 0, 9), Block(128, 0, 4), Block(64, 5, 9), Block(64, 5, 9)])
    assert size == 384
    assert offsets[2:] == [256, 320]


@pytest.mark.parametrize("nbytes", [1, 63, 64, 1000])
def test_memory_starts_on_the_alignment(nbytes):
    memory = blank(nbytes)
    assert memory.ctypes.data % ALIGNMENT == 0
    assert memory.size == nbytes
    assert aligned(nbytes) % ALIGNMENT == 0
