"""A machine becomes a node by one command, which can be repeated and says what is wrong."""

import pytest
from django.core.management import CommandError, call_command

from accounts.models import AuditEntry
from nodes.models import Node, Region
from tests.local_node import Machine, node

pytestmark = pytest.mark.django_db


def test_an_enrolled_node_is_active_and_online_and_tells_its_engines(machine: Machine):
    shown = machine.enroll()
    assert "real is active and online." in shown
    assert (node().intent, node().health) == ("active", "online")
    assert "valkey" in node().engines


def test_enrolling_again_changes_what_is_said_and_keeps_what_the_operator_wants(machine: Machine):
    machine.enroll()
    Node.objects.update(intent="draining")
    machine.enroll(**{"capacity-mb": 555})
    assert (node().capacity_mb, node().intent) == (555, "draining")
    assert AuditEntry.objects.filter(action="node.enrol").first().changes["capacity_mb"][1] == 555
    assert Node.objects.count() == 1


def test_our_key_may_start_the_agent_and_nothing_else(machine: Machine):
    machine.enroll()
    [line] = machine.authorized_keys.read_text().splitlines()
    assert line.startswith('restrict,command="')
    assert machine.authorized_keys.stat().st_mode & 0o777 == 0o600


def test_a_host_key_that_is_not_the_one_given_is_refused_before_anything_is_done(machine: Machine):
    with pytest.raises(CommandError, match="not the one expected"):
        machine.enroll(**{"host-key": "SHA256:" + "A" * 43})
    assert not Node.objects.exists()
    assert not (machine.home / "agent.pyz").exists()


@pytest.mark.parametrize(
    "change, problem",
    [
        ({"region": "mars"}, "add_region mars"),
        ({"ssh-port": 1}, "127.0.0.1"),
        ({"capacity-mb": 0}, "above 0"),
        ({"engine": "valkey"}, "NAME=PATH"),
        ({"slots": 0}, "above 0"),
        ({"first-port": 65_500}, "ports"),
        ({"first-port": 80}, "ports"),
    ],
)
def test_a_mistake_is_a_sentence_that_says_what_to_do(machine: Machine, change, problem):
    with pytest.raises(CommandError, match=problem):
        machine.enroll(**change)
    assert not Node.objects.exists()


def test_a_node_without_engines_is_not_activated(machine: Machine, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CommandError):
        machine.enroll(engine=[f"{kind}=/nowhere" for kind in ("valkey", "redis", "memcached", "webdis")])
    assert not Node.objects.filter(intent="active").exists()


def test_list_nodes_shows_it(machine: Machine, capsys):
    machine.enroll()
    call_command("list_nodes")
    assert "real" in capsys.readouterr().out
    Region.objects.create(slug="other", name="Other")
    call_command("list_nodes", "--region=other", "--json")
    assert capsys.readouterr().out.strip() == "[]"


def test_a_name_that_is_none_is_refused(machine: Machine):
    with pytest.raises(CommandError, match="cannot name a node"):
        machine.enroll("no name")


def test_without_a_capacity_it_is_most_of_the_memory_and_enrolling_again_keeps_it(machine: Machine):
    machine.enroll(**{"capacity-mb": None})
    total = node().report["memory"]["total_mb"]
    assert node().capacity_mb == int(total * 0.8)
    Node.objects.update(capacity_mb=777)
    machine.enroll(**{"capacity-mb": None})
    assert node().capacity_mb == 777


def test_a_capacity_below_what_is_given_away_is_refused_and_changes_nothing(machine: Machine):
    machine.enroll()
    Node.objects.update(reserved_mb=500)
    with pytest.raises(CommandError, match="capacity"):
        machine.enroll(**{"capacity-mb": 400})
    assert node().capacity_mb == 10_000


def test_our_own_key_cannot_enrol(machine: Machine, settings):
    machine.enroll()
    with pytest.raises(CommandError, match="--bootstrap-key"):
        machine.enroll(let_in=False, **{"bootstrap-key": settings.BASEKV_SSH_KEY})


def test_the_first_port_stays_while_there_are_databases(machine: Machine):
    machine.enroll()
    Node.objects.update(slots_used=1)
    with pytest.raises(CommandError, match="first port stays"):
        machine.enroll(**{"first-port": machine.first_port + 3})
