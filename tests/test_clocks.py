"""The clocks of our own machines jump, and nothing waits for the time to come back."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.conf import settings

from basekv import beat
from instances.models import Instance
from tests import factories
from tests.clocks import Clock
from tests.control_plane import PATIENCE, ControlPlane
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

DAY = timedelta(days=1)
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
    customer = factories.customer()
    customer.client.post("/api/v1/instances", {"name": "db"}, content_type="application/json")
    eventually(lambda: Instance.objects.get().status == "running", "it is made", seconds=PATIENCE)
