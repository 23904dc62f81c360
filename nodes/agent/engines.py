"""The engines that speak Redis: where they are, how they are configured, and the proof that one is up."""

import os

from .deadline import Deadline
from .digests import hexdigest
from .errors import Refusal
from .parts import REDIS, Part
from .resp import ReplyError, Session
from .store import Home, Instance, write_atomically
from .supervisors import Running
from .wanted import Wanted

# In order of preference.
PROGRAMS = {"valkey": "valkey-server", "redis": "redis-server"}
DIRECTORIES = ("/usr/sbin", "/usr/bin", "/usr/local/bin")
AGENT_USER = "basekv-agent"
LOG_LEVELS = {"debug": "debug", "info": "notice", "warning": "warning", "error": "warning"}
REPLY_TIMEOUT = 2.0

# A tenant may do everything to the data and nothing to the engine. What the engine itself calls administrative
# or dangerous is off, also what a later version will add; what is harmless among that, and what clients need, is
# on: `config get` is how BullMQ makes sure of noeviction. Off are, with what they would be good for:
#   config set, client no-evict   turning the limits off
#   acl                           an access that outlives a rotation
#   replicaof, migrate, sync      reaching other hosts from the node
#   debug, module                 running any code
#   save, bgsave, bgrewriteaof    filling the disk
#   shutdown, client pause        playing dead
TENANT = (
    "~* &* +@all -@admin -@dangerous -script|debug +info +keys +flushall +flushdb +sort +sort_ro +swapdb "
    "+role +lastsave +restore +monitor +slowlog +latency +config|get +client|list +client|kill +client|unblock"
)

CONFIG = """\
# generation {generation}
bind {bind}
port {port}
dir {data}
logfile {log}
loglevel {loglevel}
daemonize no
protected-mode yes
tcp-backlog 128
tcp-keepalive 60
save ""
appendonly yes
appendfsync everysec
maxmemory {storage_mb}mb
maxmemory-policy noeviction
maxmemory-clients {clients_mb}mb
sanitize-dump-payload yes
user default reset on #{password} {tenant}
user {agent_user} reset on #{secret} +ping +info
"""


class Loading(Exception):
    """The engine is alive and reads its data from disk."""


class Unproven(Exception):
    """The engine is alive, and not (yet) what was asked for."""


class Redis:
    """A valkey-server or redis-server, 7.0 or newer."""

    def __init__(self, home: Home, instance: Instance, kind: str, program: str) -> None:
        self._home = home
        self._instance = instance
        self.part = Part(instance, REDIS)
        self.kind = kind
        self.program = program

    def config(self, wanted: Wanted) -> str:
        return CONFIG.format(
            generation=wanted.generation,
            bind=self._home.bind,
            port=wanted.redis_port,
            data=quoted(self.part.data),
            log=quoted(self.part.log),
            loglevel=LOG_LEVELS[wanted.log_level],
            storage_mb=wanted.storage_mb,
            # Connections are not storage: a tenant that does not read its replies must not fill the node.
            clients_mb=max(64, wanted.storage_mb),
            password=hexdigest(wanted.password.encode()),
            tenant=TENANT,
            agent_user=AGENT_USER,
            secret=hexdigest(self._home.secret(self._instance).encode()),
        )

    def command(self) -> list[str]:
        return [self.program, self.part.config]

    @staticmethod
    def memory_mb(wanted: Wanted) -> int:
        """What the process may take: the data with its fragmentation, connections, and what `maxmemory` does not
        count, such as the heap of a Lua script."""
        return 3 * wanted.storage_mb + 256

    def prove(self, engine: Running, wanted: Wanted) -> str:
        """The engine's name and version, once it is shown that this process answers, and that the password is
        let in, no password is not, and the previous one is not.

        Raises Loading, or Unproven with the reason.
        """
        host, port = local(self._home.bind), wanted.redis_port
        try:
            # As ourselves first: the tenant's password is shown to no process but our own.
            with Session(host, port) as session:
                about = identify(session, self._home.secret(self._instance), engine, Deadline(REPLY_TIMEOUT))
            with Session(host, port) as session:
                prove_passwords(session, wanted)
        except ReplyError as error:
            raise Unproven(str(error)) from None
        except OSError as error:
            raise Unproven(error.strerror or str(error)) from None
        return f"{self.kind} {about.get('valkey_version') or about['redis_version']}"


