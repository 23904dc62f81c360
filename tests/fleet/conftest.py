"""Real machines for the tests of this folder; where there can be none, the tests say what is missing."""

import os
from collections.abc import Iterator

import pytest

from nodes import transport
from tests.fleet import rootfs
from tests.fleet.agent_node import RealNode
from tests.fleet.commands import Failed
from tests.fleet.enrolling import enroll
from tests.fleet.fleet import Fleet

SIZE = 3


@pytest.fixture(scope="package")
def fleet() -> Iterator[Fleet]:
    # CI is root on Debian: there, tests that could not be run have failed.
    give_up = pytest.fail if os.environ.get("CI") else pytest.skip
    if reason := rootfs.why_impossible():
        give_up(f"real nodes: {reason}")
    try:
        fleet = Fleet(SIZE)
    except Failed as failure:
        give_up(f"real nodes: their root file system could not be built: {failure}")
    try:
        fleet.up()
        yield fleet
    finally:
        transport.close()
        fleet.down()


@pytest.fixture(scope="package")
def real_nodes() -> list[RealNode]:
    """Filled by the first test that wants one, since an enrolment needs the database."""
    return []


@pytest.fixture
def enrolled(fleet: Fleet, real_nodes: list[RealNode]) -> RealNode:
    """One for all tests of the agent."""
    if not real_nodes:
        enroll(fleet.machines[-1])
        real_nodes.append(RealNode(fleet.machines[-1]))
    return real_nodes[0]
