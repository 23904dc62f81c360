"""What the console asks of a node: written down by the web process, run by a worker, on a real machine."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.actors import SYSTEM
from accounts.models import AuditEntry
from nodes import errands, tasks
from nodes.models import Errand
from nodes.states import ErrandKind
from tests.instances.test_provisioning import Database
from tests.local_node import Machine, node

pytestmark = pytest.mark.django_db


def run(kind, instance_id=None):
    """As a worker does it, with what travels in the message."""
    errand = errands.ask(node(), kind, by=SYSTEM, instance_id=instance_id)
    assert errands.is_waited_for(errand)
    tasks.run_errand(str(errand.pk), SYSTEM.packed())
    errand.refresh_from_db()
    assert not errands.is_waited_for(errand)
    return errand


def test_a_log_is_fetched_and_that_it_was_read_is_written_down(machine: Machine):
    machine.enroll()
    database = Database()
    database.carry_out()
    errand = run(ErrandKind.LOG, database.instance.pk)
    assert errand.succeeded
    assert "redis: " in errand.answer
    assert AuditEntry.objects.get(action="instance.see_log").changes["instance"][1] == str(database.instance.pk)
    assert errands.latest(node(), [ErrandKind.LOG], database.instance.pk) == errand
    assert errands.latest(node(), [ErrandKind.PROBE]) is None


def test_an_upgrade_brings_our_agent(machine: Machine):
    machine.enroll()
    errand = run(ErrandKind.UPGRADE)
    assert (errand.succeeded, errand.answer.startswith("It has the agent of release")) == (True, True)


def test_a_probe_of_a_machine_that_is_down_says_why(machine: Machine):
    machine.enroll()
    assert run(ErrandKind.PROBE).succeeded
    machine.shut_down()
    errand = run(ErrandKind.PROBE)
    machine.boot()
    assert not errand.succeeded
    assert errand.answer == node().last_error != ""


def test_a_message_that_comes_twice_does_it_once(machine: Machine):
    machine.enroll()
    errand = run(ErrandKind.PROBE)
    seen = node().seen_at
    tasks.run_errand(str(errand.pk), SYSTEM.packed())
    assert node().seen_at == seen


def test_an_errand_is_forgotten_after_a_day(machine: Machine):
    machine.enroll()
    errand = run(ErrandKind.PROBE)
    assert errands.forget() == 0
    Errand.objects.filter(pk=errand.pk).update(asked_at=timezone.now() - errands.KEPT - timedelta(minutes=1))
    assert errands.forget() == 1
