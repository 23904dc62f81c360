"""An alert is there while its cause is, once, with what to do about it; nobody has to take it back."""

import json
from datetime import timedelta
from functools import partial
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from accounts.actors import SYSTEM
from accounts.models import AuditEntry
from instances import alerts, lifecycle, provisioning
from instances.conditions import CONDITIONS
from instances.models import Alert, Heartbeat, Instance, Operation, Orphan
from nodes.models import Node, Region
from tests import factories
from tests.concurrency import at_once


def made(node: Node) -> Instance:
    instance = lifecycle.create(
        account_id=factories.customer().account.pk,
        by=SYSTEM,
        max_databases=None,
        max_storage_mb=32,
        name="db",
        region=node.region_id,
        protocol="redis",
        log_level="info",
    )
    Operation.objects.update(state="succeeded", finished_at=timezone.now())
    Instance.objects.update(status="running")
    return Instance.objects.get(pk=instance.pk)


@pytest.fixture
def node(db) -> Node:
    return factories.node(activated_at=timezone.now())


@pytest.fixture
def instance(node) -> Instance:
    return made(node)


def set_node(**changes):
    return lambda: Node.objects.update(**changes)


def open_operation(kind, **changes):
    def change():
        now = timezone.now()
        Operation.objects.create(instance=Instance.objects.get(), kind=kind, generation=2, due_at=now, created_at=now)
        Operation.objects.filter(finished_at=None).update(
            **{field: now - timedelta(minutes=minutes) for field, minutes in changes.items()}
        )

    return change


def finish():
    Operation.objects.filter(finished_at=None).update(state="succeeded", finished_at=timezone.now())


def fail():
    Operation.objects.update(error="the engine does not start")
    Instance.objects.update(status="failed")


# kind -> (what breaks it, what mends it, what the operator is told)
CAUSES = {
    "operation_late": (open_operation("restart", deadline=1), finish, "restart of db"),
    "deletions_late": (open_operation("deprovision", created_at=11), finish, "has not confirmed within 10 minutes: 1."),
    "instance_failed": (fail, lambda: Instance.objects.update(status="running"), "the engine does not start"),
    "node_stale": (set_node(health="stale"), set_node(health="online"), "was last seen"),
    "node_offline": (
        set_node(health="offline", last_error="no route"),
        set_node(health="online", last_error=""),
        "no route",
    ),
    "host_key_changed": (
        set_node(health="offline", host_key_seen="ssh-ed25519 BBBB"),
        set_node(health="online", host_key_seen=""),
        "Somebody else answers",
    ),
    "clock_skew": (set_node(clock_skew=-7.2), set_node(clock_skew=0.1), "7 s behind"),
    "agent_upgrade_failing": (set_node(upgrade_error="disk full"), set_node(upgrade_error=""), "disk full"),
    "orphan_quarantined": (
        lambda: Orphan.objects.create(node=Node.objects.get(), instance_id=Instance.objects.get().pk, generation=1),
        lambda: Orphan.objects.update(erased_at=timezone.now()),
        "which nobody wants",
    ),
    "region_full": (set_node(capacity_mb=49), set_node(capacity_mb=100_000), "No node of local"),
    "region_nearly_full": (
        set_node(capacity_mb=1000, reserved_mb=901),
        set_node(capacity_mb=100_000, reserved_mb=48),
        "901 of 1000 MiB",
    ),
}


def test_every_condition_has_a_cause_here():
    assert set(CAUSES) == {condition.kind for condition in CONDITIONS}


@pytest.mark.parametrize("kind", CAUSES)
def test_an_alert_opens_with_its_cause_and_is_resolved_without_it(instance, kind):
    breaks, mends, told = CAUSES[kind]
    alerts.refresh()
    assert not alerts.open()
    breaks()
    alerts.refresh()
    alerts.refresh()
    # Without a node that is online there is no room either.
    [alert] = [alert for alert in alerts.open() if alert.kind == kind or alert.kind != "region_full"]
    assert alert.kind == kind
    assert told in alert.text
    assert alert.what_to_do
    assert alert.last_seen_at > alert.opened_at
    mends()
    alerts.refresh()
    assert not alerts.open()
    breaks()
    alerts.refresh()
    assert Alert.objects.filter(kind=kind).count() == 2


@pytest.mark.parametrize("changes", [{"intent": "disabled"}, {"activated_at": None}])
def test_a_node_that_is_meant_to_be_off_or_was_never_on_is_no_alert(node, changes):
    factories.node()
    Node.objects.filter(pk=node.pk).update(health="offline", **changes)
    alerts.refresh()
    assert not alerts.open()


