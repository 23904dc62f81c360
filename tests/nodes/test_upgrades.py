"""Agents are upgraded by the worker itself: real agents behind real SSH, and control planes of several releases."""

import logging
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import AuditEntry
from nodes import health, packing, transport, upgrades
from nodes.models import Node
from nodes.packing import Packed
from tests import factories
from tests.concurrency import at_once
from tests.nodes.conftest import SshNode

pytestmark = pytest.mark.django_db

LOCK = Path(packing.__file__).parent / "agent.lock"
HERE = packing.release()
pack_afresh = packing.pack.__wrapped__


def test_an_agent_never_changes_without_a_release() -> None:
    locked = dict(line.split() for line in LOCK.read_text().splitlines())
    advice = (
        f"The agent's code changed: bump the release in nodes/agent/release.py, above {max(map(int, locked))}, and add "
        "a line to nodes/agent.lock: python -m nodes.packing >> nodes/agent.lock"
    )
    assert locked.get(str(packing.release())) == packing.source_digest(), advice
    assert max(map(int, locked)) == packing.release(), advice


class Fleet:
    """Some nodes, as rows and as agents, and a control plane of any release."""

    def __init__(self, nodes: list[SshNode], folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.nodes, self._folder, self._patch = nodes, folder, patch
        for number, node in enumerate(nodes):
            endpoint = node.endpoint
            factories.node(
                name=f"node{number}",
                ssh_host=endpoint.host,
                ssh_port=endpoint.port,
                ssh_user=endpoint.user,
                host_key=endpoint.host_key,
                installed_digest=packing.pack().digest,
            )
        self.probe()

    def probe(self) -> None:
        health.probe(list(Node.objects.all()))

    def deploy(self, release: int, *changes: tuple[str, str, str]) -> Packed:
        """From here on the control plane is of this release. `changes`: module, text, and what it is replaced by."""
        source = self._folder / f"agent-{release}"
        shutil.copytree(packing.SOURCE, source)
        for module, old, new in [("release", f"RELEASE = {HERE}", f"RELEASE = {release}"), *changes]:
            text = (source / f"{module}.py").read_text()
            assert old in text
            (source / f"{module}.py").write_text(text.replace(old, new))
        with self._patch.context() as patch:
            patch.setattr(packing, "SOURCE", source)
            packed = pack_afresh()
        self._patch.setattr(packing, "pack", lambda: packed)
        return packed

    def releases(self) -> list[int]:
        """As the agents themselves say, not the rows."""
        return [node.ask("probe").get("release", 0) for node in self.nodes]

    def wait_over(self) -> None:
        Node.objects.update(upgrade_due_at=timezone.now())


@pytest.fixture
def make_fleet(
    tmp_path: Path, ssh_keys: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[int], Fleet]]:
    settings.BASEKV_SSH_KEY = str(ssh_keys / "id")
    nodes = []

    def make(size: int) -> Fleet:
        for number in range(size):
            home = tmp_path / f"node{number}"
            home.mkdir()
            nodes.append(SshNode(home, ssh_keys))
        return Fleet(nodes, tmp_path, monkeypatch)

    yield make
    transport.close()
    for node in nodes:
        node.shut_down()


@pytest.fixture
def fleet(make_fleet: Callable[[int], Fleet]) -> Fleet:
    return make_fleet(3)


def node(number: int) -> Node:
    return Node.objects.get(name=f"node{number}")


