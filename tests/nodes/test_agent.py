"""The packed agent against a real engine."""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from nodes import packing
from tests import disk
from tests.nodes.conftest import PASSWORD, AgentNode, Database, listens
from tests.waiting import eventually

UUID = "0190a000-0000-4000-8000-000000000000"


def test_apply_answers_running_and_the_database_takes_the_password(running: Database) -> None:
    assert running.client().ping()
    with pytest.raises(redis.AuthenticationError):
        running.client(password=None).ping()


def test_apply_says_which_engine_runs_and_what_it_changed(database: Database) -> None:
    answer = database.apply()
    assert answer["engine"].startswith("valkey 9.")
    assert (answer["state"], answer["generation"], answer["changed"]) == ("running", 1, True)
    assert answer["milliseconds"] < 5000


def test_the_same_apply_again_changes_nothing(running: Database) -> None:
    pids = running.node.engine_pids()
    assert running.apply()["changed"] is False
    assert running.node.engine_pids() == pids


def test_a_higher_generation_restarts(running: Database) -> None:
    pids = running.node.engine_pids()
    assert running.apply(generation=2)["changed"] is True
    assert running.node.engine_pids() != pids


def test_a_changed_limit_is_applied(running: Database) -> None:
    running.apply(storage_mb=50)
    assert running.client().config_get("maxmemory") == {"maxmemory": str(50 * 2**20)}


def test_after_a_rotation_only_the_new_password_is_taken_and_old_connections_are_gone(running: Database) -> None:
    connected = running.client(single_connection_client=True)
    connected.ping()
    assert running.apply(generation=2, password="new", previous_password=PASSWORD)["ok"]
    assert running.client(password="new").ping()
    with pytest.raises(redis.AuthenticationError):
        running.client().ping()
    with pytest.raises(redis.RedisError):
        connected.ping()


def test_a_thousand_keys_survive_restart_and_kill(running: Database) -> None:
    running.client().mset({f"key:{n}": n for n in range(1000)})
    running.apply(generation=2)
    assert running.client().dbsize() == 1000
    # What everysec has written survives the engine; a second is all that a kill may cost.
    eventually(lambda: running.client().info("persistence")["aof_pending_bio_fsync"] == 0)
    running.node.kill_engines()
    assert running.apply(generation=2)["changed"] is True
    assert running.client().get("key:999") == "999"


def test_a_full_database_refuses_writes_and_evicts_nothing(database: Database) -> None:
    database.apply(storage_mb=5)
    client = database.client()
    client.set("first", "kept")
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        client.mset({f"big:{n}": "x" * 200_000 for n in range(20)}) and client.mset({"more": "x"})
    assert client.get("first") == "kept"


def test_an_older_generation_is_superseded(running: Database) -> None:
    running.apply(generation=5)
    answer = running.apply(generation=4, password="stale")
    assert (answer["code"], answer["retry"]) == ("superseded", False)
    assert running.client().ping()


def test_remove_closes_the_port_and_erases_the_data(running: Database) -> None:
    running.client().set("a", 1)
    assert running.remove(generation=2)["ok"]
    assert not listens(running.port)
    assert running.probed() is None
    assert [path.name for path in running.directory.iterdir()] == ["record.json"]


def test_remove_is_idempotent_and_an_unknown_instance_is_fine(running: Database) -> None:
    assert running.remove(generation=2) == running.remove(generation=2)
    assert Database(running.node).remove()["ok"]


def test_a_late_apply_does_not_bring_a_removed_instance_back(running: Database) -> None:
    running.remove(generation=3)
    for generation in (2, 3):
        assert running.apply(generation=generation)["code"] == "superseded"
    assert not listens(running.port)


def test_a_late_remove_does_not_touch_a_newer_generation(running: Database) -> None:
    running.apply(generation=3)
    assert running.remove(generation=2)["code"] == "superseded"
    assert running.client().ping()


def test_tombstones_are_forgotten_after_a_week(running: Database) -> None:
    running.remove()
    running.node.ask("probe")
    assert running.directory.exists()
    record = running.directory / "record.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"since": time.time() - 8 * 24 * 3600}))
    running.node.ask("probe")
    assert not running.directory.exists()


