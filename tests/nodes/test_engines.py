"""Memcached and HTTP beside Redis, on the real engines and over the wire."""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.nodes.conftest import VALKEY, AgentNode, FullDatabase, listens, require_engines
from tests.waiting import eventually

MIB = 2**20


@pytest.fixture(autouse=True)
def engines() -> None:
    require_engines("memcached", "webdis")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FullDatabase]:
    """For tests that leave it as it was."""
    require_engines("memcached", "webdis")
    node = AgentNode(tmp_path_factory.mktemp("shared"))
    database = FullDatabase(node)
    answer = database.apply(log_level="debug")
    assert answer["ok"], answer
    yield database
    node.kill_engines()


PROTOCOLS = {"redis": ["redis", "http"], "memcached": ["memcached"], "both": ["redis", "memcached", "http"]}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_protocol_opens_its_ports_and_a_removal_closes_them(node: AgentNode, protocol: str) -> None:
    database = FullDatabase(node, protocol)
    answer = database.apply()
    assert (answer["ok"], answer["state"], answer["changed"]) == (True, "running", True)
    assert database.open_ports() == PROTOCOLS[protocol]
    assert len(node.engine_pids(database)) == len(PROTOCOLS[protocol])
    assert database.apply()["changed"] is False
    assert (database.probed() or {})["state"] == "running"
    assert database.remove()["ok"]
    assert database.open_ports() == []
    assert node.engine_pids(database) == []
    assert [path.name for path in database.directory.iterdir()] == ["record.json"]


def test_the_answer_and_the_probe_name_every_engine_with_its_version(full: FullDatabase) -> None:
    kinds = [engine.split(" ")[0] for engine in full.apply()["engine"].split(", ")]
    assert kinds == ["valkey", "webdis", "memcached"]
    versions = full.node.ask("probe")["engines"]
    assert versions.keys() >= {"valkey", "memcached", "webdis"}
    assert all(version[0].isdigit() for version in versions.values()), versions


def test_one_password_opens_all_three_and_nothing_else_does(shared: FullDatabase) -> None:
    assert shared.redis().ping()
    assert shared.memcached().greeting == "STORED"
    assert shared.memcached().set("a", b"1") == "STORED"
    assert shared.http("/PING") == (200, '{"PING":[true,"PONG"]}')
    for password in ("", "wrong", shared.password[:-1], shared.password + "x"):
        assert shared.memcached(password).greeting.startswith("CLIENT_ERROR")
        assert shared.http("/PING", password)[0] == 403
    assert shared.memcached(user="basekv-agent").greeting.startswith("CLIENT_ERROR")
    assert shared.http("/PING", user="basekv-agent")[0] == 403


@pytest.mark.parametrize("command", ["get a", "mn", "version", "stats", "flush_all", "quit now", "shutdown", "watch"])
def test_memcached_does_nothing_without_a_password(shared: FullDatabase, command: str) -> None:
    with shared.memcached(None) as connection:
        assert connection.say(command) == "CLIENT_ERROR unauthenticated"


def test_memcacheds_binary_protocol_is_no_way_around_the_password(shared: FullDatabase) -> None:
    version_request = b"\x80\x0b" + b"\0" * 22
    with socket.create_connection(("127.0.0.1", shared.ports["memcached"] or 0), 1) as client:
        client.sendall(version_request + b"\r\n")
        client.settimeout(1)
        assert client.recv(100) in (b"", b"CLIENT_ERROR unauthenticated\r\n")


def test_a_full_memcached_refuses_writes_and_evicts_nothing(node: AgentNode) -> None:
    database = FullDatabase(node, "memcached")
    database.apply(storage_mb=80)
    kept = 0
    with database.memcached() as connection:
        while (answer := connection.set(f"key:{kept}", b"x" * 100_000)) == "STORED":
            kept += 1
            assert kept * 100_000 < 80 * MIB
        assert answer.startswith("SERVER_ERROR out of memory")
        assert kept * 100_000 > 25 * MIB
        assert connection.stats()["evictions"] == "0"
        assert all(connection.get(f"key:{n}") == b"x" * 100_000 for n in range(kept))


