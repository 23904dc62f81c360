"""What the agent promises with plain processes (tests/nodes/test_agent.py) it keeps with systemd: the same tests."""

import os
import signal
from collections.abc import Iterator

import pytest
import redis

from tests.fleet.agent_node import RealNode
from tests.nodes import test_agent as plain
from tests.nodes.conftest import Database
from tests.waiting import eventually

pytestmark = pytest.mark.django_db

SAME_TESTS = (
    plain.test_apply_answers_running_and_the_database_takes_the_password,
    plain.test_the_same_apply_again_changes_nothing,
    plain.test_a_higher_generation_restarts,
    plain.test_a_changed_limit_is_applied,
    plain.test_after_a_rotation_only_the_new_password_is_taken_and_old_connections_are_gone,
    plain.test_a_full_database_refuses_writes_and_evicts_nothing,
    plain.test_an_older_generation_is_superseded,
    plain.test_remove_is_idempotent_and_an_unknown_instance_is_fine,
    plain.test_a_late_remove_does_not_touch_a_newer_generation,
    plain.test_tombstones_are_forgotten_after_a_week,
    plain.test_a_damaged_record_is_broken_in_a_probe_and_repaired_by_apply,
    plain.test_a_configuration_that_somebody_changed_is_reported_and_mended_by_the_same_apply,
    plain.test_logs_are_the_last_lines_of_the_engine,
    plain.test_a_long_log_is_cut,
    plain.test_another_database_on_the_port_is_never_taken_for_ours,
    plain.test_many_at_once_leave_one_engine,
)
globals().update({test.__name__: test for test in SAME_TESTS})


@pytest.fixture
def node(enrolled: RealNode) -> Iterator[RealNode]:
    yield enrolled
    enrolled.forget_everything()


@pytest.fixture
def database(node: RealNode) -> Database:
    return Database(node)


@pytest.fixture
def running(database: Database) -> Database:
    answer = database.apply()
    assert answer["ok"], answer
    return database


@pytest.mark.parametrize("milliseconds", [20, 60, 110, 160, 220, 300])
def test_an_agent_killed_at_any_moment_is_repaired_by_the_next_apply(running: Database, milliseconds: int) -> None:
    plain.test_an_agent_killed_at_any_moment_is_repaired_by_the_next_apply(running, milliseconds)


def test_a_loading_engine_is_waited_for_and_not_restarted(database: Database) -> None:
    database.apply(storage_mb=500)
    database.client(socket_timeout=30).eval("for i=1,200000 do redis.call('set', 'key:'..i, i) end", 0)
    database.node.kill_engines()
    assert database.apply(storage_mb=500)["ok"]
    assert database.client().dbsize() == 200_000


def unit(database: Database) -> str:
    return f"basekv-redis@{database.id}.service"


def shown(database: Database, name: str) -> str:
    return database.node.machine.root(f"systemctl show --property={name} --value {unit(database)}").strip()


def test_an_engine_that_dies_is_started_again_and_keeps_its_keys(running: Database) -> None:
    running.client().mset({f"key:{n}": n for n in range(1000)})
    eventually(lambda: running.client().info("persistence")["aof_pending_bio_fsync"] == 0, "written to the disk")
    running.node.kill_engines()

    def answers() -> bool:
        try:
            return running.client().dbsize() == 1000
        except redis.RedisError:
            return False

    eventually(answers, "it is back", seconds=5)
    assert running.apply()["changed"] is False


def test_an_engine_that_always_dies_is_given_up_and_still_mended_by_apply(running: Database) -> None:
    def given_up() -> bool:
        running.node.kill_engines()
        return shown(running, "ActiveState") == "failed"

    eventually(given_up, "given up", seconds=30)
    assert (running.probed() or {})["state"] == "stopped"
    assert running.apply()["ok"]
    assert running.client().ping()


def test_the_limits_of_a_database_are_enforced_by_systemd(running: Database) -> None:
    assert shown(running, "MemoryMax") == str((3 * 25 + 256) * 2**20)
    assert shown(running, "CPUWeight") == "100"
    assert running.apply(generation=2, storage_mb=50)["ok"]
    assert shown(running, "MemoryMax") == str((3 * 50 + 256) * 2**20)


def test_the_sandbox_is_tight(running: Database) -> None:
    rating = running.node.machine.root(f"systemd-analyze security --no-pager {unit(running)} | tail -1")
    assert float(rating.partition("service: ")[2].split()[0]) < 2