def test_quarantine_stops_and_keeps_until_the_next_apply(running: Database) -> None:
    running.client().set("a", 1)
    for _ in range(2):
        assert running.node.ask("quarantine", instance=running.id)["state"] == "quarantined"
    assert not listens(running.port)
    assert (running.probed() or {})["state"] == "quarantined"
    assert running.apply()["changed"] is True
    assert running.client().get("a") == "1"


def test_quarantine_of_an_unknown_instance_says_so(database: Database) -> None:
    assert database.node.ask("quarantine", instance=database.id)["code"] == "unknown_instance"
    assert not database.directory.exists()


def test_probe_reports_the_node_and_its_instances(running: Database) -> None:
    running.client(db=0).set("a", 1)
    running.client(db=3).set("b", 1)
    report = running.node.ask("probe")
    assert report["agent"] == packing.pack().digest
    assert report["engines"].keys() >= {"valkey"}
    assert abs(report["time"] - time.time()) < 5
    assert len(report["load"]) == 3
    assert report["memory"]["total_mb"] > report["memory"]["available_mb"] > 0
    assert report["disk"]["total_mb"] > report["disk"]["free_mb"] > 0
    [instance] = report["instances"]
    assert (instance["id"], instance["generation"], instance["state"]) == (running.id, 1, "running")
    assert instance["ports"] == {"redis": running.port, "memcached": None, "http": None}
    assert instance["keys"] == 2
    assert instance["memory_bytes"] > 0


def test_probe_sees_a_dead_engine(running: Database) -> None:
    running.node.kill_engines()
    assert (running.probed() or {})["state"] == "stopped"


def test_a_configuration_that_somebody_changed_is_reported_and_mended_by_the_same_apply(running: Database) -> None:
    running.client().set("a", 1)
    assert (running.probed() or {})["changed"] == []
    config = running.directory / "redis" / "engine.conf"
    right = config.read_text()
    config.write_text(right.replace("noeviction", "allkeys-lru"))
    assert (running.probed() or {})["changed"] == ["redis"]
    assert running.apply()["changed"] is True
    assert config.read_text() == right
    assert (running.probed() or {})["changed"] == []
    assert running.client().get("a") == "1"


def test_an_engine_that_an_older_agent_started_is_left_alone_by_a_probe(running: Database) -> None:
    """Their marks did not tell the configuration: an upgrade of the agent must not restart every database."""
    mark = running.directory / "redis" / "engine.pid"
    pid, _, rest = mark.read_text().partition(" ")
    mark.write_text(f"{pid} {rest.replace('.', '')}")
    assert (running.probed() or {})["state"] == "running"
    assert (running.probed() or {})["changed"] == []


def test_a_frozen_engine_is_broken_and_spoils_no_answer(running: Database) -> None:
    other = Database(running.node)
    other.apply()
    pid = engine_pid(running)
    os.kill(pid, signal.SIGSTOP)
    try:
        states = {instance["id"]: instance["state"] for instance in running.node.ask("probe")["instances"]}
    finally:
        os.kill(pid, signal.SIGCONT)
    assert states == {running.id: "broken", other.id: "running"}


def engine_pid(database: Database) -> int:
    return int((database.directory / "redis" / "engine.pid").read_text().split()[0])


def test_a_damaged_record_is_broken_in_a_probe_and_repaired_by_apply(running: Database) -> None:
    (running.directory / "record.json").write_text("{")
    assert (running.probed() or {})["state"] == "broken"
    assert running.apply(generation=2)["ok"]
    assert (running.probed() or {})["state"] == "running"


def test_logs_are_the_last_lines_of_the_engine(running: Database) -> None:
    lines = running.node.ask("logs", instance=running.id, lines=3)["lines"]
    assert len(lines) == 3
    assert "Ready to accept connections" in lines[-1]


def test_a_long_log_is_cut(running: Database) -> None:
    log = running.directory / "redis" / "engine.log"
    log.write_bytes(b"x" * (9 * 2**20))
    running.node.ask("probe")
    assert not log.exists() or log.stat().st_size < 2**20


