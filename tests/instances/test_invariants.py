"""The checker names what is broken, each fault by its own name; and nothing while the system works hard."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from accounts.actors import SYSTEM
from instances import alerts, invariants, lifecycle
from instances.checks import CHECKS
from instances.errors import InstanceError
from instances.models import Instance, Operation
from instances.provisioning import carry_out
from nodes.health import endpoint
from nodes.models import Node
from nodes.transport import call
from tests import factories
from tests.local_node import Machine


def create(account_id, name="db"):
    return lifecycle.create(
        account_id=account_id,
        by=SYSTEM,
        max_databases=None,
        max_storage_mb=32,
        name=name,
        region=None,
        protocol="redis",
        log_level="info",
    )


def settled(**changes) -> None:
    """As the worker would leave it."""
    Operation.objects.filter(finished_at=None).update(
        state=changes.pop("state", "succeeded"), finished_at=timezone.now(), lease=None, leased_until=None
    )
    Instance.objects.filter(status="pending").update(**{"status": "running", **changes})


@pytest.fixture
def running(db) -> None:
    """Two databases that are in order, of a customer who has called today."""
    factories.node(activated_at=timezone.now(), engines=["valkey", "memcached", "webdis"])
    customer = factories.customer()
    customer.client.get("/api/v1/whoami")
    for name in ("one", "two"):
        create(customer.account.pk, name)
    settled()


def sql(*statements):
    def run():
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    return run


ONE = "WHERE name = 'one'"
OPERATION = "UPDATE instances_operation SET "
OF_ONE = f"WHERE instance_id = (SELECT id FROM instances_instance {ONE})"


def without_constraint(table, name, *statements):
    """All of it is rolled back with the test."""
    drop = f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}", f"DROP INDEX IF EXISTS {name}"
    return sql("SET CONSTRAINTS ALL IMMEDIATE", *drop, *statements)


def restart_of_one(**changes):
    def run():
        lifecycle.restart(Instance.objects.get(name="one"), by=SYSTEM)
        Operation.objects.filter(finished_at=None).update(**{k: timezone.now() + v for k, v in changes.items()})

    return run


def late_deletion():
    lifecycle.delete(Instance.objects.get(name="one"), by=SYSTEM, force=False)
    Operation.objects.filter(finished_at=None).update(created_at=timezone.now() - timedelta(hours=2))


# The check, how it is broken, and which others must see it too.
FAULTS = [
    ("operation_of_state", sql(f"UPDATE instances_instance SET status = 'restarting' {ONE}"), {"running_is_proven"}),
    ("operation_of_state", sql(f"{OPERATION} finished_at = NULL, state = 'queued' {OF_ONE}"), {"running_is_proven"}),
    (
        "operation_of_state",
        without_constraint(
            "instances_instance",
            "instances_instance_holds_or_not",
            f"UPDATE instances_instance SET status = 'deleted', deleted_at = now() {ONE}",
        ),
        set(),
    ),
    (
        "operation_in_one_state",
        sql(f"{OPERATION} state = 'running', lease = gen_random_uuid() {OF_ONE}"),
        {"running_is_proven"},
    ),
    ("operation_ends_in_time", restart_of_one(deadline=-timedelta(minutes=10)), set()),
    ("operation_is_picked_up", restart_of_one(due_at=-timedelta(minutes=10)), set()),
    ("deletion_ends", late_deletion, set()),
    ("running_is_proven", sql(f"UPDATE instances_instance SET generation = 7 {ONE}"), set()),
    ("deleted_has_its_time", sql(f"UPDATE instances_instance SET deleted_at = now() {ONE}"), set()),
    (
        "previous_password_is_forgotten",
        sql(f"UPDATE instances_instance SET previous_password_encrypted = password_encrypted {ONE}"),
        set(),
    ),
    ("ports_of_slot", sql(f"UPDATE instances_instance SET redis_port = redis_port + 30 {ONE}"), set()),
    ("ports_of_slot", sql(f"UPDATE instances_instance SET protocol = 'both' {ONE}"), set()),
    (
        "ports_and_slots_once",
        without_constraint(
            "instances_instance",
            "instances_instance_node_slot",
            "DROP INDEX instances_instance_redis_port",
            "DROP INDEX instances_instance_http_port",
            "UPDATE instances_instance i SET slot = o.slot, redis_port = o.redis_port, http_port = o.http_port "
            "FROM instances_instance o WHERE o.name = 'two' AND i.name = 'one'",
        ),
        set(),
    ),
    # One's memcached port is another's Redis port: no constraint of a column sees it.
    (
        "ports_and_slots_once",
        sql(
            "UPDATE instances_instance i SET memcached_port = o.redis_port FROM instances_instance o "
            "WHERE o.name = 'two' AND i.name = 'one'"
        ),
        {"ports_of_slot"},
    ),
    ("node_counts_what_it_holds", sql("UPDATE nodes_node SET reserved_mb = reserved_mb + 1"), set()),
    ("node_counts_what_it_holds", sql("UPDATE nodes_node SET slots_used = slots_used - 1"), set()),
    (
        "one_active_subscription",
        without_constraint(
            "billing_subscription",
            "billing_subscription_one_active",
            "INSERT INTO billing_subscription (account_id, plan_id, started_at) "
            "SELECT account_id, plan_id, now() FROM billing_subscription",
        ),
        set(),
    ),
    ("databases_have_a_subscription", sql("UPDATE billing_subscription SET ended_at = clock_timestamp()"), set()),
    ("databases_within_plan", sql("UPDATE billing_plan SET max_databases = 1"), set()),
    ("usage_is_possible", sql("UPDATE billing_usage SET day = day + 3"), set()),
    ("usage_is_possible", sql("UPDATE billing_usage SET count = 0"), set()),
    ("usage_within_plan", sql("UPDATE billing_plan SET max_requests_per_day = 0"), set()),
    ("secrets_are_readable", sql(f"UPDATE instances_instance SET password_encrypted = 'gAAAA' {ONE}"), set()),
]


def names():
    return {finding.check for finding in invariants.findings()}


def test_what_is_in_order_has_no_findings(running):
    assert names() == set()


def test_every_check_is_broken_here():
    assert {name for name, _, _ in FAULTS} == {check.name for check in CHECKS} | {"secrets_are_readable"}


@pytest.mark.parametrize("name, break_it, others", FAULTS, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(FAULTS)])
def test_a_fault_is_found_by_its_name_and_says_what_to_do(running, name, break_it, others):
    break_it()
    found = list(invariants.findings())
    assert {finding.check for finding in found} - others == {name}
    assert all(finding.what and finding.what_to_do and finding.subject_id for finding in found)


def test_a_secret_of_a_lost_key_is_found_and_one_of_an_old_key_is_not(running, settings):
    settings.BASEKV_ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *settings.BASEKV_ENCRYPTION_KEYS]
    assert names() == set()
    settings.BASEKV_ENCRYPTION_KEYS = settings.BASEKV_ENCRYPTION_KEYS[:1]
    assert names() == {"secrets_are_readable"}


def test_what_is_broken_is_one_alert_for_each_check_and_what_is_suspicious_is_none(transactional_db):
    factories.node()
    customer = factories.customer()
    for name in ("one", "two"):
        create(customer.account.pk, name)
    settled()
    sql("UPDATE instances_instance SET generation = 7", "UPDATE billing_plan SET max_databases = 1")()
    invariants.watch()
    invariants.watch()
    [alert] = alerts.open()
    assert (alert.kind, alert.subject_id, alert.text[:7]) == ("invariant_broken", "running_is_proven", "2 found")
    sql("UPDATE instances_instance SET generation = 1")()
    alerts.refresh()
    assert alerts.open().filter(kind="invariant_broken")
    invariants.watch()
    assert not alerts.open().filter(kind="invariant_broken")


def audited(*args):
    out = StringIO()
    try:
        call_command("audit_invariants", *args, stdout=out)
    except SystemExit as ended:
        return ended.code, out.getvalue()
    return 0, out.getvalue()


@pytest.mark.django_db(transaction=True)
def test_nothing_is_found_while_databases_come_change_and_go_on_a_real_node_until_something_is_broken(
    machine: Machine, transactional_db
):
    machine.enroll()
    account = factories.customer().account.pk

    def work(number: int) -> None:
        try:
            instance = create(account, f"db {number}")
            for verb in (None, "rotate", "restart", "delete"):
                ask(instance, verb)
                # Every second worker is late, so that there are open operations too.
                if number % 2 or verb is None:
                    carry_out(Operation.objects.get(instance=instance, finished_at=None).pk)
        finally:
            connection.close()

    def ask(instance, verb):
        try:
            if verb == "delete":
                lifecycle.delete(instance, by=SYSTEM, force=bool(number_of(instance) % 3 == 0))
            elif verb:
                getattr(lifecycle, verb)(instance, by=SYSTEM)
        except InstanceError:
            pass  # what it waits for has not happened yet

    def number_of(instance) -> int:
        return int(instance.name.split()[1])

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(work, number) for number in range(8)]
        runs = 0
        while not all(worker.done() for worker in workers):
            assert audited() == (0, "Nothing is broken.\n")
            runs += 1
    assert runs > 1
    for worker in workers:
        worker.result()

    kept = create(account)
    carry_out(Operation.objects.get(instance=kept, finished_at=None).pk)
    for operation in Operation.objects.filter(finished_at=None):
        carry_out(operation.pk)
    assert audited("--nodes") == (0, "Nothing is broken.\n")

    call(endpoint(Node.objects.get()), {"verb": "remove", "instance": str(kept.pk), "generation": 1})
    status, shown = audited("--nodes", "--json")
    assert status == 3
    assert [(item["check"], item["subject_id"]) for item in json.loads(shown)["broken"]] == [
        ("nodes_have_what_is_wanted", str(kept.pk))
    ]


@pytest.mark.django_db(transaction=True)
def test_a_database_that_nobody_wants_and_a_silent_node_are_found(machine: Machine, transactional_db):
    machine.enroll()
    kept = create(factories.customer().account.pk)
    carry_out(Operation.objects.get().pk)
    Instance.objects.all().delete()
    Node.objects.update(reserved_mb=0, slots_used=0)
    status, shown = audited("--nodes", "--json")
    found = json.loads(shown)["broken"]
    assert (status, [(item["check"], item["subject_id"]) for item in found]) == (
        3,
        [("nodes_have_nothing_else", str(kept.pk))],
    )
    Node.objects.update(health="offline", ssh_port=1)
    status, shown = audited("--nodes", "--json")
    assert (status, [item["check"] for item in json.loads(shown)["suspicious"]]) == (0, ["nodes_answer"])
