"""Processes of the stack that outlived it. They are known by a file that they have open, so none is taken for one."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from devstack.console import say
from devstack.errors import StackError
from devstack.state import State

POLL = 0.05  # seconds
PATIENCE = 10.0


def clear(state: State) -> None:
    """Returns when none is left. Raises StackError."""
    # A database holds its own file, and nobody stops it when its node was killed.
    files = [state.members, *state.root.glob("node/instances/**/engine.pid")]
    if not holders(files):
        return
    say("  … waiting for processes that are left")
    # The kernel has told the services to stop when their supervisor died.
    end_within(PATIENCE, [state.members])
    for number in (signal.SIGTERM, signal.SIGKILL):
        tell(number, files)
        if end_within(PATIENCE, files):
            return
    raise StackError(f"Processes of a killed run do not end: {sorted(holders(files))}.")


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


def holders(files: list[Path]) -> set[int]:
    """The processes that have one of these files open."""
    paths = {str(path) for path in files}
    processes = (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return {int(process.name) for process in processes if not paths.isdisjoint(open_files(process))}


def open_files(process: Path) -> Iterator[str]:
    # It may end meanwhile, or be another user's.
    with suppress(OSError):
        for link in (process / "fd").iterdir():
            with suppress(OSError):
                yield str(link.readlink())
