"""A disk of its own for a folder, which can be full. Only root can have one."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

POSSIBLE = os.geteuid() == 0


class Disk:
    def __init__(self, folder: Path, size: str = "128m") -> None:
        self._folder = folder
        self._size = size

    def __enter__(self) -> Self:
        options = f"size={self._size},mode=700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self._folder], check=True)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", self._folder], check=True)

    @contextmanager
    def full(self) -> Iterator[None]:
        ballast = self._folder / "ballast"
        try:
            with suppress(OSError), ballast.open("wb", buffering=0) as file:
                while file.write(bytes(2**20)):
                    pass
            yield
        finally:
            ballast.unlink()
