"""The nodes' root file system: Debian 12 as whoever rents a machine gets it, plus the packages that enrolment would
otherwise fetch, since test nodes have no way out. Built once, kept outside the clone, shared by all nodes and runs."""

import fcntl
import hashlib
import os
import shutil
from pathlib import Path

from tests.fleet.commands import Failed, run
from tests.packages import why_missing

CACHE = Path("/var/cache/basekv-fleet")
HOST_TOOLS = {"debootstrap": "debootstrap", "systemd-nspawn": "systemd-container", "ip": "iproute2"}

PACKAGES = "systemd systemd-sysv dbus polkitd openssh-server python3 redis-server memcached webdis iproute2 procps"
NOT_WANTED = (
    "redis-server memcached webdis systemd-timesyncd systemd-networkd apt-daily.timer apt-daily-upgrade.timer "
    "dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap fstrim.timer"
)
CUSTOMISE = f"""
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get install -y -q --no-install-recommends {PACKAGES}
apt-get clean
rm -rf /var/lib/apt/lists/* /etc/resolv.conf /etc/ssh/ssh_host_* /var/lib/dbus/machine-id
for unit in {NOT_WANTED}; do systemctl disable -q $unit 2>/dev/null || true; done
# The last: with cgroup v1 in a container, systemd does not learn that a user's manager has ended, and waits for it.
systemctl mask -q systemd-udevd systemd-udev-trigger getty@tty1 console-getty user@.service
: > /etc/machine-id
ln -s /etc/machine-id /var/lib/dbus/machine-id
"""
SSHD = "UseDNS no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n"
# systemd-nspawn gives a node its own part of the machine's cgroup v1 controllers and mounts it read-only; without
# this, systemd in the node accepts MemoryMax and does nothing about it. With cgroup v2 there is nothing to do.
INIT = """#!/bin/sh
for controller in cpu cpuacct memory pids freezer blkio devices cpuset; do
    [ -d /sys/fs/cgroup/$controller ] && mount -o remount,rw,bind /sys/fs/cgroup/$controller
done 2>/dev/null
exec /lib/systemd/systemd
"""
RECIPE = hashlib.sha256("\n".join([CUSTOMISE, SSHD, INIT]).encode()).hexdigest()[:12]


def why_impossible() -> str:
    """Why this machine can have no nodes; empty if it can, after what is missing was installed."""
    if os.uname().sysname != "Linux":
        return "real nodes need Linux"
    if os.geteuid() != 0:
        return "real nodes need root, for namespaces and mounts"
    return why_missing(HOST_TOOLS)


def path() -> Path:
    """The root file system, built if it is not there. Raises Failed."""
    CACHE.mkdir(mode=0o711, parents=True, exist_ok=True)
    finished = CACHE / RECIPE
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists():
            for outdated in CACHE.glob("[0-9a-f]*"):
                shutil.rmtree(outdated, ignore_errors=True)
            unfinished = finished.with_suffix(".new")
            shutil.rmtree(unfinished, ignore_errors=True)
            build(unfinished)
            unfinished.rename(finished)
    return finished


def build(root: Path) -> None:
    """Takes a minute or two."""
    run("debootstrap", "--variant=minbase", "--components=main", "bookworm", root, *mirror(), timeout=900)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    run("chroot", root, "sh", "-c", CUSTOMISE, timeout=900)
    (root / "etc/ssh/sshd_config.d/tests.conf").write_text(SSHD)
    (root / "sbin/node-init").write_text(INIT)
    (root / "sbin/node-init").chmod(0o755)


def mirror() -> list[str]:
    """The one that this machine's apt uses for Debian 12; none, for debootstrap's own, if it uses none."""
    form = "$(SITE) $(RELEASE) $(COMPONENT) $(CREATED_BY)"
    try:
        lines = run("apt-get", "indextargets", "--format", form).splitlines()
    except (Failed, FileNotFoundError):
        return []
    return [line.split()[0] for line in lines if line.split()[1:] == ["bookworm", "main", "Packages"]][:1]
