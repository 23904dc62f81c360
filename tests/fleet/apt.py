"""Packages for machines that have no way out: a source on their own disk, from which apt installs as from any other."""

import hashlib
from pathlib import Path

from tests.fleet import rootfs
from tests.fleet.commands import attempt, run
from tests.fleet.machine import Machine

PLACE = "srv/apt"
# Of this machine's apt, which need not be asked again.
KEPT = rootfs.CACHE / "packages"


def know(machine: Machine, *packages: str) -> None:
    """From now on its apt knows these packages and no others. Raises commands.Failed."""
    source = machine.disk / PLACE
    source.mkdir(parents=True, exist_ok=True)
    index = ""
    for package in packages:
        data = downloaded(package).read_bytes()
        (source / f"{package}.deb").write_bytes(data)
        fields = {"Filename": f"./{package}.deb", "Size": len(data), "SHA256": hashlib.sha256(data).hexdigest()}
        control = run("dpkg-deb", "--field", source / f"{package}.deb").strip()
        index += "\n".join([control, *(f"{name}: {value}" for name, value in fields.items())]) + "\n\n"
    (source / "Packages").write_text(index)
    (machine.disk / "etc/apt/sources.list").write_text(f"deb [trusted=yes] file:/{PLACE} ./\n")


def downloaded(package: str) -> Path:
    KEPT.mkdir(exist_ok=True)
    if not list(KEPT.glob(f"{package}_*.deb")):
        download = ("sh", "-c", f"cd {KEPT} && apt-get download -q {package}")
        if not attempt(*download):
            run("apt-get", "update", "-q", timeout=300)
            run(*download, timeout=300)
    return next(KEPT.glob(f"{package}_*.deb"))
