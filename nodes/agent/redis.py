"""Valkey and Redis, 7.0 or newer: how they are configured, and the proof that one is up."""

from .deadline import Deadline
from .digests import hexdigest
from .engine import AGENT_USER, REPLY_TIMEOUT, About, Engine, Loading, Unproven
from .errors import Refusal
from .parts import REDIS
from .resp import ReplyError, Session
from .supervisors import Running
from .wanted import Wanted
from .wire import local

LOG_LEVELS = {"debug": "debug", "info": "notice", "warning": "warning", "error": "warning"}

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
user default reset on {passwords} {tenant}
user {agent_user} reset on #{secret} +ping +info
"""


class Redis(Engine):
    part_name = REDIS

    def config(self, wanted: Wanted) -> str:
        passwords = [wanted.password]
        if wanted.ports["http"] is not None:
            # For webdis, which speaks to Redis as the tenant and cannot name another user.
            passwords.append(self._home.secret(self._instance, "http"))
        return CONFIG.format(
            generation=wanted.generation,
            bind=self._home.bind,
            port=self.port,
            data=quoted(self.part.data),
            log=quoted(self.part.log),
            loglevel=LOG_LEVELS[wanted.log_level],
            storage_mb=wanted.storage_mb,
            # Connections are not storage: a tenant that does not read its replies must not fill the node.
            clients_mb=max(64, wanted.storage_mb),
            passwords=" ".join(f"#{hexdigest(password.encode())}" for password in passwords),
            tenant=TENANT,
            agent_user=AGENT_USER,
            secret=hexdigest(self._secret().encode()),
        )

    def command(self, wanted: Wanted) -> list[str]:
        return [self.program, self.part.config]

    def memory_mb(self, wanted: Wanted) -> int:
        """The data with its fragmentation, connections, and what `maxmemory` does not count, such as the heap of a
        Lua script."""
        return 3 * wanted.storage_mb + 256

    def check_kept(self) -> None:
        """It answers a write before it knows whether the disk takes it; stopped then, it would lose that write."""
        try:
            with self._session() as session:
                session.send(("AUTH", AGENT_USER, self._secret()), ("INFO", "persistence"))
                session.receive(REPLY_TIMEOUT)
                about = fields(session.receive(REPLY_TIMEOUT))
        except (ReplyError, OSError):
            return  # It loads or hangs: stopping it is all that can be done.
        if about.get("aof_last_write_status") != "ok":
            raise Refusal("disk_full", "The engine cannot write to its disk what it has to keep.", retry=True)

    def prove(self, running: Running, wanted: Wanted) -> str:
        try:
            # As ourselves first: the tenant's password is shown to no process but our own.
            with self._session() as session:
                ask_identity(session, self._secret())
                about = identity(session, running, Deadline(REPLY_TIMEOUT))
            with self._session() as session:
                prove_passwords(session, wanted)
        except ReplyError as error:
            raise Unproven(str(error)) from None
        except OSError as error:
            raise Unproven(error.strerror or str(error)) from None
        return f"{self.kind} {about.get('valkey_version') or about['redis_version']}"

    def ask(self) -> None:
        self._asked = self._session()
        ask_identity(self._asked, self._secret())

    def hear(self, running: Running, deadline: Deadline) -> About:
        with self._asked as session:
            try:
                about = identity(session, running, deadline)
            except ReplyError as error:
                raise Unproven(str(error)) from None
        return About(int(about["used_memory"]), keys(about))

    def _session(self) -> Session:
        return Session(local(self._home.bind), self.port)

    def _secret(self) -> str:
        return self._home.secret(self._instance, REDIS)


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


def identity(session: Session, engine: Running, deadline: Deadline) -> dict[str, str]:
    """What the engine says about itself, once it is sure that it is `engine` and not another on its port.

    Raises Loading, Unproven, ReplyError or OSError.
    """
    session.receive(deadline.left())
    info = session.receive(deadline.left())
    about = fields(info)
    if about.get("process_id") != str(engine.pid):
        raise Unproven("another process answers on the port")
    if about.get("loading") != "0":
        raise Loading
    return about


def fields(info: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in info.splitlines() if ":" in line)


def keys(about: dict[str, str]) -> int:
    """Keys of all numbered databases, from INFO's lines such as `db0:keys=2,expires=0,avg_ttl=0`."""
    return sum(
        int(value.split("=", 1)[1].split(",", 1)[0])
        for name, value in about.items()
        if name[:2] == "db" and name[2:].isdigit()
    )


def quoted(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
