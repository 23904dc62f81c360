"""A moment by which something must be done."""

import time


class Deadline:
    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._end - time.monotonic())

    def passed(self) -> bool:
        return self.left() == 0.0

    def within(self, seconds: float) -> "Deadline":
        """A deadline at most `seconds` away, and never later than this one."""
        return Deadline(min(seconds, self.left()))
