"""A clock on the wall that jumps, for whatever Python process is started with it. The monotonic one goes on."""

from datetime import timedelta
from pathlib import Path


class Clock:
    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(timedelta(0))

    @property
    def env(self) -> dict[str, str]:
        return {"PYTHONPATH": str(Path(__file__).parent / "preload"), "TESTS_CLOCK": str(self._file)}

    def set(self, off: timedelta) -> None:
        """How far it is ahead, a moment from now on."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(str(off.total_seconds()))
        fresh.replace(self._file)
