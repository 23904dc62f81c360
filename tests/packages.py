"""Debian packages that tests need: installed where we may, named where we may not."""

import os
import shutil
import subprocess
from collections.abc import Mapping

INSTALL = ["apt-get", "install", "-y", "-q", "--no-install-recommends"]


def why_missing(programs: Mapping[str, str]) -> str:
    """Program to package. Empty when all are there, if need be by now; otherwise what a person has to do."""
    missing = absent(programs)
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        install(missing)
        missing = absent(programs)
    return f"install {' '.join(missing)}: {' '.join([*INSTALL, *missing])}" if missing else ""


def absent(programs: Mapping[str, str]) -> list[str]:
    return sorted({package for program, package in programs.items() if shutil.which(program) is None})


def install(packages: list[str]) -> None:
    """On a new machine apt does not know its packages yet."""
    if not quietly([*INSTALL, *packages]):
        quietly(["apt-get", "update", "-q"])
        quietly([*INSTALL, *packages])


def quietly(command: list[str]) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode == 0
