"""Real machines for the tests of this folder; where there can be none, the tests say what is missing."""

import os
from collections.abc import Iterator

import pytest

from nodes import transport
from tests.fleet import rootfs
from tests.fleet.commands import Failed
from tests.fleet.fleet import Fleet

SIZE = 3


@pytest.fixture(scope="session")
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
