"""Processes of the stack that outlived it. They are known by a file that they have open, so none is taken for one."""

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from devstack.console import say
from devstack.errors import StackError
from devstack.state import State

POLL = 0.05  # seconds
# The kernel told the services to stop when their supervisor died; this is for the slowest of them.
SERVICES_PATIENCE = 15.0
ENGINES_PATIENCE = 8.0
KILL_PATIENCE = 5.0


def clear(state: State) -> None:
    """Returns when none is left. Raises StackError."""
    services = [state.members]
    # Databases of a node that was killed before it could stop them.
    engines = list(state.root.glob("node/instances/*/*/engine.pid"))
    if holders(services + engines):
        say("  … waiting for processes that are left")
    end_within(SERVICES_PATIENCE, services)
    tell(signal.SIGTERM, engines)
    end_within(ENGINES_PATIENCE, engines)
    tell(signal.SIGKILL, services + engines)
    if not end_within(KILL_PATIENCE, services + engines):
        raise StackError(f"Processes of a killed run do not end: {sorted(holders(services + engines))}.")


def tell(number: signal.Signals, files: list[Path]) -> None:
    for pid in holders(files):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def end_within(seconds: float, files: list[Path]) -> bool:
    deadline = time.monotonic() + seconds
    while holders(files):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


def holders(files: Iterable[Path]) -> set[int]:
    """The processes that have one of these files open."""
    paths = {str(path) for path in files}
    return {int(link.parts[2]) for link in Path("/proc").glob("[0-9]*/fd/*") if target(link) in paths}


def target(link: Path) -> str | None:
    try:
        return str(link.readlink())
    except OSError:  # closed meanwhile, or of another user
        return None
