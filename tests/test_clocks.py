"""The clocks of our own machines jump, PostgreSQL's too, and nothing waits for the time to come back."""

import shutil
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from django.conf import settings
from django.db.models import F

from basekv import beat
from instances import leases, provisioning, reconcile
from instances.models import Instance, Operation
from nodes import health
from nodes.models import Node
from tests import factories
from tests.clocks import Clock
from tests.control_plane import PATIENCE, ControlPlane
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

DAY = timedelta(days=1)
WRITTEN = {
    Operation: ["created_at", "due_at", "deadline"],
    Instance: ["created_at", "updated_at"],
    Node: ["seen_at", "reported_at", "online_since"],
}
QUEUE = settings.CELERY_TASK_DEFAULT_QUEUE


@pytest.fixture
def clock(tmp_path) -> Clock:
    return Clock(tmp_path / "clock")


@pytest.fixture
def control_plane(tmp_path, clock) -> Iterator[ControlPlane]:
    control_plane = ControlPlane(tmp_path, **clock.env)
    yield control_plane
    control_plane.stop()


@pytest.mark.parametrize("off", [DAY, -DAY], ids=["ahead", "behind"])
def test_the_beat_goes_on(broker, clock, control_plane, off):
    control_plane.beat()
    eventually(lambda: broker.llen(QUEUE), "the beat has begun", seconds=PATIENCE)
    clock.set(off)
    # Those of the two seconds after the jump may have been due before it.
    for _ in range(3):
        broker.delete(QUEUE)
        eventually(lambda: broker.llen(QUEUE), f"the beat goes on after {off}")


def test_what_nobody_takes_does_not_pile_up(broker, control_plane):
    broker.lpush(QUEUE, *["{}"] * beat.FULL)
    control_plane.beat()
    eventually(lambda: "Nobody takes" in control_plane.said("beat"), "the beat says so", seconds=PATIENCE)
    assert broker.llen(QUEUE) == beat.FULL


@pytest.mark.parametrize("off", [DAY, -DAY], ids=["ahead", "behind"])
def test_a_worker_alone_on_another_day_carries_out_what_is_asked(machine, clock, control_plane, off):
    clock.set(off)
    control_plane.worker()
    machine.enroll()
    create(factories.customer())
    eventually(lambda: Instance.objects.get().status == "running", "it is made", seconds=PATIENCE)


def test_a_create_that_a_web_server_of_tomorrow_is_asked_for_again_is_done_once(clock, control_plane):
    factories.node()
    customer = factories.customer()
    headers, body = {"Idempotency-Key": "k", "Content-Type": "application/json"}, b'{"name": "db"}'
    first = customer.client.post("/api/v1/instances", body, content_type="application/json", headers=headers)
    clock.set(DAY)
    control_plane.web()
    headers["Authorization"] = f"Bearer {customer.secret}"
    again = httpx.post(f"{control_plane.url}/api/v1/instances", content=body, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json()["id"] == first.json()["id"]


def put_back_by_a_day() -> None:
    """PostgreSQL's clock: whatever it has written lies ahead."""
    for model, fields in WRITTEN.items():
        model.objects.update(**{field: F(field) + DAY for field in fields})


def create(customer: factories.Customer) -> None:
    answer = customer.client.post("/api/v1/instances", {"name": "db"}, content_type="application/json")
    assert answer.status_code == 201


def test_a_change_on_a_dead_node_fails_though_its_deadline_is_a_day_ahead():
    factories.node()
    create(factories.customer())
    Node.objects.update(health="offline")
    assert leases.take() is None
    put_back_by_a_day()
    assert provisioning.carry_out()
    assert Instance.objects.get().status == "failed"


def test_a_database_that_is_gone_is_missed_though_it_changed_a_day_ahead(machine):
    machine.enroll()
    create(factories.customer())
    while provisioning.carry_out():
        pass
    put_back_by_a_day()
    assert reconcile.drift() == []
    machine.shut_down()
    shutil.rmtree(machine.home / "instances")
    machine.boot()
    health.probe_all()
    assert [drift.found for drift in reconcile.drift()] == ["it is not there"]
