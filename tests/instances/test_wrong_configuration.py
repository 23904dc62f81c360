"""What a person changes in a database's files on its node is mended by the next comparison, and its keys stay."""

import pytest

from instances import lifecycle
from instances.models import Event
from tests.fleet.beat import beat
from tests.instances.test_provisioning import Database
from tests.local_node import Machine
from tests.nodes.conftest import require_engines
from tests.nodes.wire import Memcached

pytestmark = pytest.mark.django_db

# For each part what a person may want to try out.
CHANGES = {"redis": ("noeviction", "allkeys-lru"), "memcached": ("default:", "guest:"), "http": ('"AUTH",', "")}


def memcached(database: Database) -> Memcached:
    return Memcached(database.instance.memcached_port, lifecycle.password(database.instance))


def test_changed_files_are_mended_and_the_keys_stay(machine: Machine):
    require_engines("memcached", "webdis")
    machine.enroll()
    database = Database(protocol="both")
    database.carry_out()
    database.client().set("a", "1")
    with memcached(database) as connection:
        connection.set("b", b"2")
    files = {part: machine.home / f"instances/{database.instance.pk}/{part}/engine.conf" for part in CHANGES}
    for part, (right, wrong) in CHANGES.items():
        text = files[part].read_text()
        assert right in text
        files[part].write_text(text.replace(right, wrong))

    beat()

    assert database.status == "running"
    assert "changed the configuration of its redis, http, memcached" in Event.objects.get(status="restarting").text
    for part, (right, _) in CHANGES.items():
        assert right in files[part].read_text()
    assert database.client().get("a") == b"1"
    with memcached(database) as connection:
        assert connection.get("b") == b"2"

    beat()
    assert database.instance.operations.count() == 2, "a provision and one recovery"
