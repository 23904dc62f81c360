"""Several real machines on a network of their own, for the length of a test run."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from devstack import keys
from tests.fleet import rootfs
from tests.fleet.commands import run
from tests.fleet.machine import Machine
from tests.fleet.network import Network


class Fleet:
    def __init__(self, size: int) -> None:
        system = rootfs.path()
        self._network = Network()
        self._directory = rootfs.CACHE / "runs" / str(self._network.number)
        self.clear_away()
        self._directory.mkdir(parents=True, mode=0o711)
        self.root_key = self._directory / "root_key"
        self.root_key.touch(mode=0o600)
        self.root_key.write_text(keys.make_private())
        self.machines = [
            Machine(self._network, index, rootfs=system, directory=self._directory, root_key=self.root_key)
            for index in range(size)
        ]

    def up(self) -> None:
        self._network.up()
        for machine in self.machines:
            machine.install()
            machine.start()
        for machine in self.machines:
            machine.wait()

    def down(self) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(Machine.uninstall, self.machines))
        self.clear_away()

    def clear_away(self) -> None:
        """Also what a killed run with the same number left behind: its containers ended with it, the rest did not."""
        for disk in self._directory.glob("*/root"):
            if os.path.ismount(disk):
                run("umount", disk)
        shutil.rmtree(self._directory, ignore_errors=True)
        self._network.down()


def leftovers(number: int) -> list[str]:
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if "basekv-fleet" in line]
    links = [entry.name for entry in Path("/sys/class/net").iterdir() if entry.name.startswith(f"bkv{number}p")]
    return mounts + links
