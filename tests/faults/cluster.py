"""All of BaseKV as production runs it, two of whatever may be two, with a node behind a wire that can break."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import psycopg

from devstack import control_plane, environment, ports
from devstack.node import Node
from devstack.postgres import Postgres
from devstack.processes import Service
from devstack.state import State
from devstack.valkey import Valkey
from tests import disk
from tests.cable import Cable
from tests.clocks import Clock
from tests.disk import Disk
from tests.faults.keeper import Keeper, Kept


class Cluster:
    def __init__(self, directory: Path) -> None:
        self.state = State(directory)
        self.state.claim()
        self.keeper, self.stack = Keeper(self.state), ExitStack()
        self.home = self.state.folder("node")
        self.disk = Disk(self.home)
        if disk.POSSIBLE:
            self.stack.enter_context(self.disk)
        self.postgres, self.valkey, self.node = Postgres(self.state), Valkey(self.state), Node(self.state)
        self.link = Cable(self.node.port)
        self.port = ports.free()
        self.url = environment.url(self.port)
        settings = environment.settings(self.state, database_url=self.postgres.url, redis_url=self.valkey.url)
        self.clock = Clock(self.state.root / "clock")
        self.env = {**os.environ, **settings, "BASEKV_STATE": str(self.state.root)}

    def __getitem__(self, name: str) -> Kept:
        return self.keeper.kept[name]

    def start(self) -> None:
        self.stack.enter_context(self.link)
        asyncio.run(self._start_engines())
        for service in self._control_plane():
            self.keeper.keep(service)
        enrolment = [*self.node.enrolment(), f"--ssh-port={self.link.port}"]
        self.keeper.run(Service("seed", [sys.executable, "-m", "devstack.seed", *enrolment], env=self.env))

    async def _start_engines(self) -> None:
        for engine in (self.postgres, self.valkey, self.node):
            await engine.start(self.keeper)

    def _control_plane(self) -> Iterator[Service]:
        """On two machines; the clock of the first one may jump."""
        first, second = self.env | self.clock.env, self.env
        yield control_plane.web(environment.without_ssh_key(first), self.port)
        for make in (control_plane.worker, control_plane.watcher, control_plane.beat):
            yield make(first)
            service = make(second)
            yield replace(service, name=f"{service.name}-2")

    def stop(self) -> None:
        self.link.mend()
        self.keeper.stop()
        self.stack.close()

    def manage(self, *arguments: str) -> str:
        """What `manage.py` prints. Raises CalledProcessError."""
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, check=True, timeout=120).stdout

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.state.token()}"}
        return httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=15, trust_env=False)

    def sql(self, statement: str, *arguments: object) -> list[tuple[object, ...]]:
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            cursor = connection.execute(statement, arguments)
            return cursor.fetchall() if cursor.description else []

    def on_the_node(self, *words: str) -> set[int]:
        """The processes of the node with one of these words in their command lines."""
        return {pid for pid in every_pid() if at_home(pid, self.home) and any(word in line(pid) for word in words)}

    def kill_on_the_node(self, *words: str) -> int:
        """SIGKILL, and to how many."""
        pids = self.on_the_node(*words)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return len(pids)


def every_pid() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def at_home(pid: int, home: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").readlink().is_relative_to(home)
    except OSError:
        return False


def line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
