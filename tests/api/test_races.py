"""Of what comes in the same moment, the end is one that could have come about one after the other."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from django.db import connection
from django.utils import timezone

from accounts import tokens
from accounts.actors import SYSTEM
from billing import plans
from billing.models import Usage
from instances import provisioning
from instances.models import Instance, Operation
from nodes import transport
from nodes.models import Node
from tests import factories
from tests.concurrency import at_once, somebody_waits_for_a_lock
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)
INSTANCES = "/api/v1/instances"
WHOAMI = "/api/v1/whoami"


def create(secret, name="db", **headers):
    return factories.client(secret).post(INSTANCES, {"name": name}, content_type="application/json", headers=headers)


def running(customer) -> str:
    id = create(customer.secret).json()["id"]
    Instance.objects.filter(pk=id).update(status="running")
    Operation.objects.filter(instance=id).update(state="succeeded", finished_at=timezone.now())
    return id


def test_deletions_and_forced_ones_at_once_delete_it_once():
    factories.node()
    customer = factories.customer()
    for _ in range(5):
        path = f"{INSTANCES}/{running(customer)}"
        gentle = [partial(factories.client(customer.secret).delete, path)] * 4
        forced = [partial(factories.client(customer.secret).delete, f"{path}?force=true")] * 4
        answers = at_once([*gentle, *forced])
        statuses = [answer.status_code for answer in answers]
        assert set(statuses[:4]) <= {202, 404}
        assert sorted(statuses[4:]) == [200, 404, 404, 404]
        instance = Instance.objects.get(pk=path.rpartition("/")[2])
        assert (instance.status, instance.slot is not None) == ("deleted", True)
        [operation] = instance.operations.filter(finished_at=None)
        assert (operation.kind, operation.generation) == ("deprovision", instance.generation)
        assert instance.generation in (2, 3)


def test_of_creates_with_one_key_and_many_bodies_one_body_wins():
    factories.node()
    customer = factories.customer()
    names = ["one", "two", "three"] * 6
    answers = at_once([partial(create, customer.secret, name, **{"Idempotency-Key": "k"}) for name in names])
    [instance] = Instance.objects.all()
    for name, answer in zip(names, answers, strict=True):
        if name == instance.name:
            assert (answer.status_code, answer.json()["id"]) == (201, str(instance.pk))
        else:
            assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_reused")


def test_a_quota_that_changes_under_load_is_exact_before_and_after():
    customer = factories.customer(requests=30)

    def call(_: int = 0) -> int:
        return factories.client(customer.secret).get(WHOAMI).status_code

    def change(limit: int) -> int:
        plans.set_limits(customer.plan.slug, {"max_requests_per_day": limit}, by=SYSTEM)
        return 0

    answers = at_once([call] * 40 + [partial(change, 45)] + [call] * 20)
    assert 30 <= answers.count(200) <= 45
    assert Usage.objects.get(account=customer.account).count == answers.count(200)
    rest = at_once([call] * 30)
    assert answers.count(200) + rest.count(200) == 45
    change(20)
    assert set(at_once([call] * 10)) == {429}
    assert Usage.objects.get(account=customer.account).count == 45


def test_from_the_moment_of_its_revocation_a_token_under_load_is_refused():
    customer, revoked = factories.customer(), threading.Event()

    def revoke() -> list[int]:
        tokens.revoke(customer.token.prefix, by=SYSTEM)
        revoked.set()
        return []

    def call() -> list[int]:
        client, statuses = factories.client(customer.secret), []
        while not revoked.is_set():
            statuses.append(client.get(WHOAMI).status_code)
        assert client.get(WHOAMI).status_code == 401
        return statuses

    answers = at_once([call] * 12 + [revoke])
    passed = sum(statuses.count(200) for statuses in answers)
    assert {status for statuses in answers for status in statuses} <= {200, 401}
    assert sum(Usage.objects.filter(account=customer.account).values_list("count", flat=True)) == passed


def work() -> None:
    while provisioning.carry_out():
        pass


def test_what_is_given_back_while_others_take_is_counted_right(monkeypatch):
    monkeypatch.setattr(transport, "call", lambda *_, **__: {"ok": True})
    node = factories.node(slots=12)
    customer = factories.customer()
    gone = [running(customer) for _ in range(10)]
    for id in gone:
        factories.client(customer.secret).delete(f"{INSTANCES}/{id}")
    calls = [work] * 10 + [partial(create, customer.secret)] * 10
    statuses = Counter(answer.status_code for answer in at_once(calls) if answer is not None)
    assert not Operation.objects.filter(kind="deprovision", finished_at=None).exists()
    held = Instance.objects.exclude(slot=None)
    assert set(statuses) <= {201, 503}
    assert held.count() == statuses[201] >= 2
    assert len({instance.redis_port for instance in held}) == held.count()
    node = Node.objects.get()
    assert (node.slots_used, node.reserved_mb) == (held.count(), held.count() * 48)


def test_a_deletion_in_the_moment_in_which_the_worker_writes_its_answer_waits_for_it(monkeypatch):
    """Each has the instance and its operation to change: in one order, or they would wait for each other for ever."""
    factories.node()
    customer = factories.customer()
    id = create(customer.secret).json()["id"]
    settle = provisioning.settle
    with ThreadPoolExecutor(1) as pool:

        def settle_when_somebody_waits(*args, **changes):
            asked.append(pool.submit(delete))
            eventually(somebody_waits_for_a_lock)
            settle(*args, **changes)

        def delete():
            try:
                return factories.client(customer.secret).delete(f"{INSTANCES}/{id}")
            finally:
                connection.close()

        asked: list = []
        monkeypatch.setattr(transport, "call", lambda *_, **__: {"ok": True})
        monkeypatch.setattr(provisioning, "settle", settle_when_somebody_waits)
        provisioning.carry_out(Operation.objects.get().pk)
        answer = asked[0].result(timeout=30)
    assert (answer.status_code, answer.json()["status"]) == (202, "deleting")
    instance = Instance.objects.get()
    assert (instance.status, instance.generation) == ("deleting", 2)
    assert list(instance.operations.order_by("created_at").values_list("kind", "state")) == [
        ("provision", "succeeded"),
        ("deprovision", "queued"),
    ]