@pytest.mark.parametrize("command", ["cache_memlimit 4096", "shutdown", "verbosity 1", "slabs automove 2"])
def test_a_tenant_cannot_lift_memcacheds_limits(shared: FullDatabase, command: str) -> None:
    with shared.memcached() as connection:
        before = connection.stats()
        connection.say(command)
        after = connection.stats()
    assert (after["limit_maxbytes"], after["pid"]) == (before["limit_maxbytes"], before["pid"])
    assert listens(shared.ports["memcached"] or 0)


def test_restart_and_rotation_keep_every_key_of_every_engine(full: FullDatabase) -> None:
    with full.memcached() as connection:
        for n in range(500):
            assert connection.set(f"key:{n}", b"value %d" % n) == "STORED"
        connection.say("set short 0 100 1\r\nx")
        started = connection.stats()
    full.redis().mset({f"key:{n}": n for n in range(500)})
    old = full.password
    for generation, change in enumerate([full.apply, full.apply, lambda g: full.rotate(g, "another-Password_1")], 2):
        answer = change(generation)
        assert answer["ok"], answer
    with full.memcached() as connection:
        assert [connection.get(f"key:{n}") for n in range(500)] == [b"value %d" % n for n in range(500)]
        stats = connection.stats()
    assert int(stats["curr_items"]) == 501
    assert stats["pid"] != started["pid"]
    assert int(stats["uptime"]) > int(started["uptime"])  # it goes on counting where the last one stopped
    assert full.redis().dbsize() == 500
    assert full.http("/GET/key:7") == (200, '{"GET":"7"}')
    assert full.memcached(old).greeting.startswith("CLIENT_ERROR")
    assert full.http("/PING", old)[0] == 403


def test_a_rotation_ends_the_connections_of_the_old_password(full: FullDatabase) -> None:
    with full.memcached() as connection:
        full.rotate(2, "another")
        with pytest.raises((ConnectionError, AssertionError)):
            assert connection.say("mn") == "MN"


def test_a_memcached_whose_clock_went_back_is_not_started_on_its_keys(full: FullDatabase) -> None:
    full.memcached().set("a", b"1")
    full.node.ask("quarantine", instance=full.id)
    notes = full.directory / "memcached" / "data" / "memory.meta"
    stopped = notes.stat().st_mtime
    os.utime(notes, (stopped + 3600, stopped + 3600))
    answer = full.apply(2)
    assert (answer["code"], answer["retry"]) == ("clock_went_back", True)
    os.utime(notes, (stopped, stopped))
    assert full.apply(2)["ok"]
    assert full.memcached().get("a") == b"1"


def test_keys_that_memcached_loses_in_a_restart_are_an_error_and_not_a_second_one(full: FullDatabase) -> None:
    full.memcached().set("a", b"1")
    full.node.ask("quarantine", instance=full.id)
    notes = full.directory / "memcached" / "data" / "memory.meta"
    notes.write_text(notes.read_text().replace("Kmaxbytes ", "Kmaxbytes 1"))
    answer = full.apply(2)
    assert (answer["code"], answer["retry"]) == ("data_lost", True)
    assert full.apply(2)["ok"]


def test_memcacheds_size_cannot_change_because_its_keys_would_go(full: FullDatabase) -> None:
    full.memcached().set("a", b"1")
    answer = full.apply(2, storage_mb=256)
    assert (answer["code"], answer["retry"]) == ("size_changed", False)
    assert full.memcached().get("a") == b"1"


