"""What operators do with nodes that are there."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import AuditEntry
from instances.models import Instance
from nodes import packing, transport
from nodes.health import endpoint
from nodes.models import Node
from nodes.ssh_keys import public_key
from nodes.systemd_enrolment import HOME
from tests import factories
from tests.fleet.agent_node import RealNode
from tests.fleet.beat import carry_out_what_is_due
from tests.fleet.enrolling import enroll
from tests.fleet.fleet import Fleet
from tests.fleet.test_real_nodes import World

pytestmark = pytest.mark.django_db


def run(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def test_operators_check_drain_upgrade_and_remove_a_node(fleet: Fleet) -> None:
    machine = fleet.machines[0]
    enroll(machine)
    found = json.loads(run("check_node", machine.name, "--json"))
    assert {check["title"] for check in found} >= {"answer", "agent", "redis", "memcached", "webdis", "clock", "disk"}
    assert all(check["ok"] for check in found)

    for command, intent in (("drain", "draining"), ("disable", "disabled"), ("activate", "active")):
        assert intent in run(f"{command}_node", machine.name)

    world = World(fleet)
    world.create()
    carry_out_what_is_due()
    instance = Instance.objects.get()
    assert instance.status == "running"

    machine.root("printf '# older' >> /var/lib/basekv/agent.pyz")
    with pytest.raises(CommandError, match="upgrade_agents"):
        run("check_node", machine.name)
    assert "upgraded" in run("upgrade_agents", machine.name)
    assert Node.objects.get().agent_digest == packing.pack().digest
    assert machine.root("stat --format='%U %a' /var/lib/basekv/agent.pyz").split() == ["basekv", "600"]

    with pytest.raises(CommandError, match="--write-off"):
        run("remove_node", machine.name)
    assert "1 databases are lost" in run("remove_node", machine.name, "--write-off")
    assert not Node.objects.exists()
    trail = AuditEntry.objects.filter(actor_kind="command").order_by("id").values_list("action", flat=True)
    assert [action for action in trail if action != "region.create"] == [
        "node.enrol", "node.activate", "node.drain", "node.disable", "node.activate", "node.upgrade",
        "instance.lose", "node.write_off",
    ]  # fmt: skip
    RealNode(machine).forget_everything()


def test_the_ssh_key_is_replaced_and_sshd_refuses_the_old_one(fleet: Fleet, tmp_path: Path, settings: Any) -> None:
    machine = fleet.machines[0]
    enroll(machine)
    old, new = settings.BASEKV_SSH_KEY, str(tmp_path / "new")
    keys = f"{HOME}/.ssh/authorized_keys"
    before = machine.root(f"cat {keys}")
    assert "takes the new key" in run("rotate_ssh_key", "--new-key", new)
    assert machine.root(f"cat {keys}").splitlines()[0] == before.strip()
    settings.BASEKV_SSH_KEY = new
    assert "refuses the old key" in run("rotate_ssh_key", "--retire-old", "--old-key", old)
    assert machine.root(f"cat {keys}") == before.replace(public_key(old), public_key(new))
    assert machine.root(f"stat --format='%U %a' {keys}").split() == ["basekv", "600"]
    assert transport.call_with_key(endpoint(Node.objects.get()), {"verb": "probe"}, new)["ok"]


def test_a_node_that_does_not_exist_is_named() -> None:
    with pytest.raises(CommandError, match="no node 'nowhere'"):
        run("check_node", "nowhere")


def test_removing_an_empty_node_needs_no_write_off() -> None:
    node = factories.node()
    assert "0 databases" in run("remove_node", node.name)