def test_a_taken_port_is_named(database: Database) -> None:
    with socket.create_server(("127.0.0.1", database.port)):
        answer = database.apply()
    assert (answer["code"], answer["retry"]) == ("port_taken", True)
    assert str(database.port) in answer["error"]
    assert database.apply()["ok"]


def test_another_database_on_the_port_is_never_taken_for_ours(running: Database) -> None:
    """Same password, same port, and it answers: still not the instance that was asked for."""
    other = Database(running.node)
    other.port = running.port
    assert other.apply()["code"] == "port_taken"
    assert (other.probed() or {})["state"] == "stopped"


def test_an_engine_that_cannot_start_says_its_last_words_without_secrets(database: Database) -> None:
    database.node.configure(engines={"valkey": "/bin/false"})
    assert database.apply()["code"] == "engine_failed"
    complaint = database.node.home / "complaint"
    complaint.write_text(f'#!/bin/sh\ncat "$1"\necho {PASSWORD}\nexit 1\n')
    complaint.chmod(0o700)
    database.node.configure(engines={"valkey": str(complaint)})
    answer = database.apply()
    assert answer["code"] == "engine_failed"
    assert "user default" in answer["error"]
    assert_no_secrets(database, answer["error"])


def test_a_protocol_without_an_engine_is_refused_for_good(database: Database) -> None:
    database.node.configure(engines={"memcached": "/nowhere/memcached"})
    ports = {"redis": None, "memcached": database.port, "http": None}
    answer = database.apply(protocol="memcached", ports=ports)
    assert (answer["code"], answer["retry"]) == ("no_engine", False)


