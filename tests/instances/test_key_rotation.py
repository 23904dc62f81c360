"""The control plane's SSH key is replaced by a command, and no node is out of reach for a moment."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from accounts.actors import SYSTEM
from accounts.models import AuditEntry
from devstack import keys
from nodes import key_rotation, transport
from nodes.errors import AgentError, LoginRefused, NodeError, Unreachable
from nodes.health import endpoint
from nodes.models import Node
from nodes.ssh_keys import public_key
from tests import factories
from tests.local_node import Machine, node

pytestmark = pytest.mark.django_db

PROBE = {"verb": "probe"}


@pytest.fixture
def old(settings, tmp_path, machine: Machine) -> str:
    """The key in use, which the node knows."""
    path = tmp_path / "old"
    key_rotation.make_pair(str(path))
    settings.BASEKV_SSH_KEY = str(path)
    machine.enroll()
    return str(path)


@pytest.fixture
def new(tmp_path) -> str:
    return str(tmp_path / "new")


@pytest.fixture
def absent(old: str) -> Node:
    """Another node, which does not answer; it comes before the one that does."""
    copy = factories.node(name="absent", ssh_host="127.0.0.1", ssh_port=1, host_key=node().host_key)
    assert copy.name < node().name
    return copy


def rotate(*words: str) -> str:
    out = StringIO()
    call_command("rotate_ssh_key", *words, stdout=out)
    return out.getvalue()


def lets_in(key: str) -> bool:
    try:
        return bool(transport.call_with_key(endpoint(node()), PROBE, key)["ok"])
    except LoginRefused:
        return False


def test_both_keys_are_taken_and_then_only_the_new_one(machine: Machine, old: str, new: str, settings):
    before = machine.authorized_keys.read_text()
    said = rotate("--new-key", new)
    assert f"BASEKV_SSH_KEY to {new}" in said
    assert f"rotate_ssh_key --retire-old --old-key {old}" in said
    assert lets_in(old)
    assert lets_in(new)
    assert machine.authorized_keys.read_text().startswith(before), "the same command as the enrolment's"

    settings.BASEKV_SSH_KEY = new
    assert "refuses the old key" in rotate("--retire-old", "--old-key", old)
    assert not lets_in(old)
    assert lets_in(new)
    assert machine.authorized_keys.read_text() == before.replace(public_key(old), public_key(new))
    for action in ("node.take_ssh_key", "node.retire_ssh_keys"):
        entry = AuditEntry.objects.get(action=action)
        assert (entry.actor_kind, entry.changes["public_key"][1]) == ("command", public_key(new))


def test_each_half_can_be_run_again_and_changes_nothing(old: str, new: str, settings, machine: Machine):
    rotate("--new-key", new)
    pair, lines = (Path(new).read_text(), Path(f"{new}.pub").read_text()), machine.authorized_keys.read_text()
    rotate("--new-key", new)
    assert (Path(new).read_text(), Path(f"{new}.pub").read_text()) == pair
    assert machine.authorized_keys.read_text() == lines
    settings.BASEKV_SSH_KEY = new
    for _ in range(2):
        rotate("--retire-old")
        assert not lets_in(old)
    settings.BASEKV_SSH_KEY = old
    rotate("--new-key", new)
    assert not lets_in(old), "a node that is past it is left as it is"


def test_an_offline_node_holds_up_nobody_but_itself(old: str, new: str, settings, absent: Node):
    with pytest.raises(CommandError, match="Failed: absent"):
        rotate("--new-key", new)
    assert lets_in(new)
    settings.BASEKV_SSH_KEY = new
    with pytest.raises(CommandError, match="Failed: absent"):
        rotate("--retire-old", "--old-key", old)
    assert lets_in(new)
    assert not lets_in(old)


def test_a_node_that_missed_the_first_half_is_brought_after(old: str, new: str, settings):
    key_rotation.make_pair(new)
    settings.BASEKV_SSH_KEY = new
    [(_, error)] = key_rotation.retire_old(None, by=SYSTEM)
    assert f"With BASEKV_SSH_KEY set to the old key, run rotate_ssh_key --new-key {new}" in str(error)
    assert lets_in(old), "what is not proved takes nothing away"
    settings.BASEKV_SSH_KEY = old
    rotate("--new-key", new)
    settings.BASEKV_SSH_KEY = new
    rotate("--retire-old", "--old-key", old)
    assert lets_in(new)


@pytest.mark.parametrize("calls", range(1, 4))
@pytest.mark.parametrize("half", ["--new-key", "--retire-old"])
def test_it_goes_on_after_an_interruption_at_any_call(old: str, new: str, settings, monkeypatch, half: str, calls: int):
    if half == "--retire-old":
        rotate("--new-key", new)
        settings.BASEKV_SSH_KEY = new
    words = ["--new-key", new] if half == "--new-key" else [half, "--old-key", old]
    with monkeypatch.context() as patch:
        patch.setattr(transport, "call_with_key", interrupted_after(calls))
        with pytest.raises(KeyboardInterrupt):
            rotate(*words)
    assert lets_in(settings.BASEKV_SSH_KEY)
    rotate(*words)
    assert lets_in(new)
    assert lets_in(old) == (half == "--new-key")


def interrupted_after(calls: int) -> Callable[..., object]:
    """The last of these calls does its work, and nobody hears of it."""
    real, made = transport.call_with_key, []

    def call(*arguments: object, **options: object) -> object:
        made.append(arguments)
        try:
            return real(*arguments, **options)
        finally:
            if len(made) == calls:
                raise KeyboardInterrupt

    return call


def test_a_key_that_is_written_down_and_not_let_in_stops_everything(old: str, new: str, monkeypatch):
    Node.objects.filter(pk=node().pk).update(name="first")
    factories.node(name="second", host_key=node("first").host_key)
    real, asked = transport.call_with_key, []

    def deaf(place: transport.Endpoint, request: dict[str, object], key: str) -> object:
        asked.append(place.host)
        if request == PROBE:
            raise Unreachable("no answer")
        return real(place, request, key)

    monkeypatch.setattr(transport, "call_with_key", deaf)
    with pytest.raises(CommandError, match=r"Failed: first\. 1 nodes were left as they are"):
        rotate("--new-key", new)
    assert set(asked) == {"127.0.0.1"}
    assert len(asked) == 2


def test_an_old_agent_is_upgraded_first(old: str, new: str, monkeypatch):
    def ancient(*_: object) -> object:
        raise AgentError("unknown_verb", "The verb must be one of probe.", permanent=True)

    monkeypatch.setattr(transport, "call_with_key", ancient)
    [(_, error)] = key_rotation.install(made(new), by=SYSTEM)
    assert "upgrade_agents real" in str(error)


def made(path: str) -> str:
    key_rotation.make_pair(path)
    return path


def test_an_old_key_that_still_lets_us_in_is_a_failure(old: str, new: str, settings, machine: Machine, monkeypatch):
    rotate("--new-key", new)
    settings.BASEKV_SSH_KEY = new
    both = machine.authorized_keys.read_text()
    real = key_rotation.authorize

    def careless(*arguments: object) -> None:
        real(*arguments)
        machine.authorized_keys.write_text(both)

    monkeypatch.setattr(key_rotation, "authorize", careless)
    [(_, error)] = key_rotation.retire_old(old, by=SYSTEM)
    assert f"still lets {old} in" in str(error)


def test_the_wrong_key_at_the_wrong_time_is_refused_before_anything_is_done(old: str, new: str, machine: Machine):
    lines = machine.authorized_keys.read_text()
    for words, problem in [
        (["--new-key", old], "in use already"),
        (["--retire-old", "--old-key", old], "set BASEKV_SSH_KEY to the new one first"),
        (["--retire-old", "--old-key", "/nowhere"], "/nowhere must be the path"),
        (["--new-key", "/nowhere/key"], "/nowhere/key cannot be made"),
        (["--new-key", new, "--old-key", old], "goes with --retire-old"),
        ([], "required"),
    ]:
        with pytest.raises(CommandError, match=problem):
            rotate(*words)
    assert machine.authorized_keys.read_text() == lines


def test_a_new_pair_is_ours_alone_and_one_that_is_there_is_kept(new: str):
    key_rotation.make_pair(new)
    private, public = Path(new), Path(f"{new}.pub")
    assert private.stat().st_mode & 0o777 == 0o600
    assert public.read_text().split()[:2] == keys.public(private.read_text()).split()
    assert sorted(path.name for path in private.parent.iterdir() if path.name.startswith("new")) == ["new", "new.pub"]
    public.unlink()
    kept = private.read_text()
    key_rotation.make_pair(new)
    assert private.read_text() == kept
    public.write_text(keys.public(keys.make_private()))
    with pytest.raises(NodeError, match="does not belong"):
        key_rotation.make_pair(new)
