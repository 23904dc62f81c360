"""A machine for tests: a real SSH server without root, enrolled by the real command."""

import itertools
import signal
import socket
import subprocess
import sys
from io import StringIO
from pathlib import Path

from django.core.management import call_command

from devstack import keys, ports, valkey
from devstack.node import USER
from nodes.models import PORTS_PER_SLOT, Node, Region

SLOTS = 100
# Above those that the kernel gives to connections going out, where nothing else of ours is. One port more: the guard.
BLOCKS = range(61_000, 65_200, SLOTS * PORTS_PER_SLOT + 1)


def block_of_ports() -> socket.socket:
    """A socket bound to the first of a block of ports: as long as it is open, no other test run takes the block."""
    for port in itertools.cycle(BLOCKS):
        if guard := ports.hold(port):
            return guard
    raise AssertionError("a cycle does not end")


class Machine:
    """`first_port` and the ports after it are its databases'."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._ports = block_of_ports()
        self.first_port = self._ports.getsockname()[1] + 1
        self.bootstrap_key = home.with_name(home.name + "-bootstrap-key")
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def authorized_keys(self) -> Path:
        return self.home / ".ssh" / "authorized_keys"

    @property
    def fingerprint(self) -> str:
        return keys.fingerprint((self.home / ".ssh-host-key").read_text())

    def boot(self) -> None:
        """Up, at the address that it had before."""
        self.authorized_keys.parent.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "devstack.sshd",
                "--home",
                str(self.home),
                "--port",
                str(self.port),
                "--with-parent",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline().rpartition(":")[2])

    def shut_down(self) -> None:
        """Down, with everything that ran on it."""
        assert self._process is not None
        self._process.terminate()
        assert self._process.wait(timeout=20) == 0

    def freeze(self) -> None:
        """Its network answers, and nothing else of it."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def give_back(self) -> None:
        """Its ports may be another machine's."""
        self._ports.close()

    def let_in(self) -> None:
        """Opens it for an enrolment, as whoever has just set the machine up would."""
        private = keys.make_private()
        self.bootstrap_key.touch(mode=0o600)
        self.bootstrap_key.write_text(private)
        self.authorized_keys.write_text(keys.public(private) + "\n")

    def enroll(self, name: str = "real", *, let_in: bool = True, **changes: object) -> str:
        """What the command printed. Raises CommandError."""
        if let_in:
            self.let_in()
        Region.objects.get_or_create(slug="local", defaults={"name": "Local"})
        options = {
            "host": "127.0.0.1",
            "bind": "127.0.0.1",
            "region": "local",
            "ssh-port": self.port,
            "first-port": self.first_port,
            "slots": SLOTS,
            "capacity-mb": 10_000,
            "engine": f"valkey={valkey.program()}",
            "bootstrap-user": USER,
            "bootstrap-key": self.bootstrap_key,
            "host-key": self.fingerprint,
        } | changes
        out = StringIO()
        pairs = [
            (option, value)
            for option, values in options.items()
            for value in (values if isinstance(values, list) else [values])
            if value is not None
        ]
        call_command("enroll_node", name, *(f"--{option}={value}" for option, value in pairs), stdout=out)
        return out.getvalue()


def node(name: str = "real") -> Node:
    return Node.objects.get(name=name)
