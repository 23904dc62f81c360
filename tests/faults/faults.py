"""What can go wrong, done for real. What it leaves behind is for BaseKV to mend."""

import os
import random
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import redis

from devstack import ports
from tests import disk
from tests.faults.cluster import Cluster

Fault = Callable[[Cluster], None]
FAULTS: dict[str, Fault] = {}
# Seconds that something is away, or not itself.
WHILE = 2.0
# Seconds from one attempt of an engine to write to a full disk to the next.
TRIES_AGAIN = 1.0


def fault(function: Fault) -> Fault:
    FAULTS[function.__name__] = function
    return function


def killed(name: str) -> Fault:
    return lambda cluster: cluster[name].signal(signal.SIGKILL)


def frozen(name: str, seconds: float = WHILE) -> Fault:
    def freeze(cluster: Cluster) -> None:
        cluster[name].signal(signal.SIGSTOP)
        time.sleep(seconds)
        cluster[name].signal(signal.SIGCONT)

    return freeze


FAULTS |= {f"{name}_killed": killed(name) for name in ("web", "worker", "watcher", "beat", "valkey", "postgres")}
FAULTS |= {f"{name}_frozen": frozen(name) for name in ("worker", "watcher", "valkey", "node")}


@fault
def everything_of_celery_killed(cluster: Cluster) -> None:
    for name in ("worker", "worker-2", "watcher", "watcher-2", "beat", "beat-2"):
        cluster[name].signal(signal.SIGKILL)


@fault
def broker_flushed(cluster: Cluster) -> None:
    for _ in range(10):
        with suppress(redis.RedisError), redis.Redis.from_url(cluster.valkey.url) as broker:
            broker.flushall()
        time.sleep(WHILE / 10)


@fault
def postgres_restarted(cluster: Cluster) -> None:
    cluster["postgres"].restart()


@fault
def connections_to_postgres_lost(cluster: Cluster) -> None:
    for _ in range(5):
        cluster.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        time.sleep(WHILE / 10)


@fault
def deployed(cluster: Cluster) -> None:
    """Old ones end and new ones begin, one after the other, beside each other."""
    for name in ("worker", "watcher", "beat", "web"):
        cluster[name].restart()


@fault
def link_cut(cluster: Cluster) -> None:
    cluster.link.cut()
    time.sleep(WHILE)
    cluster.link.mend()


@fault
def link_dropped(cluster: Cluster) -> None:
    for _ in range(10):
        cluster.link.drop()
        time.sleep(WHILE / 10)


def link_is(state: str) -> Fault:
    def spoil(cluster: Cluster) -> None:
        cluster.link.spoil(state)
        time.sleep(WHILE)
        cluster.link.mend()

    return spoil


FAULTS |= {f"link_{state}": link_is(state) for state in ("frozen", "slow", "garbled")}


@fault
def agents_killed(cluster: Cluster) -> None:
    end = time.monotonic() + WHILE
    while time.monotonic() < end:
        cluster.kill_on_the_node("agent.pyz")
        time.sleep(random.uniform(0.01, 0.1))


@fault
def engines_killed(cluster: Cluster) -> None:
    cluster.kill_on_the_node("valkey-server")


@fault
def node_rebooted(cluster: Cluster) -> None:
    cluster["node"].restart()


@fault
def node_crashed(cluster: Cluster) -> None:
    cluster["node"].signal(signal.SIGKILL)
    cluster.kill_on_the_node("")


@fault
def port_taken(cluster: Cluster) -> None:
    """The engine has died, and somebody else has its port for a while."""
    for pid, port in listening_engines(cluster)[:1]:
        with socket.socket() as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
            with suppress(ProcessLookupError):  # its customer may be faster
                os.kill(pid, signal.SIGKILL)
            for _ in range(100):
                with suppress(OSError):
                    thief.bind((ports.HOST, port))
                    break
                time.sleep(0.01)
            thief.listen()
            time.sleep(WHILE)


@fault
def configuration_broken(cluster: Cluster) -> None:
    for file in sorted((cluster.home / "instances").glob("*/redis/*.conf"))[:2]:
        with suppress(FileNotFoundError):
            file.write_text("this is no configuration\n")
    cluster.kill_on_the_node("valkey-server")


def disk_full(cluster: Cluster) -> None:
    """No engine is killed until it has written what it could not: docs/engines.md says what that would cost."""
    with cluster.disk.full():
        time.sleep(WHILE)
    time.sleep(2 * TRIES_AGAIN)


if disk.POSSIBLE:
    fault(disk_full)


def clock_off(by: timedelta) -> Fault:
    """The web server and one of each other live on another day."""

    def shift(cluster: Cluster) -> None:
        cluster.clock.set(by)
        time.sleep(WHILE)
        cluster.clock.set(timedelta(0))

    return shift


FAULTS |= {"clock_a_day_ahead": clock_off(timedelta(days=1)), "clock_a_day_behind": clock_off(timedelta(days=-1))}


def listening_engines(cluster: Cluster) -> list[tuple[int, int]]:
    """Process and port."""
    alive = cluster.on_the_node("valkey-server")
    rows = cluster.sql("SELECT id, redis_port FROM instances_instance WHERE status = 'running'")
    found = []
    for instance, port in rows:
        pids = cluster.home / "instances" / str(instance) / "redis" / "engine.pid"
        with suppress(OSError, ValueError, IndexError):
            found.append((int(pids.read_text().split()[0]), int(str(port))))
    return [(pid, port) for pid, port in found if pid in alive]
