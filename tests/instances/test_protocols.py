"""A database that speaks everything, from the customer's wish to its wires."""

import pytest

from accounts.actors import SYSTEM
from instances import lifecycle
from instances.models import Instance
from tests.instances.test_provisioning import Database
from tests.local_node import Machine, node
from tests.nodes.conftest import listens, require_engines
from tests.nodes.wire import Memcached, http

pytestmark = pytest.mark.django_db


@pytest.fixture
def both(machine: Machine) -> Database:
    require_engines("memcached", "webdis")
    machine.enroll()
    database = Database(protocol="both")
    database.carry_out()
    assert database.status == "running"
    return database


def test_every_protocol_serves_and_a_rotation_keeps_the_keys_of_all(both: Database):
    instance, old = both.instance, lifecycle.password(both.instance)
    both.client().set("a", "1")
    with Memcached(instance.memcached_port, old) as connection:
        assert connection.set("b", b"2") == "STORED"
    new = lifecycle.rotate(Instance.objects.get(), by=SYSTEM)
    both.carry_out()
    assert both.status == "running"
    assert http(instance.http_port, "/GET/a", new) == (200, '{"GET":"1"}')
    assert http(instance.http_port, "/GET/a", old)[0] == 403
    with Memcached(instance.memcached_port, new) as connection:
        assert connection.get("b") == b"2"


def test_a_removal_closes_every_port_and_gives_everything_back(both: Database):
    ports = [both.instance.redis_port, both.instance.memcached_port, both.instance.http_port]
    assert all(listens(port) for port in ports)
    lifecycle.delete(Instance.objects.select_related("node").get(), by=SYSTEM, force=False)
    both.carry_out()
    assert both.status == "deleted"
    assert not any(listens(port) for port in ports)
    assert (node().slots_used, node().reserved_mb) == (0, 0)


@pytest.mark.parametrize(
    "protocol, storage_mb, reserved",
    [("redis", 20, 36), ("memcached", 20, 80), ("memcached", 100, 116), ("both", 20, 116), ("both", 100, 232)],
)
def test_the_node_reserves_what_the_engines_take(machine: Machine, protocol, storage_mb, reserved):
    require_engines("memcached", "webdis")
    machine.enroll()
    assert Database(storage_mb, protocol).instance.reserved_mb == reserved
