"""Whoever gives up later may be sure that the earlier one has: each chain of time limits is in order."""

import re
from itertools import pairwise
from pathlib import Path

from django.conf import settings

from basekv import beat
from basekv.celery import GRACE
from instances import leases, lifecycle, wakeups
from nodes import health, transport
from nodes.agent.__main__ import KILL_AFTER, LIMIT

ROOT = Path(__file__).parent.parent
BROKER = settings.CELERY_BROKER_TRANSPORT_OPTIONS
DATABASE = settings.DATABASES["default"]["OPTIONS"]


def in_order(*seconds: float) -> bool:
    return all(earlier < later for earlier, later in pairwise(seconds))


def milliseconds(name: str) -> float:
    found = re.search(rf"{name}=(\d+)", DATABASE["options"])
    assert found is not None
    return int(found[1]) / 1000


def stop_timeout(unit: str) -> float:
    text = (ROOT / "deploy" / "systemd" / f"basekv-{unit}.service").read_text()
    return float(text.partition("TimeoutStopSec=")[2].split()[0])


def test_no_agent_outlives_the_lease_under_which_it_was_called():
    lease, deadline = leases.LEASE.total_seconds(), lifecycle.DEADLINE.total_seconds()
    assert in_order(LIMIT, transport.CALL_TIMEOUT, KILL_AFTER, lease, deadline)
    # A worker has the time to write the answer of the slowest call.
    assert transport.CALL_TIMEOUT + milliseconds("lock_timeout") < lease
    assert leases.LONGEST_WAIT <= leases.LEASE
    assert BROKER["visibility_timeout"] > lease


def test_one_connection_takes_all_that_is_sent_to_a_node_at_once():
    assert leases.PER_NODE <= transport.CHANNELS


def test_a_probe_ends_before_the_next_one_and_one_that_is_lost_changes_nothing():
    assert in_order(transport.CONNECT_TIMEOUT, health.PROBE_TIMEOUT, beat.PERIODS["nodes.probe"])
    lost_one = 2 * beat.PERIODS["nodes.probe"]
    assert in_order(lost_one, health.STALE_AFTER.total_seconds(), health.OFFLINE_AFTER.total_seconds())


def test_a_process_that_must_end_has_time_for_what_it_does():
    assert in_order(GRACE, 10, stop_timeout("worker"))  # 10: the local stack's patience
    assert in_order(transport.CALL_TIMEOUT, stop_timeout("watcher"))
    assert in_order(milliseconds("statement_timeout"), stop_timeout("web"))


def test_nobody_waits_long_for_what_is_away():
    assert BROKER["socket_timeout"] <= 1 < wakeups.SILENCE
    kept_alive = DATABASE["keepalives_idle"] + DATABASE["keepalives_interval"] * DATABASE["keepalives_count"]
    assert in_order(DATABASE["tcp_user_timeout"] / 1000, milliseconds("statement_timeout"))
    assert in_order(kept_alive, milliseconds("statement_timeout"))


def test_the_docs_tell_these_limits():
    text = (ROOT / "docs" / "architecture.md").read_text().partition("## Time limits")[2]
    told = {what.strip(): seconds for what, seconds in re.findall(r"^\| ([^|]+) \| (\d+)[^|]* \|", text, re.MULTILINE)}
    assert {what: float(seconds) for what, seconds in told.items()} == {
        "the agent's own work": LIMIT,
        "an SSH call": transport.CALL_TIMEOUT,
        "an agent's life": KILL_AFTER,
        "a lease": leases.LEASE.total_seconds(),
        "a change, with all its retries": lifecycle.DEADLINE.total_seconds(),
        "a probe": health.PROBE_TIMEOUT,
        "a statement in PostgreSQL": milliseconds("statement_timeout"),
        "what a worker that must end gives its operations": GRACE,
        "an attempt to reach the broker": BROKER["socket_timeout"],
    }
