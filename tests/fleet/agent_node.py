"""An enrolled real machine for the tests of the agent: the agent is called in it as sshd would call it."""

import itertools
import os
import signal
import subprocess
from contextlib import suppress

from nodes.systemd_enrolment import HOME, USER
from tests.fleet.machine import Machine
from tests.nodes.conftest import AgentNode, Database
from tests.waiting import eventually

AGENT = f"/usr/bin/python3 -S -E -I {HOME}/agent.pyz"
ports = itertools.count(30_000)


class RealNode(AgentNode):
    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.host = machine.address
        self.home = machine.disk / HOME.lstrip("/")
        self.packed_file = self.home / "agent.pyz"

    def start(self) -> "subprocess.Popen[bytes]":
        # A test that kills nsenter means the agent.
        as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--pdeathsig=KILL"]
        command = self.machine.enter() + as_user + AGENT.split()
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def free_port(self) -> int:
        return next(ports)

    def pid(self, database: Database, part: str) -> int:
        [pid] = self.machine.pids(f"basekv-{part}@{database.id}.service")
        return pid

    def engine_pids(self, database: Database | None = None) -> list[int]:
        """As the machine numbers them that runs the tests."""
        return sorted(self.machine.pids(f"basekv-*@{database.id if database else '*'}.service"))

    def kill_engines(self) -> None:
        """They come back by themselves."""
        for pid in self.engine_pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def forget_everything(self) -> None:
        for instance in self.ask("probe")["instances"]:
            assert self.ask("remove", instance=instance["id"], generation=instance["generation"] + 1)["ok"]
        eventually(lambda: not self.engine_pids(), "no engine left")
