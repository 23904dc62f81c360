"""What engines promise with plain processes (tests/nodes/test_engines.py) they keep with systemd: the same tests."""

from collections.abc import Iterator

import pytest

from tests.fleet.agent_node import RealNode
from tests.nodes import test_engines as plain
from tests.nodes.conftest import FullDatabase

pytestmark = pytest.mark.django_db

# Those in which the supervisor has a part: how engines are started and stopped, whose files are whose, what is logged.
SAME_TESTS = (
    plain.test_one_password_opens_all_three_and_nothing_else_does,
    plain.test_http_speaks_redis,
    plain.test_logs_say_whose_line_it_is,
    plain.test_the_password_is_in_no_argument_environment_or_log,
    plain.test_restart_and_rotation_keep_every_key_of_every_engine,
)
globals().update({test.__name__: test for test in SAME_TESTS})


@pytest.fixture
def node(enrolled: RealNode) -> RealNode:
    return enrolled


@pytest.fixture(scope="module")
def kept() -> Iterator[list[FullDatabase]]:
    databases: list[FullDatabase] = []
    yield databases
    for database in databases:
        assert database.remove()["ok"]


@pytest.fixture
def shared(node: RealNode, kept: list[FullDatabase]) -> FullDatabase:
    """For tests that leave it as it was."""
    if not kept:
        kept.append(FullDatabase(node))
        answer = kept[0].apply(log_level="debug")
        assert answer["ok"], answer
    return kept[0]


@pytest.fixture
def full(node: RealNode) -> Iterator[FullDatabase]:
    database = FullDatabase(node)
    answer = database.apply()
    assert answer["ok"], answer
    yield database
    assert database.remove()["ok"]


def test_a_part_that_hangs_is_broken_and_says_which(shared: FullDatabase) -> None:
    plain.test_a_part_that_hangs_is_broken_and_says_which(shared, "http")


def test_memcached_alone_opens_its_port_and_a_removal_closes_it(node: RealNode) -> None:
    plain.test_a_protocol_opens_its_ports_and_a_removal_closes_them(node, "memcached")


def test_an_agent_killed_in_a_restart_is_repaired_by_the_next_apply(node: RealNode) -> None:
    plain.test_an_agent_killed_at_any_moment_is_repaired_by_the_next_apply(node, milliseconds=400)
