"""The way of a database over real SSH to a real engine: what is wanted comes true, whatever happens in between."""

import uuid
from datetime import timedelta

import pytest
import redis
from cryptography.fernet import Fernet
from django.core.management import CommandError
from django.utils import timezone
from redis.backoff import NoBackoff
from redis.retry import Retry

from accounts.actors import SYSTEM
from instances import leases, lifecycle, provisioning, reconcile
from instances.models import Event, Instance, Operation
from nodes import health, transport
from nodes.models import Node
from tests import factories
from tests.local_node import Machine, node

pytestmark = pytest.mark.django_db


class Database:
    """One instance as its customer sees it."""

    def __init__(self, storage_mb: int = 16, protocol: str = "redis") -> None:
        self.instance = lifecycle.create(
            account_id=factories.customer().account.pk,
            by=SYSTEM,
            max_databases=None,
            max_storage_mb=storage_mb,
            name="db",
            region=None,
            protocol=protocol,
            log_level="info",
        )

    @property
    def status(self) -> str:
        self.instance.refresh_from_db()
        return self.instance.status

    @property
    def operation(self) -> Operation:
        return self.instance.operations.latest("created_at")

    def carry_out(self) -> None:
        provisioning.carry_out(self.operation.pk)

    def client(self, password: str | None = "right", **options) -> redis.Redis:
        right = lifecycle.password(self.instance)
        return redis.Redis(
            port=self.instance.redis_port,
            password=right if password == "right" else password,
            socket_timeout=5,
            retry=Retry(NoBackoff(), 0),
            **options,
        )

    def closed(self) -> bool:
        try:
            return not self.client().ping()
        except redis.ConnectionError:
            return True


@pytest.fixture
def database(machine: Machine) -> Database:
    machine.enroll()
    database = Database()
    database.carry_out()
    return database


def due_again() -> None:
    Operation.objects.filter(finished_at=None).update(due_at=timezone.now())


def test_a_database_runs_with_its_password_its_size_and_its_log(database):
    assert database.status == "running"
    client = database.client()
    assert client.ping()
    assert client.config_get("maxmemory")["maxmemory"] == str(16 * 2**20)
    assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
    assert client.config_get("appendonly")["appendonly"] == "yes"
    with pytest.raises(redis.AuthenticationError):
        database.client(password=None).ping()
    assert [(o.kind, o.state, o.attempts) for o in Operation.objects.all()] == [("provision", "succeeded", 1)]
    assert set(Event.objects.values_list("status", flat=True)) == {"pending", "running"}


def test_a_full_database_refuses_writes_and_evicts_nothing(database):
    client = database.client()
    stored = fill(client)
    assert 4 < stored < 20
    assert all(client.exists(f"key{number}") for number in range(stored))


def fill(client) -> int:
    """Writes a MiB at a time until it is refused; returns how many were taken."""
    for number in range(40):
        try:
            client.set(f"key{number}", "x" * 2**20)
        except redis.exceptions.OutOfMemoryError:
            return number
    return 40


def test_a_thousand_keys_survive_a_restart_and_a_rotation(database):
    client = database.client()
    client.mset({f"key{number}": f"value{number}" for number in range(1000)})
    old = lifecycle.password(database.instance)
    lifecycle.restart(database.instance, by=SYSTEM)
    assert database.status == "restarting"
    database.carry_out()
    new = lifecycle.rotate(Instance.objects.get(), by=SYSTEM)
    assert database.status == "restarting"
    database.carry_out()
    assert database.status == "running"
    for refused in (None, old):
        with pytest.raises((redis.AuthenticationError, redis.ResponseError)):
            database.client(password=refused).ping()
    client = database.client(password=new, decode_responses=True)
    assert client.dbsize() == 1000
    assert client.get("key567") == "value567"
    assert Instance.objects.get().previous_password_encrypted == ""


def test_after_a_delete_the_port_is_closed_and_everything_is_given_back(database):
    lifecycle.delete(Instance.objects.select_related("node").get(), by=SYSTEM, force=False)
    assert not database.closed()
    database.carry_out()
    assert database.status == "deleted"
    assert database.closed()
    assert (database.instance.slot, database.instance.reserved_mb) == (None, 0)
    assert (node().slots_used, node().reserved_mb) == (0, 0)


def test_a_forced_delete_gives_the_port_back_only_when_the_node_has_confirmed(database, machine):
    machine.shut_down()
    lifecycle.delete(Instance.objects.select_related("node").get(), by=SYSTEM, force=True)
    database.carry_out()
    assert database.status == "deleted"
    assert database.instance.slot is not None
    assert database.operation.state == "queued"
    Operation.objects.update(due_at=timezone.now() + timedelta(hours=1))
    Node.objects.update(health="offline")
    machine.boot()
    health.probe([node()])
    assert reconcile.reconcile() == []
    database.carry_out()  # the node is back, so it does not wait out its hour
    database.instance.refresh_from_db()
    assert database.instance.slot is None
    assert database.closed()


