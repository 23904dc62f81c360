"""Makes a machine a node: the only time that we may do more on it than ask its agent.

Every step can be repeated, so an enrolment that failed half-way is simply run again. This is the way of a user without
rights, who keeps engines as plain processes; `nodes.systemd_enrolment` is the way of root.
"""

import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import audit
from accounts.actors import Actor
from nodes import health, packing, transport
from nodes.errors import EnrolmentError
from nodes.fingerprint import fingerprint
from nodes.models import Node, Region
from nodes.states import Intent, Supervisor
from nodes.transport import Endpoint

OLDEST_PYTHON = (3, 10)
# Of the node's memory, where the operator does not say how much is for databases.
SHARE_FOR_DATABASES = 0.8
LEAST_CAPACITY_MB = 1
AGENT = "agent.pyz"


@dataclass(frozen=True)
class Wanted:
    """What an operator says of the new node. None keeps what the node has already, or the model's default."""

    name: str
    region: str
    host: str
    ssh_host: str
    ssh_port: int
    ssh_user: str
    capacity_mb: int | None = None
    supervisor: Supervisor = Supervisor.PROCESSES
    bootstrap_key: str | None = None
    bind: str = "0.0.0.0"  # noqa: S104 - databases are for customers
    first_port: int | None = None
    slots: int | None = None
    default_storage_mb: int | None = None
    engines: dict[str, str] = field(default_factory=dict)
    """Paths of engines that are not on the node's PATH."""


class Step(NamedTuple):
    title: str
    run: Callable[[], str]
    """Does it, and tells what it found. Raises NodeError."""
    changes: bool = True
    """Whether it changes anything: a dry run passes over it."""


