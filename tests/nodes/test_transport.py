"""Real SSH to a real agent, and what goes wrong on the way."""

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from nodes import packing, transport
from nodes.errors import AgentError, Garbage, HostKeyMismatch, LoginRefused, Unreachable
from nodes.fingerprint import fingerprint
from nodes.transport import Endpoint
from tests.nodes.conftest import Database, SshNode, listens
from tests.waiting import eventually

PROBE = {"verb": "probe"}


def test_a_call_answers_what_the_agent_answered(ssh_node: SshNode) -> None:
    assert transport.call(ssh_node.endpoint, PROBE)["agent"] == packing.pack().digest


def test_an_instance_outlives_the_call_and_the_connection_that_made_it(ssh_node: SshNode) -> None:
    database = Database(ssh_node)
    answer = transport.call(ssh_node.endpoint, {"verb": "apply", **database.desired()})
    assert answer["state"] == "running"
    transport.close()
    assert database.client().ping()


def test_a_refusal_carries_its_code_and_whether_it_is_permanent(ssh_node: SshNode) -> None:
    database = Database(ssh_node)
    with pytest.raises(AgentError) as refusal:
        transport.call(ssh_node.endpoint, {"verb": "apply", **database.desired(protocol="gopher")})
    assert (refusal.value.code, refusal.value.permanent) == ("bad_request", True)
    with socket.create_server(("127.0.0.1", database.port)), pytest.raises(AgentError) as refusal:
        transport.call(ssh_node.endpoint, {"verb": "apply", **database.desired()})
    assert (refusal.value.code, refusal.value.permanent) == ("port_taken", False)


def test_threads_share_a_connection_and_more_calls_than_channels_wait(ssh_node: SshNode) -> None:
    endpoint = ssh_node.endpoint
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: transport.call(endpoint, PROBE)["ok"], range(24)))
    assert answers == [True] * 24


def test_many_are_called_at_once_and_errors_are_returned_in_their_place(ssh_node: SshNode) -> None:
    endpoint = ssh_node.endpoint
    nobody = replace(endpoint, port=closed_port())
    good, bad, refused = transport.call_many([(endpoint, PROBE), (nobody, PROBE), (endpoint, {"verb": "dance"})])
    assert isinstance(good, dict)
    assert isinstance(bad, Unreachable)
    assert isinstance(refused, AgentError)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_changed_host_key_is_refused_and_shown(ssh_node: SshNode) -> None:
    pinned = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    with pytest.raises(HostKeyMismatch) as mismatch:
        transport.call(replace(ssh_node.endpoint, host_key=pinned), PROBE)
    assert mismatch.value.permanent
    assert mismatch.value.seen == ssh_node.endpoint.host_key
    assert fingerprint(mismatch.value.seen) in str(mismatch.value)


def test_a_host_key_of_another_kind_is_refused_and_shown(ssh_node: SshNode) -> None:
    pinned = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_public_key().decode().strip()
    with pytest.raises(HostKeyMismatch) as mismatch:
        transport.call(replace(ssh_node.endpoint, host_key=pinned), PROBE)
    assert mismatch.value.seen == ssh_node.endpoint.host_key


def test_a_host_key_can_be_scanned_and_named(ssh_node: SshNode) -> None:
    key = transport.scan_host_key("127.0.0.1", ssh_node.port)
    assert key == ssh_node.endpoint.host_key
    assert re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}", fingerprint(key))


def test_an_unknown_key_of_ours_is_a_refused_login(ssh_node: SshNode) -> None:
    (ssh_node.home / ".ssh" / "authorized_keys").write_text("")
    with pytest.raises(LoginRefused) as refused:
        transport.call(ssh_node.endpoint, PROBE)
    assert refused.value.permanent


def test_a_missing_key_of_ours_says_which_setting(ssh_node: SshNode, settings: Any) -> None:
    settings.BASEKV_SSH_KEY = ""
    with pytest.raises(LoginRefused, match="BASEKV_SSH_KEY"):
        transport.call(ssh_node.endpoint, PROBE)


def test_a_node_that_does_not_speak_agent_is_garbage(ssh_node: SshNode) -> None:
    ssh_node.authorize('restrict,command="echo hello; echo oops >&2; exit 3"')
    with pytest.raises(Garbage, match=r"3: oops"):
        transport.call(ssh_node.endpoint, PROBE)


def test_a_node_that_repeats_what_it_was_told_brings_no_password_into_our_words(ssh_node: SshNode) -> None:
    told = {"verb": "apply", "password": "new-one", "previous_password": "new-one-before"}
    ssh_node.authorize('restrict,command="cat >&2; exit 127"')
    with pytest.raises(Garbage) as error:
        transport.call(ssh_node.endpoint, told)
    assert '"verb":"apply"' in str(error.value)
    assert "new-one" not in str(error.value)
    assert "before" not in str(error.value)


