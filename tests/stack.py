"""The whole local stack in a directory and on a port of its own, as `make run` starts it."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from devstack import ports
from devstack.state import REPOSITORY, State

PATIENCE = 60.0  # seconds


class Stack:
    """Ready after `start`; what it keeps in its directory is there again at the next."""

    def __init__(self, directory: Path) -> None:
        self.state = State(directory)
        self.port = ports.free()
        self.output = ""
        self._process: subprocess.Popen[str] | None = None

    @classmethod
    def started(cls, directory: Path) -> "Stack":
        stack = cls(directory)
        stack.start()
        return stack

    @property
    def env(self) -> dict[str, str]:
        """What a user finds in the file `env`."""
        return self.state.published()

    @property
    def url(self) -> str:
        return self.env["BASEKV_URL"]

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of the tests' own services, which would win over the stack's."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {**kept, "BASEKV_STATE": str(self.state.root), "PORT": str(self.port)}

    def start(self) -> None:
        """Returns when it has said all, and so is ready."""
        self._process = subprocess.Popen(
            command("run"),
            env=self.environment,
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout is not None
        self.output = ""
        for line in self._process.stdout:
            self.output += line
            if line.startswith("Ctrl-C"):
                return
        raise AssertionError(f"The stack did not start:\n{self.output}")

    def run(self, verb: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Another `python -m devstack` of the same directory."""
        return subprocess.run(
            command(verb),
            env={**self.environment, **environment},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Its exit status, when it ends by itself."""
        assert self._process is not None
        rest, _ = self._process.communicate(timeout=PATIENCE)
        self.output += rest
        return self._process.returncode

    def processes(self) -> dict[int, str]:
        """The command lines of whatever has this directory in them, its environment, or a file that it has open."""
        everything = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return {pid: command_line(pid) for pid in everything if str(self.state.root) in traces_of(pid)}

    def kill(self, *programs: str) -> None:
        """SIGKILL to those with one of these in their command lines; children first, as they end with their parents."""
        for pid, line in sorted(self.processes().items(), reverse=True):
            if any(program in line for program in programs):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def command(verb: str) -> list[str]:
    return [sys.executable, "-m", "devstack", verb]


def command_line(pid: int) -> str:
    return text(Path("/proc", str(pid), "cmdline"))


def traces_of(pid: int) -> str:
    process = Path("/proc", str(pid))
    try:
        links = [process / "cwd", *(process / "fd").iterdir()]
    except OSError:
        links = []
    return " ".join([command_line(pid), text(process / "environ"), *map(target, links)])


def text(file: Path) -> str:
    try:
        return file.read_text(errors="replace").replace("\0", " ")
    except OSError:  # it has ended, or is none of ours
        return ""


def target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""
