"""Webdis: HTTP in front of the instance's own Redis."""

import json

from .deadline import Deadline
from .engine import REPLY_TIMEOUT, USER, About, Engine, Unproven
from .errors import Refusal
from .parts import HTTP
from .supervisors import Running
from .wanted import Wanted
from .wire import Connection, local

VERBOSITY = {"debug": 4, "info": 3, "warning": 1, "error": 0}
THREADS = 2
# Each thread's connections to Redis.
POOL_SIZE = 4
# It is kept in memory, before anybody has shown a password.
MAX_REQUEST_BYTES = 8 * 2**20
# It breaks the encoded `user:password` into lines of 72 characters, and then compares it with one that has none.
LONGEST_PASSWORD = 45
MEMORY_MB = 512

# Who may do what to the data is Redis's business, as for every client. These change the connection itself, and
# requests share connections: one that reads nothing more, or speaks another dialect, would be everybody's.
CONNECTION_COMMANDS = [
    "AUTH",
    "CLIENT",
    "HELLO",
    "MONITOR",
    "PSYNC",
    "PUNSUBSCRIBE",
    "QUIT",
    "READONLY",
    "READWRITE",
    "RESET",
    "SSUBSCRIBE",
    "SUNSUBSCRIBE",
    "SYNC",
    "UNSUBSCRIBE",
]


class Webdis(Engine):
    part_name = HTTP

    def check(self, wanted: Wanted) -> None:
        if len(wanted.password.encode()) > LONGEST_PASSWORD:
            message = f"A password for HTTP has at most {LONGEST_PASSWORD} bytes."
            raise Refusal("bad_request", message, retry=False)

    def config(self, wanted: Wanted) -> str:
        return json.dumps(
            {
                "redis_host": local(self._home.bind),
                "redis_port": wanted.ports["redis"],
                "redis_auth": self._home.secret(self._instance, HTTP),
                "http_host": "0.0.0.0" if ":" in self._home.bind else self._home.bind,  # noqa: S104 - it knows no IPv6
                "http_port": self.port,
                "http_max_request_size": MAX_REQUEST_BYTES,
                "threads": THREADS,
                "pool_size": POOL_SIZE,
                "daemonize": False,
                "websockets": False,
                "verbosity": VERBOSITY[wanted.log_level],
                "logfile": self.part.log,
                "acl": [
                    {"disabled": ["*"]},
                    {
                        "http_basic_auth": f"{USER}:{wanted.password}",
                        "enabled": ["*"],
                        "disabled": CONNECTION_COMMANDS,
                    },
                ],
            },
            indent=1,
        )

    def command(self, wanted: Wanted) -> list[str]:
        return [self.program, self.part.config]

    def memory_mb(self, wanted: Wanted) -> int:
        """Requests and replies on their way."""
        return MEMORY_MB

    def prove(self, running: Running, wanted: Wanted) -> str:
        try:
            if self._ping(None)[0] != "403":
                raise Unproven("the engine answers without a password")
            if wanted.previous_password is not None and self._ping(wanted.previous_password)[0] != "403":
                raise Unproven("the engine still accepts the previous password")
            if self._ping(wanted.password) != ("200", '{"PING":[true,"PONG"]}'):
                raise Unproven("the engine does not answer PING")
        except OSError as error:
            raise Unproven(error.strerror or str(error)) from None
        return f"{self.kind} {version(self.program)}"

    def ask(self) -> None:
        self._asked = self._connect()
        self._asked.write(request(None))

    def hear(self, running: Running, deadline: Deadline) -> About:
        """It is alive when it refuses us. A question to Redis could wait behind a tenant's BLPOP."""
        with self._asked as connection:
            if response(connection, deadline)[0] != "403":
                raise Unproven("another process answers on the port")
        return About(None, None)

    def _ping(self, password: str | None) -> tuple[str, str]:
        with self._connect() as connection:
            connection.write(request(password))
            return response(connection, Deadline(REPLY_TIMEOUT))

    def _connect(self) -> Connection:
        return Connection(local(self._home.bind), self.port)


def request(password: str | None) -> bytes:
    """http.client would cost as much as all the rest of the agent."""
    from binascii import b2a_base64

    lines = [b"GET /PING HTTP/1.1"]
    if password is not None:
        lines.append(b"Authorization: Basic " + b2a_base64(f"{USER}:{password}".encode(), newline=False))
    return b"\r\n".join([*lines, b"", b""])


def response(connection: Connection, deadline: Deadline) -> tuple[str, str]:
    """Status and body. Raises OSError."""
    protocol, _, status = connection.line(deadline.left()).partition(" ")
    if not protocol.startswith("HTTP/"):
        raise OSError("not HTTP")
    length = 0
    while line := connection.line(deadline.left()):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    return status[:3], connection.read(length)


def version(program: str) -> str:
    """From the program's file: it takes every argument for a configuration, and starts."""
    import re

    with open(program, "rb") as file:
        found = re.search(rb"Webdis (\d[\w.]*) up and running", file.read())
    return found[1].decode() if found else "unknown"
