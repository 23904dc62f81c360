"""Three real machines, from nothing to databases that outlive what happens to machines."""

import socket
from collections import Counter
from datetime import timedelta

import httpx
import pytest
import redis
from django.utils import timezone
from redis.backoff import NoBackoff
from redis.retry import Retry

from accounts.actors import SYSTEM
from instances import lifecycle
from instances.models import Instance, Operation
from instances.states import Status
from nodes import health
from nodes.models import Node
from tests import factories
from tests.fleet.beat import beat, carry_out_what_is_due, settled
from tests.fleet.enrolling import enroll
from tests.fleet.fleet import Fleet
from tests.fleet.machine import Machine
from tests.waiting import eventually

pytestmark = pytest.mark.django_db

DATABASES = 6
KEYS = 200
PARTS = ("redis", "memcached", "http")


class World:
    """The machines, and the databases that a customer has on them."""

    def __init__(self, fleet: Fleet) -> None:
        self.machines = {machine.name: machine for machine in fleet.machines}
        self.account = factories.customer().account

    def create(self) -> Instance:
        return lifecycle.create(
            account_id=self.account.pk,
            by=SYSTEM,
            max_databases=None,
            max_storage_mb=16,
            name="db",
            region=None,
            protocol="both",
            log_level="info",
        )

    def on(self, machine: Machine) -> list[Instance]:
        """Its databases that should run."""
        return list(Instance.objects.filter(node__name=machine.name, status=Status.RUNNING))

    def client(self, instance: Instance) -> "redis.Redis":
        return redis.Redis(
            host=instance.node.host,
            port=instance.redis_port or 0,
            password=lifecycle.password(instance),
            socket_timeout=5,
            socket_connect_timeout=2,
            retry=Retry(NoBackoff(), 0),
        )

    def fill(self, instance: Instance) -> None:
        client = self.client(instance)
        client.mset({f"{instance.pk}:{number}": number for number in range(KEYS)})
        self.memcached(instance, b"set key 0 0 5\r\nvalue\r\n")
        # `everysec`: what is a second old is on the disk.
        eventually(lambda: client.info("persistence")["aof_pending_bio_fsync"] == 0, "written to the disk")

    def memcached(self, instance: Instance, request: bytes) -> bytes:
        """The reply, once memcached was shown the password."""
        words = f"default {lifecycle.password(instance)}".encode()
        with socket.create_connection((instance.node.host, instance.memcached_port or 0), timeout=5) as connection:
            connection.sendall(b"set auth 0 0 %d\r\n%s\r\n%squit\r\n" % (len(words), words, request))
            return b"".join(iter(lambda: connection.recv(4096), b""))

    def http(self, instance: Instance, command: str) -> bytes:
        answer = httpx.get(
            f"http://{instance.node.host}:{instance.http_port}/{command}",
            auth=("default", lifecycle.password(instance)),
        )
        return answer.content if answer.status_code == 200 else b""

    def has_everything(self, instance: Instance) -> bool:
        try:
            client = self.client(instance)
            in_redis = client.dbsize() == KEYS and client.get(f"{instance.pk}:7") == b"7"
            over_http = self.http(instance, f"GET/{instance.pk}:7") == b'{"GET":"7"}'
            return in_redis and over_http
        except (redis.RedisError, httpx.HTTPError, OSError):
            return False

    def memcached_kept(self, instance: Instance) -> bool:
        try:
            return b"VALUE key" in self.memcached(instance, b"get key\r\n")
        except OSError:
            return False

    def back(self, machine: Machine) -> None:
        for instance in self.on(machine):
            eventually(lambda instance=instance: self.has_everything(instance), f"{instance} back")


@pytest.fixture
def world(fleet: Fleet) -> World:
    for machine in fleet.machines:
        enroll(machine)
    world = World(fleet)
    created = [world.create() for _ in range(DATABASES)]
    carry_out_what_is_due()
    for instance in created:
        instance.refresh_from_db()
        assert instance.status == Status.RUNNING, instance.operations.latest("created_at").error
        world.fill(instance)
    return world


def test_databases_outlive_what_happens_to_machines(world: World) -> None:
    first, second, third = world.machines.values()
    assert Counter(Instance.objects.values_list("node__name", flat=True)) == dict.fromkeys(world.machines, 2)
    everything_is_as_promised(world)

    engines_are_killed(world, first)
    a_machine_is_rebooted(world, second)
    the_power_is_cut(world, first)
    a_machine_cannot_be_reached(world, third)

    eventually(settled, "nothing left to do")
    everything_is_as_promised(world)
    everything_is_deleted(world)


