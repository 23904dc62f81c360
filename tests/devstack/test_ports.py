"""Stacks beside each other, each with ports of its own."""

import zlib
from pathlib import Path

from devstack.node import BLOCK, BLOCKS, Node
from devstack.state import State


def beginning_alike(directory: Path, count: int) -> list[State]:
    """Clones that would all look at the same block first."""
    roots = (directory / str(number) for number in range(count * len(BLOCKS) * 10))
    alike = [root for root in roots if zlib.crc32(bytes(root)) % len(BLOCKS) == 0]
    return [State(root) for root in alike[:count]]


def test_stacks_that_start_at_one_moment_do_not_meet(tmp_path: Path) -> None:
    nodes = [Node(state) for state in beginning_alike(tmp_path, 3)]

    assert len({node.port // BLOCK for node in nodes}) == 3
