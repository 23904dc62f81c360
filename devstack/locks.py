"""A lock that the kernel drops with the process that has it: a killed run leaves none behind."""

import fcntl
import os
from pathlib import Path


def take(path: Path) -> int | None:
    """A descriptor that is the lock for as long as it is open; None if somebody else has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
