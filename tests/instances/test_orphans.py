"""What a node has and nobody wants is stopped, kept for a day, and then erased; what is wanted is never touched."""

import uuid
from datetime import timedelta

import pytest
import redis
from django.core.management import call_command
from django.utils import timezone

from accounts.actors import SYSTEM
from accounts.models import AuditEntry
from instances import lifecycle, orphans, reconcile
from instances.models import Event, Instance, Operation, Orphan
from instances.provisioning import carry_out
from nodes import health, transport
from nodes.health import endpoint
from nodes.models import Node
from tests import factories
from tests.local_node import Machine, node

pytestmark = pytest.mark.django_db


@pytest.fixture
def running(machine: Machine) -> Instance:
    machine.enroll()
    instance = lifecycle.create(
        account_id=factories.customer().account.pk,
        by=SYSTEM,
        max_databases=None,
        max_storage_mb=16,
        name="db",
        region=None,
        protocol="redis",
        log_level="info",
    )
    carry_out(Operation.objects.get().pk)
    return instance


def deal_with_them() -> None:
    health.probe([node()])
    orphans.quarantine(orphans.find())
    orphans.erase()


def answers(instance: Instance) -> bool:
    client = redis.Redis(port=instance.redis_port, password=lifecycle.password(instance))
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def reported() -> dict[str, str]:
    health.probe([node()])
    return {item["id"]: item["state"] for item in node().report["instances"]}


def lose_the_row() -> None:
    Event.objects.all().delete()
    Operation.objects.all().delete()
    Instance.objects.all().delete()


def test_a_database_whose_row_is_lost_is_stopped_kept_for_a_day_and_erased(running):
    lose_the_row()
    deal_with_them()
    assert not answers(running)
    assert reported() == {str(running.pk): "quarantined"}
    deal_with_them()
    assert Orphan.objects.count() == 1
    Orphan.objects.update(quarantined_at=timezone.now() - timedelta(hours=25))
    deal_with_them()
    assert Orphan.objects.get().erased_at
    assert AuditEntry.objects.get(action="orphan.erase").actor_kind == "system"
    assert reported() == {}


def test_what_is_wanted_is_left_alone_also_while_it_is_being_deleted_or_waits_for_its_node(running):
    deal_with_them()
    lifecycle.delete(Instance.objects.select_related("node").get(), by=SYSTEM, force=True)
    deal_with_them()
    assert not Orphan.objects.exists()
    assert answers(running)


def test_a_report_from_before_the_end_of_a_deletion_makes_no_orphan(running):
    health.probe([node()])
    lifecycle.delete(Instance.objects.select_related("node").get(), by=SYSTEM, force=False)
    carry_out(Operation.objects.get(finished_at=None).pk)
    assert orphans.find() == []


def test_a_wanted_database_is_not_stopped_even_if_somebody_listed_it(running):
    Orphan.objects.create(node=node(), instance_id=running.pk, generation=1)
    deal_with_them()
    assert answers(running)


def test_an_orphan_that_is_gone_by_itself_is_no_trouble(machine):
    machine.enroll()
    Orphan.objects.create(node=node(), instance_id=uuid.uuid4(), generation=1)
    deal_with_them()
    assert Orphan.objects.get().quarantined_at


def test_a_node_that_does_not_answer_is_asked_again(running, machine):
    lose_the_row()
    health.probe([node()])
    machine.shut_down()
    orphans.quarantine(orphans.find())
    assert Orphan.objects.get().quarantined_at is None
    machine.boot()
    deal_with_them()
    assert Orphan.objects.get().quarantined_at


def test_a_quarantined_database_comes_back_with_its_data_when_it_is_wanted_again(running):
    """As after a backup of our own database was restored and then brought up to date."""
    client = redis.Redis(port=running.redis_port, password=lifecycle.password(running))
    client.set("kept", "yes")
    transport.call(endpoint(node()), {"verb": "quarantine", "instance": str(running.pk)})
    Node.objects.update(reported_at=None)
    health.probe([node()])
    assert reported() == {str(running.pk): "quarantined"}
    [drift] = reconcile.reconcile()
    carry_out(Operation.objects.get(finished_at=None).pk)
    assert drift.found == "it is quarantined"
    client = redis.Redis(port=running.redis_port, password=lifecycle.password(running))
    assert client.get("kept") == b"yes"


def test_the_command_shows_the_drift_and_with_dry_run_changes_nothing(running, capsys):
    def run(*options: str) -> tuple[int, str]:
        status = 0
        try:
            call_command("reconcile", *options)
        except SystemExit as end:
            status = int(end.code or 0)
        return status, capsys.readouterr().out

    assert run("--dry-run") == (0, "The nodes have what is wanted, and nothing else.\n")
    lose_the_row()
    status, shown = run("--dry-run")
    assert (status, shown) == (3, f"{running.pk} on real: nobody wants it\n")
    assert answers(running)
    assert not Orphan.objects.exists()
    assert run()[0] == 0
    assert not answers(running)
