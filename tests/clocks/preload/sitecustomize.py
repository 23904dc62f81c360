"""Python runs this before anything else in a process that is started with tests.clocks.Clock.env."""

import os
import threading
import time
from pathlib import Path

import time_machine

POLL = 0.1  # seconds until a jump is noticed


def follow(file: Path, clock: time_machine.Traveller, off: float) -> None:
    while True:
        jump = float(file.read_text()) - off
        clock.shift(jump)
        off += jump
        time.sleep(POLL)


if name := os.environ.get("TESTS_CLOCK"):
    file = Path(name)
    off = float(file.read_text())
    clock = time_machine.travel(time.time() + off).start()
    threading.Thread(target=follow, args=(file, clock, off), daemon=True, name="clock").start()