def test_a_region_without_nodes_is_full(db):
    Region.objects.create(slug="empty", name="Empty")
    alerts.refresh()
    assert [(alert.kind, alert.subject_id) for alert in alerts.open()] == [("region_full", "empty")]


def test_a_node_that_gets_worse_is_a_new_alert_that_nobody_has_acknowledged(node):
    set_node(health="stale")()
    alerts.refresh()
    alerts.acknowledge(alerts.open().get(kind="node_stale").pk, by=SYSTEM)
    set_node(health="offline")()
    alerts.refresh()
    waiting = alerts.open().filter(acknowledged_at=None)
    assert {alert.kind for alert in waiting} == {"node_offline", "region_full"}


def test_an_acknowledged_alert_stays_open_and_one_person_has_it(node):
    set_node(clock_skew=9)()
    alerts.refresh()
    alert = alerts.open().get()
    assert alerts.acknowledge(alert.pk, by=SYSTEM)
    assert not alerts.acknowledge(alert.pk, by=SYSTEM)
    alerts.refresh()
    alert = alerts.open().get()
    assert (alert.acknowledged_by, alert.acknowledged_at is None) == ("BaseKV", False)
    assert AuditEntry.objects.filter(action="alert.acknowledge").count() == 1


def test_an_alert_outlives_what_it_was_about(node):
    set_node(clock_skew=9)()
    alerts.refresh()
    node.delete()
    Region.objects.all().delete()
    alerts.refresh()
    assert not alerts.open()
    assert Alert.objects.get().subject_label == node.name


def test_only_what_was_resolved_long_ago_is_forgotten(node):
    now = timezone.now()
    old = {"opened_at": now, "last_seen_at": now}
    for number, resolved_at in enumerate([None, now - alerts.KEPT * 0.9, now - alerts.KEPT * 1.1]):
        Alert.objects.create(kind="x", subject_id=str(number), resolved_at=resolved_at, **old)
    assert alerts.forget() == 1
    assert set(Alert.objects.values_list("subject_id", flat=True)) == {"0", "1"}


def test_the_number_of_queries_does_not_grow_with_what_is_wrong(node, django_assert_num_queries):
    # savepoint in, out; the lock; one for each condition; two for the alerts; the heartbeat's savepoint and row
    number = 3 + len(CONDITIONS) + 2 + 4
    alerts.refresh()
    with django_assert_num_queries(number):
        alerts.refresh()
    for _ in range(5):
        made(node)
    fail()
    set_node(health="offline", clock_skew=9)()
    with django_assert_num_queries(number):
        alerts.refresh()
    assert alerts.open().filter(kind="instance_failed").count() == 5


@pytest.mark.django_db(transaction=True)
def test_many_workers_at_once_open_one_alert(transactional_db):
    for _ in range(3):
        factories.node(activated_at=timezone.now(), health="offline")
    at_once([partial(alerts.refresh)] * 8)
    assert Alert.objects.filter(kind="node_offline").count() == 3
    set_node(health="online")()
    at_once([partial(alerts.refresh)] * 8)
    assert not alerts.open()
    assert Alert.objects.filter(kind="node_offline").count() == 3


def test_a_failed_change_of_a_real_operation_is_an_alert_that_names_its_error(instance):
    """As the worker writes it, and not as this test would."""
    lifecycle.restart(instance, by=SYSTEM)
    Operation.objects.filter(finished_at=None).update(deadline=timezone.now())
    Node.objects.update(ssh_host="127.0.0.1", ssh_port=1)
    provisioning.carry_out(Operation.objects.get(finished_at=None).pk)
    alerts.refresh()
    [alert] = alerts.open()
    assert (alert.kind, alert.subject_id) == ("instance_failed", str(instance.pk))
    assert "127.0.0.1:1" in alert.text


def listed(*args):
    out = StringIO()
    try:
        call_command("alerts", *args, stdout=out)
    except SystemExit as ended:
        return ended.code, out.getvalue()
    return 0, out.getvalue()


def test_the_command_says_what_is_wrong_and_what_to_do(node):
    alerts.refresh()
    assert listed() == (0, "Nothing is wrong.\n")
    set_node(clock_skew=9)()
    alerts.refresh()
    status, shown = listed()
    assert status == 3
    assert shown.startswith(f"warning clock_skew {node.name} since ")
    assert "timedatectl" in shown
    status, shown = listed("--json")
    assert (status, json.loads(shown)["alerts"][0]["kind"]) == (3, "clock_skew")


def test_the_command_says_when_nobody_has_looked_lately(node):
    status, shown = listed()
    assert (status, "Nobody has looked ever" in shown) == (3, True)
    alerts.refresh()
    Heartbeat.objects.update(at=timezone.now() - timedelta(minutes=5))
    status, shown = listed()
    assert (status, "Nobody has looked since" in shown) == (3, True)
