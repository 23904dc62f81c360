"""What a probe round writes down about nodes."""

from datetime import timedelta

import pytest
from django.utils import timezone

from devstack import keys
from nodes import health
from nodes.errors import Unreachable
from nodes.models import Node
from tests import factories
from tests.nodes.conftest import SshNode
from tests.waiting import eventually

pytestmark = pytest.mark.django_db


def row_of(ssh_node: SshNode, **changes: object) -> Node:
    endpoint = ssh_node.endpoint
    where = {"ssh_host": endpoint.host, "ssh_port": endpoint.port, "ssh_user": endpoint.user}
    return factories.node(**{**where, "host_key": endpoint.host_key, **changes})


def test_a_connection_is_kept_for_as_long_as_there_is_its_node(ssh_node: SshNode) -> None:
    nobody = ssh_node.connections()
    row_of(ssh_node)
    health.probe_all()
    kept = ssh_node.connections()
    assert kept > nobody
    health.probe_all()
    assert ssh_node.connections() == kept
    Node.objects.all().delete()
    health.probe_all()
    eventually(lambda: ssh_node.connections() == nobody)


def test_another_host_key_is_kept_until_the_pinned_one_is_seen(ssh_node: SshNode) -> None:
    pinned = keys.public(keys.make_private())
    node = row_of(ssh_node, host_key=pinned)
    health.probe([node])
    node.refresh_from_db()
    assert (node.health, node.host_key_seen) == ("offline", ssh_node.endpoint.host_key)

    unreachable = Node.objects.get()
    unreachable.ssh_port = 1
    health.probe([unreachable])
    node.refresh_from_db()
    assert node.host_key_seen == ssh_node.endpoint.host_key, "nothing was learned since"

    Node.objects.update(host_key=ssh_node.endpoint.host_key)
    health.probe([Node.objects.get()])
    node.refresh_from_db()
    assert (node.health, node.host_key_seen) == ("online", "")


def test_a_node_that_was_seen_before_the_clock_was_put_back_is_seen_again() -> None:
    tomorrow = timezone.now() + timedelta(days=1)
    items = [{"id": "one", "state": "broken", "since": tomorrow.isoformat()}]
    node = factories.node(health="stale", seen_at=tomorrow, reported_at=tomorrow, report={"instances": items})
    began = timezone.now()
    health.seen(node, {"instances": [{"id": "one", "state": "broken"}]}, began)
    node.refresh_from_db()
    assert (node.health, node.reported_at) == ("online", began)
    assert node.report["instances"][0]["since"] == began.isoformat()


def test_a_node_that_was_last_seen_tomorrow_and_is_silent_is_offline() -> None:
    node = factories.node(seen_at=timezone.now() + timedelta(days=1))
    health.missed(node, Unreachable("It is silent."))
    node.refresh_from_db()
    assert node.health == "offline"