def test_a_lower_release_is_upgraded_first_on_one_node_and_then_on_the_others(
    fleet: Fleet, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(2):
        assert upgrades.roll_out() == []
    packed = fleet.deploy(HERE + 1)
    upgrades.roll_out()
    assert fleet.releases() == [HERE + 1, HERE, HERE]
    upgrades.roll_out()
    assert fleet.releases() == [HERE + 1] * 3
    assert upgrades.roll_out() == []
    assert set(Node.objects.values_list("agent_release", "agent_digest")) == {(HERE + 1, packed.digest)}
    written = AuditEntry.objects.filter(action="node.upgrade").order_by("subject_label")
    assert [(entry.actor_kind, entry.subject_label) for entry in written] == [("system", f"node{n}") for n in range(3)]
    assert written[0].changes["release"] == [HERE, HERE + 1]
    assert set(Node.objects.values_list("upgrade_error", "upgrade_due_at", "upgrade_attempts")) == {("", None, 0)}


def test_an_agent_from_before_there_were_releases_is_upgraded(fleet: Fleet) -> None:
    fleet.deploy(HERE + 1, ("verbs", '"release": RELEASE,', ""))
    call_command("upgrade_agents", "node0")
    assert (node(0).agent_release, fleet.releases()[0]) == (0, 0)
    fleet.deploy(HERE + 2)
    upgrades.roll_out()
    assert fleet.releases()[0] == HERE + 2


def test_a_higher_release_is_left_alone_unless_an_operator_names_its_node(make_fleet: Callable[[int], Fleet]) -> None:
    fleet = make_fleet(1)
    fleet.deploy(HERE + 2)
    upgrades.roll_out()
    fleet.deploy(HERE + 1)
    assert upgrades.roll_out() == []
    call_command("upgrade_agents")
    assert fleet.releases() == [HERE + 2]
    call_command("upgrade_agents", "node0")
    assert fleet.releases() == [HERE + 1]


def test_an_agent_that_somebody_changed_is_installed_again_with_a_loud_word(
    make_fleet: Callable[[int], Fleet], caplog: pytest.LogCaptureFixture
) -> None:
    fleet = make_fleet(1)
    changed = fleet.nodes[0].packed_file
    changed.write_bytes(changed.read_bytes() + b"# mine")
    fleet.probe()
    with caplog.at_level(logging.ERROR):
        upgrades.roll_out()
    assert re.search("node0: somebody has changed its agent", caplog.text)
    assert changed.read_bytes() == packing.pack().data


def test_a_control_plane_with_another_python_packs_it_otherwise_and_leaves_it_alone(fleet: Fleet) -> None:
    fleet.deploy(HERE, ("__init__", "The agent", "The  agent"))
    assert packing.pack().digest != node(0).agent_digest
    assert upgrades.roll_out() == []


def test_a_canary_that_does_not_answer_stops_the_rollout_and_is_not_hammered(fleet: Fleet) -> None:
    bad = ("verbs", '"release": RELEASE,', '"release": 1 // 0,')
    fleet.deploy(HERE + 1, bad)
    [(canary, error)] = upgrades.roll_out()
    assert canary.name == "node0"
    assert "does not answer since" in str(error)
    assert node(0).upgrade_error == str(error)
    assert node(0).upgrade_due_at > timezone.now() + timedelta(seconds=50)

    assert upgrades.roll_out() == [], "it is not time"
    Node.objects.filter(name="node0").update(health="offline")
    fleet.wait_over()
    assert upgrades.roll_out() == [], "no other node takes its place when it is gone"
    Node.objects.filter(name="node0").update(health="online")
    assert len(upgrades.roll_out()) == 1
    assert node(0).upgrade_due_at > timezone.now() + timedelta(seconds=110), "later each time"
    assert [other.ask("probe")["release"] for other in fleet.nodes[1:]] == [HERE, HERE]
    with pytest.raises(CommandError, match="Mend"):
        call_command("upgrade_agents")
    assert [other.ask("probe")["release"] for other in fleet.nodes[1:]] == [HERE, HERE]

    fleet.deploy(HERE + 2)
    upgrades.roll_out()
    assert fleet.releases() == [HERE + 2, HERE, HERE], "the next release does not wait for the bad one's time"
    assert node(0).upgrade_error == ""


def test_an_agent_that_does_not_start_is_refused_by_the_one_that_is_there(make_fleet: Callable[[int], Fleet]) -> None:
    fleet = make_fleet(1)
    fleet.deploy(HERE + 1, ("__main__", "def main() -> None:", "def main() -> None:\n    sys.exit(1)\n"))
    upgrades.roll_out()
    assert "does not run on this node" in node(0).upgrade_error
    assert fleet.releases() == [HERE]


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_upgrade_a_node_once(make_fleet: Callable[[int], Fleet]) -> None:
    fleet = make_fleet(1)
    fleet.deploy(HERE + 1)
    outcomes = at_once([upgrades.roll_out] * 4)
    assert [error for outcome in outcomes for _, error in outcome] == [None]
    assert fleet.releases() == [HERE + 1]