def prove_passwords(session: Session, wanted: Wanted) -> None:
    attempts = [("PING",), ("AUTH", wanted.password), ("PING",)]
    if wanted.previous_password is not None:
        attempts.insert(1, ("AUTH", wanted.previous_password))
    session.send(*attempts)
    refused(session, "NOAUTH", "the engine answers without a password")
    if wanted.previous_password is not None:
        refused(session, "WRONGPASS", "the engine still accepts the previous password")
    session.receive(REPLY_TIMEOUT)
    if session.receive(REPLY_TIMEOUT) != "PONG":
        raise Unproven("the engine does not answer PING")


def refused(session: Session, code: str, otherwise: str) -> None:
    try:
        session.receive(REPLY_TIMEOUT)
    except ReplyError as error:
        if str(error).startswith(code):
            return
    raise Unproven(otherwise)


def ask_identity(session: Session, secret: str) -> None:
    session.send(("AUTH", AGENT_USER, secret), ("INFO", "server", "memory", "persistence", "keyspace"))


def identify(session: Session, secret: str, engine: Running, deadline: Deadline) -> dict[str, str]:
    """What the engine says about itself, once it is sure that it is `engine` and not another on its port.

    Raises Loading, Unproven, ReplyError or OSError.
    """
    ask_identity(session, secret)
    return identity(session, engine, deadline)


def identity(session: Session, engine: Running, deadline: Deadline) -> dict[str, str]:
    """The reply to `ask_identity`."""
    session.receive(deadline.left())
    info = session.receive(deadline.left())
    about = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    if about.get("process_id") != str(engine.pid):
        raise Unproven("another process answers on the port")
    if about.get("loading") != "0":
        raise Loading
    return about


def keys(about: dict[str, str]) -> int:
    """Keys of all numbered databases, from INFO's lines such as `db0:keys=2,expires=0,avg_ttl=0`."""
    return sum(
        int(value.split("=", 1)[1].split(",", 1)[0])
        for name, value in about.items()
        if name[:2] == "db" and name[2:].isdigit()
    )


def local(bind: str) -> str:
    """The address on which the agent itself reaches what is bound to `bind`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "*": "127.0.0.1"}.get(bind, bind)  # noqa: S104


def quoted(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'


def find(home: Home) -> dict[str, str]:
    """The engines of this node, kind to program, the preferred one first."""
    if home.engines:
        return {kind: home.engines[kind] for kind in PROGRAMS if kind in home.engines}
    directories = (*os.get_exec_path(), *DIRECTORIES)
    found = {}
    for kind, program in PROGRAMS.items():
        for path in (f"{directory}/{program}" for directory in directories):
            if os.access(path, os.X_OK):
                found[kind] = path
                break
    return found


def versions(home: Home) -> dict[str, str]:
    """Kind to version. A program is only run to ask it when its file has changed since the last time."""
    import json

    cache = f"{home.directory}/engines.json"
    try:
        with open(cache) as file:
            known = json.load(file)
    except (FileNotFoundError, ValueError):
        known = {}
    seen = {}
    for kind, program in find(home).items():
        try:
            stat = os.stat(program)
        except FileNotFoundError:
            continue
        file_id = f"{program} {stat.st_mtime_ns} {stat.st_size}"
        unchanged = known.get(kind, [""])[0] == file_id
        seen[kind] = known[kind] if unchanged else [file_id, ask_version(program)]
    if seen != known:
        write_atomically(cache, json.dumps(seen))
    return {kind: version for kind, (_, version) in seen.items()}


def ask_version(program: str) -> str:
    """From a line such as `Valkey server v=9.1.2 sha=00000000:1 malloc=libc bits=64`."""
    import subprocess

    line = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=5).stdout
    return next((word[2:] for word in line.split() if word.startswith("v=")), "unknown")


def choose(home: Home, instance: Instance, protocol: str) -> Redis:
    """The engine for a protocol. Raises Refusal `no_engine` where this node has none."""
    programs = find(home) if protocol == "redis" else {}
    for kind, program in programs.items():
        return Redis(home, instance, kind, program)
    raise Refusal("no_engine", f"This node has no engine for the protocol {protocol}.", retry=False)