def test_a_removed_database_leaves_nothing_behind(running: Database) -> None:
    running.client().set("a", 1)
    assert running.remove(generation=2)["ok"]
    left = running.node.machine.root(f"find / -xdev -path '*{running.id}*' -not -path '/proc/*' 2>/dev/null || true")
    assert [line for line in left.splitlines() if "/run/" not in line] == [
        f"/var/lib/basekv/instances/{running.id}",
        f"/var/lib/basekv/instances/{running.id}/record.json",
    ]
    assert running.node.engine_pids() == []


def test_quarantine_stops_and_keeps_also_over_a_reboot(running: Database) -> None:
    other = Database(running.node)
    assert other.apply()["ok"]
    running.client().set("a", 1)
    assert running.node.ask("quarantine", instance=running.id)["state"] == "quarantined"
    running.node.machine.reboot()
    eventually(lambda: (other.probed() or {})["state"] == "running", "the other one is back")
    assert (running.probed() or {})["state"] == "quarantined"
    assert running.apply()["changed"] is True
    assert running.client().get("a") == "1"


def test_a_start_script_that_somebody_changed_is_reported_and_mended(running: Database) -> None:
    script = running.directory / "redis" / "start"
    right = script.read_text()
    script.write_text(right.replace("ulimit -d", "ulimit -v"))
    assert (running.probed() or {})["changed"] == ["redis"]
    assert running.apply()["changed"] is True
    assert script.read_text() == right
    assert (running.probed() or {})["changed"] == []


def test_a_frozen_engine_is_broken_and_restarted_by_apply(running: Database) -> None:
    [pid] = running.node.engine_pids()
    os.kill(pid, signal.SIGSTOP)
    assert (running.probed() or {})["state"] == "broken"
    assert running.apply()["changed"] is True
    assert running.client().ping()


def in_the_sandbox(database: Database, command: str) -> str:
    """What a shell prints that runs where the database's engine does."""
    machine, directory = database.node.machine, f"/var/lib/basekv/instances/{database.id}/redis"
    machine.root(f"systemctl stop {unit(database)}; : > {directory}/engine.log")
    machine.root(f"cat > {directory}/start", stdin=f"exec >>{directory}/engine.log 2>/dev/null\n{command}\n")
    machine.root(f"systemctl start {unit(database)}")
    eventually(lambda: shown(database, "ActiveState") != "active", "the shell has ended")
    return machine.root(f"cat {directory}/engine.log")


def test_an_engine_sees_nothing_but_itself(running: Database) -> None:
    other = Database(running.node)
    assert other.apply()["ok"]
    mine = f"/var/lib/basekv/instances/{running.id}"
    assert in_the_sandbox(running, "ls /var/lib/basekv/instances /var/lib/private/basekv-redis").split() == [
        "/var/lib/basekv/instances:",
        running.id,
        "/var/lib/private/basekv-redis:",
        running.id,
    ]
    assert in_the_sandbox(running, f"cat /var/lib/basekv/node.key {mine}/record.json /etc/shadow; id -u") != "0\n"
    places = f"/etc /usr /var/lib/basekv {mine} {mine}/redis {mine}/redis/data /tmp"
    written = in_the_sandbox(running, f"for place in {places}; do touch $place/mine && echo $place; done")
    assert written.split() == [f"{mine}/redis/data", "/tmp"]
    pid = shown(other, "MainPID")
    assert in_the_sandbox(running, f"kill -KILL {pid} && echo killed; ls /proc/{pid} && echo seen") == ""
    assert in_the_sandbox(running, "/usr/bin/python3 -c 'import socket; socket.socket(1); print(1)'") == ""
    assert other.client().ping()


def test_the_log_and_the_configuration_are_no_way_out(running: Database) -> None:
    """The agent reads what an engine writes: a broken-in engine must not choose the file."""
    mine = f"/var/lib/basekv/instances/{running.id}/redis"
    before = running.node.machine.root(f"find {mine} | sort; cat {mine}/engine.conf")
    link = f"ln -sf ../../../node.key {mine}/engine.log; ln -s ../../../node.key {mine}/engine.log.1"
    in_the_sandbox(running, f"{link}; rm -f {mine}/engine.log; echo >> {mine}/engine.conf")
    assert running.node.machine.root(f"find {mine} | sort; cat {mine}/engine.conf") == before