def engines_are_killed(world: World, machine: Machine) -> None:
    """systemd starts them again: the control plane does not even notice."""
    machine.root("systemctl kill --signal=KILL 'basekv-redis@*' 'basekv-http@*'")
    world.back(machine)
    beat()
    assert not Operation.objects.filter(finished_at=None).exists()


def a_machine_is_rebooted(world: World, machine: Machine) -> None:
    machine.reboot()
    world.back(machine)
    for instance in world.on(machine):
        eventually(lambda instance=instance: world.memcached_kept(instance), "memcached kept its keys")


def the_power_is_cut(world: World, machine: Machine) -> None:
    machine.cut_power()
    machine.start()
    machine.wait()
    world.back(machine)


def a_machine_cannot_be_reached(world: World, machine: Machine) -> None:
    doomed, kept = world.on(machine)
    machine.partition()
    node = Node.objects.get(name=machine.name)
    Node.objects.filter(pk=node.pk).update(seen_at=timezone.now() - timedelta(seconds=100))
    node.refresh_from_db()
    health.probe([node])
    node.refresh_from_db()
    assert node.health == "offline"
    assert machine.address in node.last_error

    doomed.node.refresh_from_db()
    assert lifecycle.delete(doomed, by=SYSTEM, force=False) == lifecycle.Mode.FALLBACK
    doomed.refresh_from_db()
    assert doomed.status == Status.DELETED
    assert doomed.slot is not None, "its ports are kept until the node has confirmed"
    assert world.has_everything(kept) is False

    machine.heal()
    eventually(settled, "cleaned after the partition", seconds=30)
    doomed.refresh_from_db()
    assert doomed.slot is None
    assert world.has_everything(kept)


def everything_is_deleted(world: World) -> None:
    for instance in Instance.objects.filter(status=Status.RUNNING).select_related("node"):
        lifecycle.delete(instance, by=SYSTEM, force=False)
    eventually(settled, "all deleted")
    everything_is_as_promised(world)
    for node in Node.objects.all():
        assert (node.reserved_mb, node.slots_used) == (0, 0)


def everything_is_as_promised(world: World) -> None:
    assert not Instance.objects.exclude(status__in=[Status.RUNNING, Status.DELETED]).exists(), "an instance is stuck"
    for instance in Instance.objects.filter(status=Status.RUNNING):
        assert world.has_everything(instance), f"{instance} lost keys"
    for machine in world.machines.values():
        nothing_else_is_on(world, machine)


def nothing_else_is_on(world: World, machine: Machine) -> None:
    expected = {str(instance.pk) for instance in world.on(machine)}
    used = [port for i in world.on(machine) for port in (i.redis_port, i.memcached_port, i.http_port)]
    assert len(used) == len(set(used)) == 3 * len(expected), "a port is shared"
    assert listening(machine) == {22, *used}
    assert units(machine) == {f"basekv-{part}@{id}.service" for id in expected for part in PARTS}
    assert set(machine.root("ls /var/lib/private/basekv-redis 2>/dev/null || true").split()) == expected
    assert {name.partition("@")[2].partition(".")[0] for name in limits(machine)} == expected
    engines = machine.root("ps -eo user:20,args | grep -E '[r]edis-server|[m]emcached|[w]ebdis' || true").splitlines()
    assert len(engines) == 3 * len(expected)
    assert not [line for line in engines if line.split()[0] in ("root", "basekv")]
    for instance in world.on(machine):
        assert lifecycle.password(instance) not in machine.root("ps -eo args; cat /proc/*/environ | tr '\\0' '\\n'")


def listening(machine: Machine) -> set[int]:
    lines = machine.root("ss --no-header --tcp --listening --numeric").splitlines()
    return {int(line.split()[3].rpartition(":")[2]) for line in lines}


def units(machine: Machine) -> set[str]:
    listed = machine.root("systemctl list-units --state=active --plain --no-legend 'basekv-*@*'").splitlines()
    return {line.split()[0] for line in listed}


def limits(machine: Machine) -> list[str]:
    return machine.root("ls /etc/systemd/system.control 2>/dev/null || true").split()