def test_http_speaks_redis(shared: FullDatabase) -> None:
    assert shared.http("/SET/greeting/hello") == (200, '{"SET":[true,"OK"]}')
    assert shared.redis().get("greeting") == "hello"
    assert shared.http("/SET/long", body=b"one / two", method="PUT")[0] == 200
    assert shared.http("/GET/long.txt") == (200, "one / two")
    assert shared.http("/", body=b"INCR/counter", method="POST") == (200, '{"INCR":1}')
    assert shared.http("/DEL/greeting/long/counter") == (200, '{"DEL":3}')


ANONYMOUS = [
    ("GET", "/", None),
    ("GET", "//", None),
    ("GET", "/GET/a", None),
    ("GET", "/7/GET/a", None),
    ("GET", "/get/a.raw", None),
    ("GET", "/%47ET/a", None),
    ("GET", "/GET/a?callback=x&type=text/html", None),
    ("POST", "/", b"GET/a"),
    ("PUT", "/SET/a", b"1"),
    ("GET", "/SUBSCRIBE/a", None),
    ("GET", "/MULTI", None),
    ("GET", "/" + "A" * 5000, None),
]


@pytest.mark.parametrize("method, path, body", ANONYMOUS)
def test_http_does_nothing_without_a_password(shared: FullDatabase, method: str, path: str, body: bytes | None) -> None:
    assert shared.http(path, None, method=method, body=body)[0] == 403


# A tenant may not do over HTTP what it may not do over Redis, nor what would spoil the connections that requests share.
REFUSED_BY_REDIS = [
    "/CONFIG/SET/maxmemory/0",
    "/ACL/LIST",
    "/ACL/SETUSER/backdoor/on/nopass/+@all",
    "/SHUTDOWN/NOSAVE",
    "/REPLICAOF/127.0.0.1/6379",
    "/DEBUG/SLEEP/10",
    "/MODULE/LOAD/%2ftmp%2fevil.so",
    "/SAVE",
    "/7/CONFIG/SET/maxmemory/0",
    "/EVAL/return(redis.call('CONFIG','SET','maxmemory','0'))/0",
]
REFUSED_BY_WEBDIS = [
    "/AUTH/guess",
    "/auth/basekv-agent/guess",
    "/3/AUTH/guess",
    "/HELLO/3",
    "/CLIENT/REPLY/OFF",
    "/client/kill/TYPE/normal",
    "/MONITOR",
    "/RESET",
    "/QUIT",
    "/SELECT/3",
    "/MULTI",
    "/SYNC",
    "/SSUBSCRIBE/a",
    "/UNSUBSCRIBE",
]


@pytest.mark.parametrize("path", REFUSED_BY_REDIS)
def test_what_redis_refuses_is_refused_over_http(shared: FullDatabase, path: str) -> None:
    status, body = shared.http(path)
    assert status == 200
    assert "false" in body
    assert "NOPERM" in body or "not allowed" in body or "can't run" in body, body
    assert shared.http("/PING")[0] == 200


@pytest.mark.parametrize("path", REFUSED_BY_WEBDIS)
def test_what_would_spoil_shared_connections_is_refused_over_http(shared: FullDatabase, path: str) -> None:
    assert shared.http(path)[0] == 403
    assert shared.http("/PING")[0] == 200


GARBAGE = [
    b"\r\n\r\n",
    b"\0" * 1000,
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET  HTTP/1.1\r\n\r\n",
    b"GET /GET/%zz HTTP/1.1\r\nAuthorization: Basic\r\n\r\n",
    b"GET /GET/a HTTP/1.1\r\nAuthorization: Basic " + b"A" * 10_000 + b"\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\nGET/a",
    b"PUT /SET/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
    b"GET /GET/a HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
    b"GET /GET/a HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: a\r\n\r\n",
    b"DELETE /DEL/a HTTP/1.1\r\n\r\n",
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda value: repr(value[:30]))
def test_webdis_outlives_garbage(shared: FullDatabase, garbage: bytes) -> None:
    pid = shared.pid("http")
    with socket.create_connection(("127.0.0.1", shared.ports["http"] or 0), 1) as client:
        client.settimeout(0.2)
        try:
            client.sendall(garbage)
            while client.recv(65536):
                pass
        except OSError:
            pass
    assert shared.http("/PING")[0] == 200
    assert shared.pid("http") == pid


