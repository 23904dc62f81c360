"""Waiting for what comes by itself: not for a time, but until it is there."""

import time
from collections.abc import Callable
from typing import Any

POLL = 0.02  # seconds


def eventually(check: Callable[[], Any], what: str = "it comes true", *, seconds: float = 15.0) -> Any:
    """What `check` finds, as soon as it finds something; an AssertionError when that takes too long."""
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(POLL)
    return found
