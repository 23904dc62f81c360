"""The local node: a real SSH endpoint without root, under which the agent runs as it would on a remote machine."""

import os
import socket
import sys
import zlib

from devstack import keys, ports, valkey
from devstack.console import step
from devstack.errors import StackError
from devstack.processes import Service, Supervisor, until
from devstack.state import State

REGION = "local"
USER = "basekv"
# A stack has a block of ports, so that stacks beside each other do not meet: the first port is for SSH, the last one is
# held for as long as the stack runs and says whose block it is, and those between are the databases'.
BLOCK = 1000
BLOCKS = list(range(20_000, 32_000, BLOCK))
PORTS_OF_A_DATABASE = 3


class Node:
    def __init__(self, state: State) -> None:
        self._state = state
        self._home = state.folder("node")
        self.port, self._guard = take_block(state)
        self._bootstrap_key = state.root / "bootstrap_key"
        self._host_key = state.kept("node/.ssh-host-key", keys.make_private)

    async def start(self, supervisor: Supervisor) -> None:
        with step("Local node"):
            self._open_for_enrolment()
            command = [sys.executable, "-m", "devstack.sshd", f"--home={self._home}", f"--port={self.port}"]
            # It stops the databases before it ends itself.
            await supervisor.start(Service("node", command, patience=15.0))
            await until(self._answers, what="The local node")

    def enrolment(self) -> list[str]:
        """The arguments of `enroll_node`."""
        options = {
            "host": ports.HOST,
            "bind": ports.HOST,
            "region": REGION,
            "ssh-port": self.port,
            "first-port": self.port + 1,
            "slots": (BLOCK - 2) // PORTS_OF_A_DATABASE,
            "capacity-mb": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20,
            "supervisor": "processes",
            "engine": f"valkey={valkey.program()}",
            "bootstrap-user": USER,
            "bootstrap-key": self._bootstrap_key,
            "host-key": keys.fingerprint(self._host_key),
        }
        return ["local", *(f"--{name}={value}" for name, value in options.items())]

    def forget_bootstrap_key(self) -> None:
        self._bootstrap_key.unlink()

    def _open_for_enrolment(self) -> None:
        """A key that may do everything, which the enrolment replaces by one that may only start the agent."""
        private = keys.make_private()
        self._state.keep(self._bootstrap_key.name, private)
        self._state.keep("node/.ssh/authorized_keys", self._restricted_keys() + keys.public(private) + "\n")

    def _restricted_keys(self) -> str:
        """Those of the last enrolment, so that the worker reaches the agent before this one is done."""
        authorized_keys = self._home / ".ssh" / "authorized_keys"
        lines = authorized_keys.read_text().splitlines(keepends=True) if authorized_keys.exists() else []
        return "".join(line for line in lines if line.startswith("restrict,"))

    async def _answers(self) -> bool:
        return await ports.listens(self.port)


def take_block(state: State) -> tuple[int, socket.socket]:
    """Its first port and its guard. The block of the last start, if it can be had. Raises StackError."""
    first = zlib.crc32(bytes(state.root)) % len(BLOCKS)  # if possible one that no other clone begins to look at
    kept = int(state.kept("ports/node", lambda: str(BLOCKS[first])))
    for port in [kept, *BLOCKS[first:], *BLOCKS[:first]]:
        guard = ports.hold(port + BLOCK - 1)
        if guard is None:
            continue
        if ports.is_free(port):
            state.keep("ports/node", str(port))
            return port, guard
        guard.close()
    raise StackError(f"{len(BLOCKS)} stacks run on this machine, and there are no ports for another one.")
