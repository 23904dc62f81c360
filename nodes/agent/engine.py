"""What the agent wants of every engine: a program that serves one part of an instance."""

from .deadline import Deadline
from .digests import hexdigest
from .parts import Part
from .store import Home, Instance
from .supervisors import Running
from .wanted import Wanted

REPLY_TIMEOUT = 2.0
USER = "default"
AGENT_USER = "basekv-agent"


class Loading(Exception):
    """The engine is alive and reads its data from disk."""


class Unproven(Exception):
    """The engine is alive, and not (yet) what was asked for."""


class About:
    """What an engine says about itself; None where it has no such thing."""

    def __init__(self, memory_bytes: int | None, keys: int | None) -> None:
        self.memory_bytes = memory_bytes
        self.keys = keys


class Engine:
    """`port` is where it listens. `kind` and `program` are what it is and where; for questions they may be empty."""

    part_name: str

    def __init__(self, home: Home, instance: Instance, port: int, kind: str = "", program: str = "") -> None:
        self._home = home
        self._instance = instance
        self.part = Part(instance, self.part_name)
        self.port = port
        self.kind = kind
        self.program = program

    def check(self, wanted: Wanted) -> None:
        """Raises Refusal where this engine cannot be what is wanted."""

    def config(self, wanted: Wanted) -> str:
        raise NotImplementedError

    def command(self, wanted: Wanted) -> list[str]:
        raise NotImplementedError

    def memory_mb(self, wanted: Wanted) -> int:
        """What the process may take."""
        raise NotImplementedError

    def prepare(self, wanted: Wanted) -> None:
        """Whatever must be done right before a start."""

    def mark(self, wanted: Wanted) -> str:
        """Differs whenever a running engine is not the one that is wanted. Its configuration's digest comes first."""
        rest = "\0".join([str(wanted.generation), *self.command(wanted)])
        return f"{hexdigest(self.config(wanted).encode())}.{hexdigest(rest.encode())}"

    def was_changed(self, running: Running) -> bool:
        """Whether somebody else has changed what it was started from. No file says what that was, but its mark."""
        written, dot, _ = running.mark.partition(".")
        if not dot:
            return running.mark == ""  # agents before release 1 made marks that do not tell
        return written != self.part.config_digest()

    def check_kept(self) -> None:
        """Before a running one is stopped to be started again. Raises Refusal where it would lose what it promised."""

    def prove(self, running: Running, wanted: Wanted) -> str:
        """The engine's name and version, once it is shown that this process answers, and that the password is
        let in, no password is not, and the previous one is not.

        Raises Loading, or Unproven with the reason.
        """
        raise NotImplementedError

    def ask(self) -> None:
        """Sends a question without waiting. Raises OSError."""
        raise NotImplementedError

    def hear(self, running: Running, deadline: Deadline) -> About:
        """Its answer to `ask`, once it is sure that it comes from `running`. Raises Loading, Unproven or OSError."""
        raise NotImplementedError