@dataclass
class Enrolment:
    """One enrolment. `confirm` is asked whether a host key, shown as its fingerprint, is the machine's."""

    wanted: Wanted
    confirm: Callable[[str], bool]
    by: Actor
    endpoint: Endpoint = field(init=False)
    node: Node = field(init=False)
    home: str = field(init=False)
    python: str = field(init=False)

    def steps(self) -> Iterator[Step]:
        """What is done, in order."""
        yield Step("region", self.check_region, changes=False)
        yield Step("host key", self.pin_host_key, changes=False)
        yield Step("Python", self.check_python, changes=False)
        yield Step("agent", self.upload_agent)
        yield Step("access", self.restrict_access)
        yield from self.last_steps()

    def last_steps(self) -> Iterator[Step]:
        yield Step("record", self.record)
        yield Step("first probe", self.first_probe)
        yield Step("activation", self.activate)

    def check_region(self) -> str:
        slug = self.wanted.region
        if not Region.objects.filter(pk=slug).exists():
            raise EnrolmentError(f"There is no region {slug!r}. Make it first: add_region {slug} --name NAME.")
        return slug

    def pin_host_key(self) -> str:
        """A node that is known keeps its key; a new one's must be confirmed by whoever can know."""
        wanted = self.wanted
        key = transport.scan_host_key(wanted.ssh_host, wanted.ssh_port)
        shown = fingerprint(key)
        known = Node.objects.filter(name=wanted.name).first()
        if known and fingerprint(known.host_key) != shown:
            raise EnrolmentError(
                f"{wanted.name} shows the host key {shown}, and another one is pinned. If the machine was set up "
                f"anew, remove the node first; if not, somebody else answers at {wanted.ssh_host}."
            )
        if not known and not self.confirm(shown):
            raise EnrolmentError(f"{wanted.ssh_host} shows the host key {shown}, which is not the one expected.")
        self.endpoint = Endpoint(wanted.ssh_host, wanted.ssh_port, wanted.ssh_user, key)
        return shown

    def check_python(self) -> str:
        probe = "import os, sys; print(sys.executable, os.path.expanduser('~'), *sys.version_info[:2], sep='\\n')"
        found = self.run(f"python3 -S -E -I -c {shlex.quote(probe)}").decode().split("\n")
        if len(found) < 4:
            raise EnrolmentError(
                "This key starts the agent and nothing else: it is our own. Sign in with the key of whoever set the "
                "machine up: --bootstrap-key PATH."
            )
        self.python, self.home = found[0], found[1]
        version = (int(found[2]), int(found[3]))
        if version < OLDEST_PYTHON:
            raise EnrolmentError(f"The node has Python {version[0]}.{version[1]}; the agent needs 3.10 or newer.")
        return f"{version[0]}.{version[1]} at {self.python}"

    def upload_agent(self) -> str:
        packed = packing.pack()
        self.write(AGENT, packed.data)
        self.write("agent.json", self.agent_settings(self.wanted.engines))
        return packed.digest[:12]

    def agent_settings(self, engines: dict[str, str]) -> bytes:
        settings: dict[str, object] = {"supervisor": self.wanted.supervisor, "bind": self.wanted.bind}
        return json.dumps(settings | ({"engines": engines} if engines else {})).encode()

    def restrict_access(self) -> str:
        """From here on our key starts the agent and nothing else, and every other key is gone."""
        self.run("umask 077; mkdir -p .ssh")
        self.write(".ssh/authorized_keys", self.key_line())
        return "one forced command"

    def key_line(self) -> bytes:
        command = packing.command(self.python, f"{self.home}/{AGENT}")
        quoted = command.replace("\\", "\\\\").replace('"', '\\"')
        return f'restrict,command="{quoted}" {public_key()} basekv\n'.encode()

    def record(self) -> str:
        wanted, endpoint = self.wanted, self.endpoint
        fields = {
            "region_id": wanted.region,
            "host": wanted.host,
            "ssh_host": endpoint.host,
            "ssh_port": endpoint.port,
            "ssh_user": endpoint.user,
            "host_key": endpoint.host_key,
            "supervisor": wanted.supervisor,
            "agent_digest": packing.pack().digest,
            "installed_digest": packing.pack().digest,
            "upgrade_due_at": None,
            "upgrade_error": "",
        }
        if wanted.first_port is not None:
            self.refuse_to_move_ports(wanted.first_port)
        names = ("capacity_mb", "first_port", "slots", "default_storage_mb")
        optional = {name: getattr(wanted, name) for name in names}
        fields |= {name: value for name, value in optional.items() if value is not None}
        # How much memory there is, only the first probe knows.
        new = {"capacity_mb": LEAST_CAPACITY_MB, **fields}
        try:
            with transaction.atomic():
                known = Node.objects.filter(name=wanted.name).values(*fields).first()
                self.node, created = Node.objects.update_or_create(
                    name=wanted.name, defaults=fields, create_defaults=new
                )
                audit.record(actor=self.by, action="node.enrol", subject=self.node, before=known, after=fields)
        except IntegrityError as error:
            raise EnrolmentError(f"The node cannot have this capacity, these slots or these ports: {error}") from None
        return "new" if created else "known before"

    def refuse_to_move_ports(self, first_port: int) -> None:
        """A slot's ports are counted from the first one: moved, they could meet those of databases that are there."""
        if Node.objects.filter(name=self.wanted.name, slots_used__gt=0).exclude(first_port=first_port).exists():
            raise EnrolmentError("The first port stays while the node has databases: leave --first-port out.")

    def first_probe(self) -> str:
        health.probe([self.node])
        self.node.refresh_from_db()
        if self.node.last_error:
            raise EnrolmentError(f"The agent does not answer: {self.node.last_error}")
        if not self.node.engines:
            raise EnrolmentError("The node has no engine. Install valkey-server or redis-server on it.")
        self.take_measure()
        return ", ".join(f"{name} {version}" for name, version in self.node.report["engines"].items())

    def take_measure(self) -> None:
        """The capacity of a node of which nobody has said it."""
        if self.wanted.capacity_mb is None and self.node.capacity_mb == LEAST_CAPACITY_MB:
            total: int = self.node.report["memory"]["total_mb"]
            self.node.capacity_mb = max(int(total * SHARE_FOR_DATABASES), LEAST_CAPACITY_MB)
            self.node.save(update_fields=["capacity_mb"])

    def activate(self) -> str:
        """A new node is given databases from now on; a known one stays what its operator made of it."""
        never_active = Node.objects.filter(pk=self.node.pk, activated_at=None)
        with transaction.atomic():
            if never_active.update(intent=Intent.ACTIVE, activated_at=timezone.now()):
                audit.record(actor=self.by, action="node.activate", subject=self.node, after={"intent": Intent.ACTIVE})
        self.node.refresh_from_db()
        return self.node.intent

    def write(self, path: str, data: bytes) -> None:
        """Whole or not at all, and for the node's user alone."""
        quoted = shlex.quote(path)
        self.run(f"umask 077; cat > {quoted}.new && mv {quoted}.new {quoted}", stdin=data)

    def run(self, command: str, stdin: bytes = b"") -> bytes:
        done = transport.run(self.endpoint, command, stdin=stdin, private_key=self.wanted.bootstrap_key)
        if done.exit_status != 0:
            said = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise EnrolmentError(f"On the node failed: {command}\n{said[-2000:]}")
        return done.stdout


def public_key() -> str:
    """The control plane's own, which belongs beside its private key."""
    path = Path(f"{settings.BASEKV_SSH_KEY}.pub")
    try:
        kind, key = path.read_text().split()[:2]
    except (OSError, ValueError) as error:
        raise EnrolmentError(f"Our own public SSH key cannot be read: {path}: {error}") from None
    return f"{kind} {key}"
