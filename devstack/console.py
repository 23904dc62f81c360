"""What the person at the terminal reads: one line as each step is done."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def say(text: str = "") -> None:
    # A terminal that cannot show a tick shows a question mark; an error would be the worse answer.
    encoding = sys.stdout.encoding or "ascii"
    # A reader who has seen enough, or a terminal that was closed, is no reason to stop.
    with suppress(OSError):
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding) + "\n")
        sys.stdout.flush()


def complain(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


@contextmanager
def step(name: str) -> Iterator[None]:
    """Says that it is done, and how long it took; or that it failed, and the error says why."""
    began = time.monotonic()
    try:
        yield
    except Exception:
        say(f"  ✗ {name}")
        raise
    say(f"  ✓ {name:<58}{time.monotonic() - began:6.2f} s")