def test_webdis_finds_a_redis_that_was_started_again(full: FullDatabase) -> None:
    pid = full.pid("http")
    os.kill(full.pid("redis"), signal.SIGKILL)
    eventually(lambda: not listens(full.ports["redis"] or 0))
    assert full.apply()["changed"] is True
    assert full.http("/PING")[0] == 200
    assert full.pid("http") == pid


@pytest.mark.parametrize("part", ["redis", "memcached", "http"])
def test_a_part_that_died_is_started_and_the_others_are_left_alone(full: FullDatabase, part: str) -> None:
    pids = {name: full.pid(name) for name in full.ports}
    os.kill(pids[part], signal.SIGKILL)
    eventually(lambda: not listens(full.ports[part] or 0))
    probed = full.probed() or {}
    assert (probed["state"], probed["reason"]) == ("stopped", f"{part}: not running")
    assert full.apply()["changed"] is True
    assert (full.probed() or {})["state"] == "running"
    assert {name for name in full.ports if full.pid(name) != pids[name]} == {part}


@pytest.mark.parametrize("part", ["redis", "memcached", "http"])
def test_a_part_that_hangs_is_broken_and_says_which(shared: FullDatabase, part: str) -> None:
    os.kill(shared.pid(part), signal.SIGSTOP)
    try:
        probed = shared.probed() or {}
    finally:
        os.kill(shared.pid(part), signal.SIGCONT)
    assert (probed["state"], probed["reason"]) == ("broken", f"{part}: no answer")


def test_a_probe_adds_up_keys_and_memory(full: FullDatabase) -> None:
    full.redis().set("a", 1)
    with full.memcached() as connection:
        connection.set("a", b"1")
        connection.set("b", b"1")
    probed = full.probed() or {}
    assert probed["keys"] == 3
    assert probed["memory_bytes"] > 0


def test_a_tenant_that_blocks_every_http_connection_is_not_taken_for_broken(full: FullDatabase) -> None:
    waiting = []
    for _ in range(8):
        client = socket.create_connection(("127.0.0.1", full.ports["http"] or 0), 1)
        full_request = b"GET /BLPOP/nothing/0 HTTP/1.1\r\nAuthorization: Basic " + basic(full) + b"\r\n\r\n"
        client.sendall(full_request)
        waiting.append(client)
    eventually(lambda: int(full.redis().info("clients")["blocked_clients"]) > 0)
    assert (full.probed() or {})["state"] == "running"
    for client in waiting:
        client.close()


def basic(database: FullDatabase) -> bytes:
    from base64 import b64encode

    return b64encode(f"default:{database.password}".encode())


LOUDNESS: list[tuple[str, bool, bool]] = [
    # level, memcached tells of clients' commands, webdis tells that it is up
    ("debug", True, True),
    ("info", False, True),
    ("warning", False, False),
    ("error", False, False),
]


@pytest.mark.parametrize("level, commands, up", LOUDNESS)
def test_the_log_level_reaches_every_engine(node: AgentNode, level: str, commands: bool, up: bool) -> None:
    database = FullDatabase(node)
    database.apply(log_level=level)
    database.memcached().get("a-key")
    redis_level = database.redis().config_get("loglevel")["loglevel"]
    assert redis_level == {"debug": "debug", "info": "notice"}.get(level, "warning")
    assert ("get a-key" in database.log("memcached")) is commands
    assert ("up and running" in database.log("http")) is up


def test_logs_say_whose_line_it_is(shared: FullDatabase) -> None:
    lines = shared.node.ask("logs", instance=shared.id, lines=3)["lines"]
    assert {line.split(":")[0] for line in lines} == {"redis", "memcached", "http"}
    assert len(lines) <= 9
    assert all(line.isprintable() for line in lines)


