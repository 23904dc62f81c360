"""A control group per node in every hierarchy, so that the limits that systemd sets in a node are enforced."""

import os
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

MOUNTS = Path("/sys/fs/cgroup")


def own() -> dict[Path, Path]:
    """Each hierarchy's mount point and this process's group in it."""
    found = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        mount = MOUNTS / (names.removeprefix("name=") or "unified")
        if not names and not mount.exists():
            mount = MOUNTS  # version 2 alone
        if mount.exists():
            found[mount] = mount / path.lstrip("/")
    return found


def has_version_1() -> bool:
    return (MOUNTS / "memory").exists()


class Groups:
    def __init__(self, name: str) -> None:
        # Beside the group of a test process that systemd gave one: version 2 has no processes in inner groups.
        self.paths = [mount / name if mount == MOUNTS else path / name for mount, path in own().items()]

    def make(self) -> None:
        for path in self.paths:
            path.mkdir(exist_ok=True)
            for setting in ("cpuset.cpus", "cpuset.mems"):
                if (path / setting).exists() and not (path / setting).read_text().strip():
                    (path / setting).write_text((path.parent / setting).read_text())

    def join(self) -> list[str]:
        """What to put before a command for it to run in the groups."""
        joins = "".join(f"echo $$ > {path}/cgroup.procs; " for path in self.paths)
        return ["sh", "-c", f'{joins}exec "$@"', "sh"]

    def pids(self) -> set[int]:
        """Of everything in the node."""
        return {pid for path in self.paths for pid in pids_below(path)}

    def remove(self) -> None:
        for path in self.paths:
            if path.exists():
                for group in sorted((entry for entry in path.rglob("*") if entry.is_dir()), reverse=True):
                    group.rmdir()
                path.rmdir()


def pids_below(path: Path, units: str = "*") -> set[int]:
    """Of the processes in a group and, if they match, the groups below it; groups may vanish while we look."""
    found: set[int] = set()
    for directory, _, _ in os.walk(path):
        if fnmatch(Path(directory).name, units):
            with suppress(OSError):
                found |= {int(pid) for pid in Path(directory, "cgroup.procs").read_text().split()}
    return found