def test_an_answer_without_end_is_cut_off(ssh_node: SshNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_ANSWER_BYTES", 100_000)
    ssh_node.authorize('restrict,command="yes"')
    with pytest.raises(Garbage, match="more than"):
        transport.call(ssh_node.endpoint, PROBE)


def test_the_forced_command_is_run_whatever_is_asked_for(ssh_node: SshNode, ssh_keys: Path) -> None:
    ssh_node.authorize('restrict,command="echo \\"forced, not $SSH_ORIGINAL_COMMAND\\""')
    done = transport.run(ssh_node.endpoint, "touch here", private_key=str(ssh_keys / "id"))
    assert done == (0, b"forced, not touch here\n", b"")
    assert not (ssh_node.home / "here").exists()


def test_a_bootstrap_key_runs_commands_with_input(ssh_node: SshNode, ssh_keys: Path) -> None:
    ssh_node.authorize("")
    key = str(ssh_keys / "id")
    done = transport.run(ssh_node.endpoint, "cat; echo bad >&2; exit 4", stdin=b"x" * 300_000, private_key=key)
    assert done == (4, b"x" * 300_000, b"bad\n")


def test_a_restarted_machine_is_reached_again_at_once(ssh_node: SshNode) -> None:
    endpoint = ssh_node.endpoint
    transport.call(endpoint, PROBE)
    ssh_node.shut_down()
    with pytest.raises(Unreachable):
        transport.call(endpoint, PROBE)
    ssh_node.boot()
    assert transport.call(endpoint, PROBE)["ok"]


def test_a_machine_that_was_away_between_two_calls_is_not_noticed(ssh_node: SshNode) -> None:
    endpoint = ssh_node.endpoint
    transport.call(endpoint, PROBE)
    ssh_node.shut_down()
    ssh_node.boot()
    assert transport.call(endpoint, PROBE)["ok"]


def test_a_frozen_machine_is_given_up_on_and_reached_when_it_thaws(ssh_node: SshNode) -> None:
    endpoint = ssh_node.endpoint
    transport.call(endpoint, PROBE)
    ssh_node.freeze()
    began = time.monotonic()
    with pytest.raises(Unreachable):
        transport.call(endpoint, PROBE, timeout=0.5)
    assert time.monotonic() - began < 2
    ssh_node.thaw()
    assert transport.call(endpoint, PROBE)["ok"]


def test_a_host_that_accepts_and_says_nothing_is_given_up_on(
    ssh_node: SshNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "CONNECT_TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = replace(ssh_node.endpoint, port=silent.getsockname()[1])
        with pytest.raises(Unreachable, match="login"):
            transport.call(endpoint, PROBE)
        with pytest.raises(Unreachable, match="host key"):
            transport.scan_host_key("127.0.0.1", endpoint.port)


def test_slow_work_does_not_hold_up_a_probe(ssh_node: SshNode) -> None:
    script = ssh_node.home / "slow"
    script.write_text("""read line; case "$line" in *apply*) sleep 1;; esac; echo '{"ok": true}'""")
    ssh_node.authorize(f'restrict,command="/bin/sh {script}"')
    with ThreadPoolExecutor(transport.CHANNELS) as pool:
        slow = [pool.submit(transport.call, ssh_node.endpoint, {"verb": "apply"}) for _ in range(transport.CHANNELS)]
        [answer] = transport.call_many([(ssh_node.endpoint, PROBE)], timeout=0.9)
        assert answer == {"ok": True}
        assert not any(work.done() for work in slow)


def test_a_machine_takes_everything_down_with_it(ssh_node: SshNode) -> None:
    databases = [Database(ssh_node) for _ in range(3)]
    for database in databases:
        transport.call(ssh_node.endpoint, {"verb": "apply", **database.desired()})
    databases[0].client().set("a", 1)
    assert len(ssh_node.engine_pids()) == 3
    ssh_node.shut_down()
    assert ssh_node.engine_pids() == []
    assert not any(listens(database.port) for database in databases)
    ssh_node.boot()
    transport.call(ssh_node.endpoint, {"verb": "apply", **databases[0].desired()})
    assert databases[0].client().get("a") == "1"


def test_a_machine_buries_its_orphans(ssh_node: SshNode) -> None:
    database = Database(ssh_node)
    transport.call(ssh_node.endpoint, {"verb": "apply", **database.desired()})
    ssh_node.kill_engines()
    eventually(lambda: ssh_node.children() == [])


def test_an_endpoint_with_a_damaged_host_key_is_a_permanent_error(ssh_node: SshNode) -> None:
    with pytest.raises(HostKeyMismatch):
        transport.call(Endpoint("127.0.0.1", ssh_node.port, "basekv", "not a key"), PROBE)
