"""Whose turn it is: a flood, a frozen node or a dead one are no reason for anybody else to wait."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from accounts.actors import SYSTEM
from accounts.models import Account
from instances import leases, lifecycle, provisioning, tasks
from instances.models import Instance, Operation
from nodes import transport
from nodes.models import Node, Region
from tests import factories
from tests.concurrency import at_once
from tests.local_node import Machine
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)


def asked(account: Account, region: str | None = None) -> Instance:
    return lifecycle.create(
        account_id=account.pk,
        by=SYSTEM,
        max_databases=None,
        max_storage_mb=16,
        name="db",
        region=region,
        protocol="redis",
        log_level="info",
    )


def taken() -> Operation:
    operation = leases.take()
    assert operation is not None
    return operation


def test_a_flood_of_one_account_costs_another_one_turn():
    factories.node(region="here")
    factories.node(region="there")
    flood, other = factories.customer().account, factories.customer().account
    for _ in range(10):
        asked(flood, region="here")
    assert [taken().instance.account for _ in range(2)] == [flood, flood]
    late = [asked(other, region="here"), asked(other, region="there")]
    assert [taken().instance for _ in range(2)] == late


def test_of_one_account_it_is_the_turn_of_what_was_due_first():
    factories.node()
    account = factories.customer().account
    instances = [asked(account) for _ in range(3)]
    assert [taken().instance for _ in range(3)] == instances


def test_however_many_workers_ask_at_once_only_few_are_sent_to_a_node_and_none_twice():
    flooded, free = factories.node(region="flooded"), factories.node(region="free")
    for region in ["flooded"] * 12 + ["free"] * 2:
        asked(factories.customer().account, region=region)
    got = [operation for operation in at_once([leases.take] * 14) if operation]
    on = [operation.instance.node for operation in got]
    assert len({operation.pk for operation in got}) == len(got)
    assert (on.count(flooded), on.count(free)) == (leases.PER_NODE, 2)


def test_wake_ups_that_no_worker_takes_do_not_pile_up(broker):
    factories.node()
    for _ in range(5):
        asked(factories.customer().account)
    broker.delete("operations")
    for _ in range(20):
        tasks.sweep()
    assert broker.llen("operations") == tasks.WOKEN_AT_ONCE


def test_the_next_one_is_taken_in_two_queries_whatever_is_waiting(django_assert_num_queries):
    factories.node()
    for _ in range(20):
        asked(factories.customer().account)
    with django_assert_num_queries(2):
        taken()


def test_a_worker_whose_lease_has_run_out_writes_nothing_even_if_nobody_else_came():
    factories.node()
    instance = asked(factories.customer().account)
    operation = taken()
    Operation.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    provisioning.succeed(operation)
    provisioning.postpone(operation, provisioning.InternalError("too late"))
    assert not leases.give_back(operation)
    instance.refresh_from_db()
    assert (instance.status, Operation.objects.get().state) == ("pending", "running")
    assert taken() == operation


def test_the_first_attempt_is_when_it_was_started():
    factories.node()
    asked(factories.customer().account)
    first = taken().started_at
    Operation.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    again = taken()
    assert (again.started_at, again.attempts) == (first, 2)
    assert again.attempted_at > first


def test_what_waits_for_a_node_that_is_away_is_not_sent_and_fails_with_its_deadline(monkeypatch):
    sent: list[object] = []
    monkeypatch.setattr(transport, "call", lambda *_, **__: sent.append(1) or {"ok": True})
    factories.node()
    created, deleted = asked(factories.customer().account), asked(factories.customer().account)
    Node.objects.update(health="stale", last_error="It is on fire.")
    lifecycle.delete(lifecycle.get(deleted.account_id, deleted.pk), by=SYSTEM, force=False)
    assert not provisioning.carry_out()
    Operation.objects.filter(instance=created).update(deadline=timezone.now())
    assert provisioning.carry_out()
    assert not provisioning.carry_out()  # a deletion waits for as long as it takes
    assert not sent
    operation = Operation.objects.get(instance=created)
    assert (operation.state, operation.customer_error) == ("failed", "The node could not be reached.")
    assert "It is on fire." in operation.error
    created.refresh_from_db()
    deleted.refresh_from_db()
    assert (created.status, deleted.status) == ("failed", "deleted")
    Node.objects.update(health="online")
    assert provisioning.carry_out()
    deleted.refresh_from_db()
    assert (sent, deleted.slot) == ([1], None)


def test_what_waited_its_turn_for_longer_than_its_deadline_is_tried_all_the_same(monkeypatch):
    monkeypatch.setattr(transport, "call", lambda *_, **__: {"ok": True})
    factories.node()
    instance = asked(factories.customer().account)
    Operation.objects.update(deadline=timezone.now())
    assert provisioning.carry_out()
    instance.refresh_from_db()
    assert instance.status == "running"


# --- Real nodes, of which one is frozen -------------------------------------------------------------------------------


@contextmanager
def workers(number: int) -> Iterator[None]:
    """A pool that is woken all the time."""
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            provisioning.carry_out() or ended.wait(0.02)

    pool = threading.Thread(target=partial(at_once, [work] * number))
    pool.start()
    try:
        yield
    finally:
        ended.set()
        pool.join()


@pytest.fixture
def machines(tmp_path) -> Iterator[list[Machine]]:
    """Two, enrolled as `frozen` and `good` in regions of their names."""
    machines = [Machine(tmp_path / name) for name in ("frozen", "good")]
    for machine in machines:
        machine.boot()
        Region.objects.create(slug=machine.home.name, name=machine.home.name)
        machine.enroll(machine.home.name, region=machine.home.name)
    yield machines
    transport.close()
    for machine in machines:
        machine.shut_down()
        machine.give_back()


def test_a_frozen_node_holds_up_nobody_elses_database(machines):
    frozen, _ = machines
    flood, other = factories.customer().account, factories.customer().account
    for _ in range(20):
        asked(flood, region="frozen")
    frozen.freeze()
    try:
        with workers(leases.PER_NODE + 2):
            eventually(lambda: Operation.objects.filter(state="running").count() == leases.PER_NODE, seconds=30)
            began = time.monotonic()
            instances = [asked(other, region="good").pk for _ in range(5)]
            eventually(lambda: Instance.objects.filter(pk__in=instances, status="running").count() == 5, seconds=30)
            assert time.monotonic() - began < transport.CALL_TIMEOUT / 2
            frozen.thaw()
            eventually(lambda: not Operation.objects.filter(finished_at=None).exists(), seconds=30)
    finally:
        frozen.thaw()
    assert not Instance.objects.exclude(status="running").exists()
    assert Node.objects.get(name="frozen").slots_used == 20