def test_an_instance_at_work_is_busy(running: Database) -> None:
    import fcntl

    fd = os.open(running.directory, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        answer = running.apply()
    finally:
        os.close(fd)
    assert (answer["code"], answer["retry"]) == ("busy", True)


def test_a_loading_engine_is_waited_for_and_not_restarted(database: Database) -> None:
    database.apply(storage_mb=500)
    client = database.client(socket_timeout=30)
    client.eval("for i=1,400000 do redis.call('set', 'key:'..i, i) end", 0)
    database.node.kill_engines()
    assert database.apply(storage_mb=500)["ok"]
    assert database.client().dbsize() == 400_000


@pytest.mark.parametrize("milliseconds", range(2, 122, 8))
def test_an_agent_killed_at_any_moment_is_repaired_by_the_next_apply(database: Database, milliseconds: int) -> None:
    database.apply()
    database.client().set("a", 1)
    agent = database.node.start()
    request = {"verb": "apply", **database.desired(2, password="new", previous_password=PASSWORD)}
    assert agent.stdin is not None
    assert agent.stdout is not None
    agent.stdin.write(json.dumps(request).encode())
    agent.stdin.close()
    # Not a wait for luck: each of these moments must do.
    time.sleep(milliseconds / 1000)
    agent.kill()
    agent.wait()
    agent.stdout.close()
    assert database.apply(2, password="new", previous_password=PASSWORD)["ok"]
    assert len(database.node.engine_pids()) == 1
    assert database.client(password="new").get("a") == "1"
    assert database.remove()["ok"]
    assert database.node.engine_pids() == []


def test_many_at_once_leave_one_engine(database: Database) -> None:
    agents = [database.node.start() for _ in range(6)]
    for generation, agent in enumerate(agents, start=1):
        assert agent.stdin is not None
        agent.stdin.write(json.dumps({"verb": "apply", **database.desired(generation)}).encode())
        agent.stdin.close()
    for agent in agents:
        assert agent.stdout is not None
        answer = json.loads(agent.stdout.read())
        assert answer["ok"] or answer["code"] in ("superseded", "busy")
        agent.wait()
        agent.stdout.close()
    database.apply(generation=6)
    assert len(database.node.engine_pids()) == 1


BAD_REQUESTS: list[tuple[bytes, str]] = [
    (b"", "bad_request"),
    (b"\xff\xfe", "bad_request"),
    (b"[]", "bad_request"),
    (b"[" * 60_000, "bad_request"),
    (b'{"verb": "probe"' + b" " * 1_100_000 + b"}", "bad_request"),
    (b'{"verb": ' + b"9" * 6000 + b"}", "bad_request"),
    (b"{}", "unknown_verb"),
    (b'{"verb": []}', "unknown_verb"),
    (b'{"verb": "__init__"}', "unknown_verb"),
    (b'{"verb": "remove"}', "bad_request"),
    (b'{"verb": "logs", "instance": "%s", "lines": 1001}' % UUID.encode(), "bad_request"),
    (b'{"verb": "logs", "instance": "%s", "lines": true}' % UUID.encode(), "bad_request"),
]


@pytest.mark.parametrize("text, code", BAD_REQUESTS, ids=lambda value: str(value)[:40])
def test_bad_input_is_an_answer(node: AgentNode, text: bytes, code: str) -> None:
    answer = node.send(text)
    assert (answer["ok"], answer["code"], answer["retry"]) == (False, code, False)


BAD_FIELDS: list[dict[str, Any]] = [
    {"instance": "../../../../etc"},
    {"instance": UUID.upper()},
    {"instance": UUID + "\n"},
    {"instance": UUID[:-1] + "/"},
    {"instance": "--------------------------------1234"},
    {"instance": None},
    {"generation": 0},
    {"generation": 1.5},
    {"generation": True},
    {"generation": 2**64},
    {"protocol": "gopher"},
    {"protocol": ["redis"]},
    {"ports": None},
    {"ports": {}},
    {"ports": {"redis": 80}},
    {"ports": {"redis": 65536}},
    {"ports": {"redis": "6379"}},
    {"ports": {"redis": 6379, "http": 6379}},
    {"ports": {"redis": 6379, "gopher": 70}},
    {"ports": {"redis": 6379, "memcached": 11211}},
    {"protocol": "memcached", "ports": {"memcached": 11211, "http": 7379}},
    {"storage_mb": 0},
    {"storage_mb": "25"},
    {"log_level": "loud"},
    {"password": ""},
    {"password": None},
    {"password": "a\nuser evil on nopass +@all"},
    {"password": "\ud800"},
    {"password": "x" * 513},
    {"previous_password": 7},
]


@pytest.mark.parametrize("change", BAD_FIELDS, ids=str)
def test_a_bad_field_is_named_and_nothing_happens(database: Database, change: dict[str, Any]) -> None:
    answer = database.apply(**change)
    assert (answer["code"], answer["retry"]) == ("bad_request", False)
    assert not (database.node.home / "instances").exists()


def test_a_node_that_is_not_configured_says_so(node: AgentNode) -> None:
    (node.home / "agent.json").unlink()
    assert node.ask("probe")["code"] == "not_configured"


def test_an_unexpected_error_tells_no_secret(database: Database) -> None:
    (database.node.home / "instances").write_text("not a directory")
    answer = database.apply()
    assert (answer["code"], answer["retry"]) == ("internal", True)
    assert_no_secrets(database, json.dumps(answer))


def test_no_secret_is_on_disk_in_arguments_or_in_logs(running: Database) -> None:
    running.apply(generation=2, password="a-new-password", previous_password=PASSWORD)
    files = [path for path in running.node.home.rglob("*") if path.is_file()]
    texts = [path.read_bytes().decode(errors="replace") for path in files]
    for pid in running.node.engine_pids():
        texts += [Path(f"/proc/{pid}/{name}").read_text() for name in ("cmdline", "environ")]
    for text in texts:
        assert PASSWORD not in text
        assert "a-new-password" not in text


def test_files_are_for_the_owner_only(running: Database) -> None:
    made = [running.node.home / name for name in ("node.key", "engines.json", "instances")]
    for path in [*made, *(running.node.home / "instances").rglob("*")]:
        if path.exists():
            assert path.stat().st_mode & 0o077 == 0, path


def assert_no_secrets(database: Database, text: str) -> None:
    import hashlib

    assert PASSWORD not in text
    assert hashlib.sha256(PASSWORD.encode()).hexdigest() not in text


HOSTILE = [
    "CONFIG SET maxmemory 0",
    "CONFIG SET dir /tmp",
    "CONFIG REWRITE",
    "ACL SETUSER backdoor on nopass ~* +@all",
    "ACL LIST",
    "ACL GETUSER default",
    "SHUTDOWN NOSAVE",
    "REPLICAOF 127.0.0.1 6379",
    "SLAVEOF 127.0.0.1 6379",
    "MIGRATE 127.0.0.1 6379 a 0 1000",
    "DEBUG SLEEP 10",
    "MODULE LOAD /tmp/evil.so",
    "SAVE",
    "BGSAVE",
    "BGREWRITEAOF",
    "FAILOVER",
    "PSYNC ? -1",
    "SYNC",
    "REPLCONF listening-port 1",
    "CLUSTER RESET",
    "CLIENT PAUSE 100000 ALL",
    "CLIENT NO-EVICT ON",
    "SCRIPT DEBUG YES",
    "EVAL return(redis.call('CONFIG','SET','maxmemory','0')) 0",
    "AUTH basekv-agent guess",
]


@pytest.mark.skipif(not disk.POSSIBLE, reason="only root can have a disk that is full")
def test_a_restart_on_a_full_disk_is_refused_and_costs_neither_keys_nor_service(tmp_path: Path) -> None:
    with disk.Disk(tmp_path, "32m") as node_disk:
        database = Database(AgentNode(tmp_path))
        database.apply()
        client = database.client()
        with node_disk.full():
            client.set("last", "x" * 10_000)  # acknowledged before the engine knows that the disk has no room
            refused = database.apply(generation=2)
            assert client.exists("last")
        assert (refused["code"], refused["retry"]) == ("disk_full", True)
        eventually(lambda: database.apply(generation=2)["ok"])
        assert database.client().exists("last")
        database.node.kill_engines()


@pytest.fixture(scope="module")
def database_of_a_tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    node = AgentNode(tmp_path_factory.mktemp("tenant"))
    database = Database(node)
    assert database.apply()["ok"]
    yield database
    node.kill_engines()


@pytest.fixture
def tenant(database_of_a_tenant: Database) -> "redis.Redis":
    return database_of_a_tenant.client()


@pytest.mark.parametrize("command", HOSTILE)
def test_a_hostile_tenant_is_refused(tenant: "redis.Redis", command: str) -> None:
    with pytest.raises(redis.RedisError, match=r"permission|not allowed|WRONGPASS|invalid username"):
        tenant.execute_command(*command.split())
    assert tenant.ping()


ORDINARY = [
    "HELLO 3",
    "CLIENT SETINFO lib-name test",
    "CLIENT SETNAME me",
    "CLIENT ID",
    "CLIENT LIST",
    "INFO",
    "SELECT 1",
    "FLUSHDB",
    "FLUSHALL",
    "KEYS *",
    "SCAN 0",
    "DBSIZE",
    "SET a 1",
    "GET a",
    "EVAL return(1) 0",
    "SCRIPT LOAD return(1)",
    "FUNCTION LIST",
    "PUBLISH channel message",
    "SORT list",
    "XADD stream * a 1",
    "OBJECT ENCODING a",
    "MEMORY USAGE a",
    "CONFIG GET maxmemory-policy",
    "ACL WHOAMI",
    "COMMAND",
    "SLOWLOG GET",
    "LATENCY LATEST",
    "MULTI",
    "EXEC",
    "WAIT 0 1",
    "RESET",
]


def test_ordinary_commands_are_allowed(tenant: "redis.Redis") -> None:
    with tenant.client() as client:
        for command in ORDINARY:
            client.execute_command(*command.split())


def test_a_script_that_eats_memory_hurts_only_its_own_database_which_comes_back(running: Database) -> None:
    """A script's heap does not count against maxmemory: the process has a limit of its own. Whether the script meets it
    first, which is an error, or the engine, which is its end, is chance."""
    neighbour = Database(running.node)
    assert neighbour.apply()["ok"]
    running.client().set("a", 1)
    with pytest.raises((redis.ResponseError, redis.ConnectionError), match=r"not enough memory|[Cc]onnection"):
        running.client(socket_timeout=30).eval(
            "local t = {} for i = 1, 4000 do t[i] = string.rep(tostring(i), 200000) end", 0
        )
    assert neighbour.client().ping()
    assert running.apply()["ok"]
    assert running.client().get("a") == "1"


def test_packing_is_the_same_each_time() -> None:
    again = packing.pack.__wrapped__()
    assert again == packing.pack()