def test_the_password_is_in_no_argument_environment_or_log(shared: FullDatabase) -> None:
    shared.memcached().get("a")
    shared.http("/PING")
    for pid in shared.node.engine_pids(shared):
        for name in ("cmdline", "environ"):
            assert shared.password not in Path(f"/proc/{pid}/{name}").read_text()
    holding = [path for path in shared.node.home.rglob("*") if path.is_file() and holds(path, shared.password)]
    assert {str(path.relative_to(shared.directory)) for path in holding} == {
        "memcached/engine.conf",
        "http/engine.conf",
    }


def holds(path: Path, text: str) -> bool:
    return text.encode() in path.read_bytes()


def test_files_of_every_part_are_for_the_owner_only(shared: FullDatabase) -> None:
    for path in shared.directory.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("part", ["memcached", "http"])
def test_a_taken_port_is_named_and_costs_no_keys(full: FullDatabase, part: str) -> None:
    full.memcached().set("a", b"1")
    full.node.ask("quarantine", instance=full.id)
    with socket.create_server(("127.0.0.1", full.ports[part] or 0)):
        answer = full.apply(2)
        assert (answer["code"], answer["retry"]) == ("port_taken", True)
        assert str(full.ports[part]) in answer["error"]
    assert full.apply(2)["ok"]
    assert full.memcached().get("a") == b"1"


@pytest.mark.parametrize("kind", ["memcached", "webdis"])
def test_a_node_without_an_engine_for_a_port_says_so_for_good(node: AgentNode, kind: str) -> None:
    node.configure(engines={"valkey": str(VALKEY), kind: "/nowhere"})
    answer = FullDatabase(node).apply()
    assert (answer["code"], answer["retry"]) == ("no_engine", False)
    assert kind in answer["error"]
    assert node.engine_pids() == []
    assert kind not in node.ask("probe")["engines"]


@pytest.mark.parametrize(
    "protocol, password", [("memcached", "two words"), ("memcached", "x" * 201), ("redis", "x" * 46)]
)
def test_a_password_that_an_engine_cannot_have_is_refused(node: AgentNode, protocol: str, password: str) -> None:
    answer = FullDatabase(node, protocol).apply(password=password)
    assert (answer["code"], answer["retry"]) == ("bad_request", False)
    assert node.engine_pids() == []


@pytest.mark.parametrize("protocol, length", [("memcached", 200), ("both", 45)])
def test_the_longest_password_works(node: AgentNode, protocol: str, length: int) -> None:
    database = FullDatabase(node, protocol)
    database.password = "x" * length
    assert database.apply()["ok"]


@pytest.mark.parametrize("milliseconds", [20, 60, 120, 200, 400, 1000, 1800])
def test_an_agent_killed_at_any_moment_is_repaired_by_the_next_apply(node: AgentNode, milliseconds: int) -> None:
    database = FullDatabase(node)
    database.apply()
    database.redis().set("a", 1)
    database.memcached().set("a", b"1")
    old, database.password = database.password, "new"
    request = {"verb": "apply", **database.desired(2, previous_password=old)}
    agent = node.start()
    assert agent.stdin is not None
    assert agent.stdout is not None
    agent.stdin.write(json.dumps(request).encode())
    agent.stdin.close()
    # Not a wait for luck: each of these moments must do.
    time.sleep(milliseconds / 1000)
    agent.kill()
    agent.wait()
    agent.stdout.close()
    answer: dict[str, Any] = database.apply(2, previous_password=old)
    assert answer["ok"], answer
    assert len(node.engine_pids(database)) == 3
    assert database.redis().get("a") == "1"
    assert database.memcached().get("a") == b"1"
    assert database.http("/GET/a") == (200, '{"GET":"1"}')
    assert database.remove()["ok"]
    assert node.engine_pids(database) == []