def test_a_node_that_is_down_is_tried_again_and_the_customer_is_told_no_host_name(machine):
    machine.enroll()
    database = Database()
    machine.shut_down()
    database.carry_out()
    operation = database.operation
    assert (database.status, operation.state, operation.attempts) == ("pending", "queued", 1)
    assert operation.due_at > timezone.now()
    assert operation.error
    assert operation.customer_error == "The node could not be reached."
    machine.boot()
    due_again()
    database.carry_out()
    assert database.status == "running"


def test_what_cannot_be_done_by_its_deadline_has_failed_and_a_restart_mends_it(machine):
    machine.enroll()
    database = Database()
    machine.shut_down()
    Operation.objects.update(deadline=timezone.now())
    database.carry_out()
    assert (database.status, database.operation.state) == ("failed", "failed")
    machine.boot()
    lifecycle.restart(database.instance, by=SYSTEM)
    database.carry_out()
    assert database.status == "running"


def test_an_operation_is_carried_out_once_however_often_its_message_comes(database):
    database.carry_out()
    database.carry_out()
    assert database.operation.attempts == 1


def test_an_operation_that_somebody_else_has_is_left_alone(machine):
    machine.enroll()
    database = Database()
    Operation.objects.update(lease=uuid.uuid4(), leased_until=timezone.now() + leases.LEASE)
    database.carry_out()
    assert database.status == "pending"
    Operation.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    database.carry_out()
    assert database.status == "running"


@pytest.mark.parametrize("overtaken_by", ["another worker", "a deletion"])
def test_a_worker_that_was_overtaken_writes_nothing(machine, monkeypatch, overtaken_by):
    machine.enroll()
    database = Database()
    call = transport.call

    def overtaken(endpoint, request, **options):
        answer = call(endpoint, request, **options)
        if overtaken_by == "another worker":
            Operation.objects.update(lease=uuid.uuid4())
        else:
            lifecycle.delete(Instance.objects.select_related("node").get(), by=SYSTEM, force=False)
        return answer

    monkeypatch.setattr(transport, "call", overtaken)
    provisioning.carry_out(Operation.objects.get().pk)
    assert database.status == ("pending" if overtaken_by == "another worker" else "deleting")
    assert not Operation.objects.filter(state="succeeded").exists()


def test_after_a_reboot_the_databases_come_back_with_their_data(database, machine):
    database.client().set("kept", "yes")
    machine.shut_down()
    machine.boot()
    health.probe([node()])
    [drift] = reconcile.reconcile()
    assert (drift.instance, drift.found) == (database.instance, "it is stopped")
    assert database.status == "restarting"
    database.carry_out()
    assert database.status == "running"
    assert database.client().get("kept") == b"yes"
    health.probe([node()])
    assert reconcile.reconcile() == []


def test_a_report_from_before_the_last_change_says_nothing(database):
    health.probe([node()])
    Node.objects.update(report={"instances": []}, reported_at=timezone.now() - timedelta(seconds=60))
    assert reconcile.drift() == []
    Node.objects.update(reported_at=timezone.now())
    assert [drift.found for drift in reconcile.drift()] == ["it is not there"]


def test_a_database_that_is_silent_gets_time_before_it_is_restarted(database):
    health.probe([node()])
    report = node().report
    report["instances"][0].update(state="broken", reason="no answer")
    began = timezone.now()

    def report_at(moment, reason="no answer"):
        fresh = {**report, "instances": [{**report["instances"][0], "reason": reason}]}
        health.seen(node(), fresh, moment)
        return [drift.found for drift in reconcile.drift()]

    assert report_at(began) == []
    assert report_at(began + timedelta(seconds=10)) == []
    assert report_at(began + timedelta(seconds=40), reason="loading") == []
    assert report_at(began + timedelta(seconds=50)) == ["it is broken"]


def test_a_changed_host_key_is_never_trusted(database, machine):
    machine.shut_down()
    (machine.home / ".ssh-host-key").unlink()
    machine.boot()
    lifecycle.restart(database.instance, by=SYSTEM)
    database.carry_out()
    assert (database.status, database.operation.state) == ("failed", "failed")
    assert "host key" in database.operation.error
    health.probe([node()])
    assert node().health == "offline"
    assert "host key" in node().last_error
    with pytest.raises(CommandError, match="another one is pinned"):
        machine.enroll()


def test_no_secret_is_in_what_we_keep(database):
    password = lifecycle.password(database.instance)
    instance = Instance.objects.get()
    kept = [str(value) for value in (*vars(instance).values(), *vars(database.operation).values(), node().report)]
    assert not any(password in text for text in kept)


def test_a_mistake_of_our_own_is_tried_again_and_ends_with_the_deadline(machine, settings):
    machine.enroll()
    database = Database()
    settings.BASEKV_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]  # not the one of the password
    database.carry_out()
    operation = database.operation
    assert (database.status, operation.state, operation.lease) == ("pending", "queued", None)
    assert operation.customer_error == "Something went wrong on our side."
    Operation.objects.update(due_at=timezone.now(), deadline=timezone.now())
    database.carry_out()
    assert (database.status, database.operation.state) == ("failed", "failed")
